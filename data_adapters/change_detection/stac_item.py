"""Describe the results of a pair as a STAC item (1.1.0) with the extensions projection, raster and classification."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from transect.data_adapters.change_detection.colours import CLASS_COLOURS, CLASSES, hexadecimal
from transect.data_adapters.change_detection.geodesy import mapped
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, ChangeMap, Grid
from transect.data_adapters.files import writing

NAME = "item.json"
EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v2.0.0", "classification/v2.0.0")
)
SIDE_POINTS = 65
"""Points on each side of the outline, which is curved in longitude and latitude."""

STRAIGHT = 1e-6
"""Degrees by which points may lie off the line between their neighbours and be left out."""

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
TITLES = {
    "mask": "Changed, unchanged and unknown pixels",
    "score": "Score of change",
    "probability": "Calibrated probability of change",
    "spread": "Standard deviation of the scores of an ensemble",
}


def write_item(folder: Path, name: str, change_map: ChangeMap) -> None:
    """Write `item.json` for the results in `folder`, if the map has a CRS and a date: an item needs both.

    Args:
        folder: Where the results are.
        name: Identifier of the item.
        change_map: Gives the grid and the dates.

    Raises:
        OSError: the file could not be written whole.
    """
    grid, times = change_map.grid, sorted(_utc(day) for day in change_map.dates if day)
    if grid.crs is None or not times:
        return
    both = {"start_datetime": times[0], "end_datetime": times[-1]} if len(times) > 1 else {}
    rasters = {stem: _raster(stem) for stem in TITLES if (folder / f"{stem}.tif").exists()}
    polygons = {
        "href": "./changes.gpkg",
        "type": "application/geopackage+sqlite3",
        "title": "Polygons of changes",
        "roles": ["data"],
    }
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": name,
        **_place(grid),
        "properties": {"datetime": None if both else times[0], **both, **_projection(grid)},
        "links": [],
        "assets": {**rasters, "changes": polygons},
    }
    with writing(folder / NAME):
        (folder / NAME).write_text(json.dumps(item, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _utc(day: str) -> str:
    """An ISO 8601 date or time in the form of RFC 3339; without a zone it is UTC."""
    time = datetime.fromisoformat(day)
    return (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")


def _projection(grid: Grid) -> dict[str, Any]:
    assert grid.crs is not None
    code = grid.crs.to_epsg()
    crs = {"proj:code": f"EPSG:{code}"} if code else {"proj:wkt2": pyproj.CRS.from_wkt(grid.crs.to_wkt()).to_wkt()}
    return crs | {"proj:shape": [grid.height, grid.width], "proj:transform": list(grid.transform[:6])}


def _raster(stem: str) -> dict[str, Any]:
    asset: dict[str, Any] = {"href": f"./{stem}.tif", "type": COG, "title": TITLES[stem], "roles": ["data"]}
    band: dict[str, Any] = {"data_type": "uint8", "nodata": NODATA}
    if stem != "mask":
        return asset | band | {"raster:scale": 1 / LEVELS}
    classes = [
        {"value": value, "name": CLASSES[value], "color_hint": hexadecimal(rgba)[1:].upper()}
        | ({"nodata": True} if value == NODATA else {})
        for value, rgba in CLASS_COLOURS.items()
    ]
    return asset | band | {"classification:classes": classes}


def _place(grid: Grid) -> dict[str, Any]:
    """Outline of the grid in WGS 84 and its bounding box, as GeoJSON (RFC 7946) wants them; null where unknown.

    An outline across the date line is cut there, and its box has a west that is larger than its east.
    """
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt()) if grid.crs else None
    corners = shapely.Polygon([(0, 0), (0, grid.height), (grid.width, grid.height), (grid.width, 0)])
    points = shapely.get_coordinates(shapely.segmentize(corners, max(grid.width, grid.height) / (SIDE_POINTS - 1)))
    try:
        transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:  # a local CRS
        return {"geometry": None}
    longitudes, latitudes = transformer.transform(*mapped(points, grid.transform).T)
    if not np.isfinite([longitudes, latitudes]).all():  # the outline is not on the Earth, as that of a full disk
        return {"geometry": None}
    unwrapped = np.unwrap(longitudes, period=360)
    ring = np.stack([unwrapped, latitudes], axis=-1)
    if abs(unwrapped[-1] - unwrapped[0]) > 180:  # around a pole, which closes the ring
        pole = np.copysign(90, np.mean(latitudes))
        ring = np.vstack([ring, [unwrapped[-1], pole], [unwrapped[0], pole]])
    outline = shapely.make_valid(shapely.Polygon(ring))
    west, south, east, north = outline.bounds
    turns = range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1)
    pieces = shapely.simplify(shapely.union_all([_piece(outline, 360 * turn) for turn in turns]), STRAIGHT)
    polygons = [orient(part) for part in shapely.get_parts(pieces) if part.area > 0]
    box = [(west + 180) % 360 - 180, south, (east + 180) % 360 - 180, north]
    if east - west >= 360:
        box = [-180, south, 180, north]
    geometry = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
    rounded = mapping(shapely.set_precision(geometry, 1e-8, mode="pointwise"))
    return {"geometry": rounded, "bbox": [round(float(value), 8) for value in box]}


def _piece(outline: shapely.Geometry, shift: float) -> shapely.Geometry:
    """The part of `outline` between -180 and 180 degrees after a shift of whole turns."""
    moved = shapely.transform(outline, lambda xy: xy - (shift, 0))
    return shapely.intersection(moved, shapely.box(-180, -90, 180, 90))
