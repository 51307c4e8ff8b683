"""Write changed patches as the features of a GeoPackage, with geodesic areas.

Written in chunks through `pyogrio.raw`: a GeoDataFrame would hold all features in memory.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely

from transect.data_adapters.change_detection.maps import LEVELS, ChangeMap, Grid
from transect.data_adapters.change_detection.polygons import Patches
from transect.data_adapters.files import writing

LAYER = "changes"
CHUNK = 10_000
"""Features that are appended at once."""

SEGMENT = 8
"""Pixels after which the side of a polygon gets another vertex before its area is taken."""


def write_geopackage(path: Path, patches: Iterable[Patches], change_map: ChangeMap) -> tuple[int, float]:
    """Write `patches` as the layer "changes" at `path`, in the CRS of the map's grid; drains `patches`.

    Fields: `id` from 1 in the order of the patches, `area_m2` (square metres on the ellipsoid of the CRS, null
    where there is none), `pixels`, `mean_score` in [0, 1], `date_before` and `date_after`. A map without changes
    makes an empty layer with the same fields. Without a CRS the coordinates are what the grid's transform gives.

    Returns the number of features and their summed area, NaN where an area is unknown.

    Raises:
        OSError: the file could not be written whole.
    """
    dates = [np.datetime64(date.fromisoformat(day[:10]) if day else "NaT", "D") for day in change_map.dates]
    count, area = 0, 0.0
    with writing(path):
        _append(path, _features(Patches(*np.zeros((3, 0), object)), change_map.grid, dates, 1), change_map.grid)
    for chunk in _chunks(patches):
        features = _features(chunk, change_map.grid, dates, count + 1)
        with writing(path):
            _append(path, features, change_map.grid)
        count += len(chunk.pixels)
        area += float(features.columns["area_m2"].sum())
    return count, area


def geodesic_areas(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    """Areas in square metres, float64, of polygons in pixel coordinates; NaN where the CRS is on no ellipsoid.

    The area inside the geodesics between vertices on the CRS's own ellipsoid (Karney 2013, through pyproj.Geod),
    holes taken out. Sides follow the grid, not the geodesic, hence a vertex at least every SEGMENT pixels.
    """
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt()) if grid.crs else None
    geod = crs.get_geod() if crs else None
    if geod is None:
        return np.full(len(polygons), np.nan)
    unprojected = pyproj.CRS.from_dict({"proj": "longlat", "a": geod.a, "b": geod.b, "no_defs": True})
    to_degrees = pyproj.Transformer.from_crs(crs, unprojected, always_xy=True)
    rings, owners = shapely.get_rings(shapely.segmentize(polygons, SEGMENT), return_index=True)
    corners = to_degrees.transform(*_to_ground(shapely.get_coordinates(rings), grid).T)
    ends = np.cumsum(shapely.get_num_coordinates(rings))
    # A normalised polygon's holes turn against its shell, so that they are subtracted.
    areas = [
        geod.polygon_area_perimeter(*(degrees[start:end] for degrees in corners))[0]
        for start, end in zip(ends - shapely.get_num_coordinates(rings), ends, strict=True)
    ]
    return np.abs(np.bincount(owners, weights=areas, minlength=len(polygons)).astype(float))


@dataclass(frozen=True)
class _Features:
    wkb: np.ndarray
    columns: dict[str, np.ndarray]


def _features(patches: Patches, grid: Grid, dates: list[np.datetime64], first: int) -> _Features:
    count = len(patches.pixels)
    pixels = patches.pixels.astype(np.int64)
    columns = {
        "id": np.arange(first, first + count),
        "area_m2": geodesic_areas(patches.polygons, grid),
        "pixels": pixels,
        "mean_score": patches.level_sums.astype(float) / np.maximum(pixels, 1) / LEVELS,
        "date_before": np.full(count, dates[0]),
        "date_after": np.full(count, dates[1]),
    }
    return _Features(shapely.to_wkb(shapely.transform(patches.polygons, lambda xy: _to_ground(xy, grid))), columns)


def _to_ground(points: np.ndarray, grid: Grid) -> np.ndarray:
    transform = grid.transform
    return points @ [[transform.a, transform.d], [transform.b, transform.e]] + [transform.c, transform.f]


def _append(path: Path, features: _Features, grid: Grid) -> None:
    with warnings.catch_warnings():  # pictures without coordinates are welcome
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.raw.write(
            path,
            features.wkb,
            list(features.columns.values()),
            list(features.columns),
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=grid.crs.to_wkt() if grid.crs else None,
            append=path.exists(),
        )


def _chunks(patches: Iterable[Patches]) -> Iterator[Patches]:
    held: list[Patches] = []
    for more in patches:
        held.append(more)
        if sum(len(part.pixels) for part in held) >= CHUNK:
            yield _joined(held)
            held = []
    if sum(len(part.pixels) for part in held):
        yield _joined(held)


def _joined(parts: list[Patches]) -> Patches:
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("polygons", "pixels", "level_sums"))
    return Patches(*columns)
