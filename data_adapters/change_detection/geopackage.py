"""Write changed patches as the features of a GeoPackage, with geodesic areas.

Written in chunks through `pyogrio.raw`: a GeoDataFrame would hold all features in memory.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyogrio
import shapely

from transect.data_adapters.change_detection.geodesy import geodesic_areas, mapped
from transect.data_adapters.change_detection.maps import LEVELS, ChangeMap, Grid
from transect.data_adapters.change_detection.polygons import PROBABILITY_STEPS, Patches
from transect.data_adapters.files import writing

LAYER = "changes"
CREATED = "2000-01-01T00:00:00Z"
"""The time that a GeoPackage holds as that of its last change, so that its bytes depend on its content alone."""

CHUNK = 10_000
"""Features appended per write."""


def write_geopackage(path: Path, patches: Iterable[Patches], change_map: ChangeMap) -> tuple[int, float]:
    """Write `patches` as the layer "changes" in the CRS of the map's grid.

    Fields: `id` from 1 in the order of the patches, `area_m2` (square metres on the ellipsoid of the CRS, null
    without one), `pixels`, `mean_score` in [0, 1], `mean_probability` if the map has probabilities, `date_before` and
    `date_after`. A map without changes gives an empty
    layer with the same fields. Without a CRS the coordinates are those of the grid's transform.

    Args:
        path: The GeoPackage to write.
        patches: Consumed here.
        change_map: Gives the grid and the dates.

    Returns:
        The number of features and their total area in square metres, NaN if an area is unknown.

    Raises:
        OSError: the file could not be written whole.
    """
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": CREATED})
    dates = [np.datetime64(date.fromisoformat(day[:10]) if day else "NaT", "D") for day in change_map.dates]
    count, area = 0, 0.0
    with writing(path):
        sums = None if change_map.probabilities is None else np.zeros(0)
        empty = Patches(np.zeros(0, object), np.zeros(0), np.zeros(0), sums)
        _append(path, _features(empty, change_map.grid, dates, 1), change_map.grid)
    for chunk in _chunks(patches):
        features = _features(chunk, change_map.grid, dates, count + 1)
        with writing(path):
            _append(path, features, change_map.grid)
        count += len(chunk.pixels)
        area += float(features.columns["area_m2"].sum())
    return count, area


def read_largest(path: Path, grid: Grid, count: int) -> tuple[np.ndarray, dict[str, np.ndarray], int]:
    """Read the `count` largest features that `write_geopackage` wrote.

    Returns:
        Shapely Polygons in (column, row) of `grid`, largest first, their fields, and the number of all features.
    """
    total = pyogrio.read_info(path, layer=LAYER)["features"]
    meta, _, wkb, columns = pyogrio.raw.read(path, sql=f"SELECT * FROM {LAYER} ORDER BY pixels DESC LIMIT {count}")
    polygons = shapely.transform(shapely.from_wkb(wkb), lambda xy: mapped(xy, ~grid.transform))
    return polygons, dict(zip(meta["fields"], columns, strict=True)), total


@dataclass(frozen=True)
class _Features:
    wkb: np.ndarray
    columns: dict[str, np.ndarray]


def _features(patches: Patches, grid: Grid, dates: Sequence[np.datetime64], first: int) -> _Features:
    count = len(patches.pixels)
    pixels = patches.pixels.astype(np.int64)
    calibrated = {}
    if patches.probability_sums is not None:
        calibrated["mean_probability"] = patches.probability_sums / np.maximum(pixels, 1) / PROBABILITY_STEPS
    columns = {
        "id": np.arange(first, first + count),
        "area_m2": geodesic_areas(patches.polygons, grid),
        "pixels": pixels,
        "mean_score": patches.level_sums.astype(float) / np.maximum(pixels, 1) / LEVELS,
        **calibrated,
        "date_before": np.full(count, dates[0]),
        "date_after": np.full(count, dates[1]),
    }
    return _Features(
        shapely.to_wkb(shapely.transform(patches.polygons, lambda xy: mapped(xy, grid.transform))), columns
    )


def _append(path: Path, features: _Features, grid: Grid) -> None:
    with warnings.catch_warnings():  # images without georeferencing are valid input
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
    pending: list[Patches] = []
    for patch_block in patches:
        pending.append(patch_block)
        if sum(len(part.pixels) for part in pending) >= CHUNK:
            yield _concatenated(pending)
            pending = []
    if sum(len(part.pixels) for part in pending):
        yield _concatenated(pending)


def _concatenated(parts: list[Patches]) -> Patches:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    sums = None if parts[0].probability_sums is None else joined("probability_sums")
    return Patches(joined("polygons"), joined("pixels"), joined("level_sums"), sums)
