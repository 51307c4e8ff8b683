"""Write a change map as GeoTIFFs of the classes and the score, and as a GeoPackage of polygons."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from transect.data_adapters.blocks import regroup
from transect.data_adapters.change_detection.colours import CLASS_COLOURS
from transect.data_adapters.change_detection.config import PolygonsConfig
from transect.data_adapters.change_detection.geopackage import write_geopackage
from transect.data_adapters.change_detection.geotiff import BLOCK, ERRORS, cog
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, ChangeMap, ScoredStrip, to_levels
from transect.data_adapters.change_detection.outlines import generalized
from transect.data_adapters.change_detection.polygons import is_changed, patches
from transect.data_adapters.files import writing
from transect.data_adapters.overlap import consume_in_thread

STRIPS = "strips of a change map"


@dataclass
class _Counts:
    changed: int = 0
    valid: int = 0


def write_change_map(
    change_map: ChangeMap, folder: Path, polygons: PolygonsConfig | None = None
) -> dict[str, float | str]:
    """Write `mask.tif`, `changes.gpkg` and, if the map has them to be written, `score.tif` and others of its kind.

    `mask.tif` is uint8 with 0 unchanged, 1 changed and 255 nodata; `score.tif`, `probability.tif`, the calibrated
    probability of change, and `spread.tif`, the standard deviation of an ensemble's scores, are uint8 levels of 1/200
    (as their scale declares) with the same nodata. All are Cloud Optimized GeoTIFFs; the bytes do not depend on how the
    map is cut into blocks. The blocks are computed in this thread and written in another; memory holds a row of tiles
    and the incomplete polygons. `write_geopackage` describes `changes.gpkg`.

    Args:
        change_map: Its blocks are consumed here, once.
        folder: An empty folder.
        polygons: How the polygons are generalized; not at all by default. The mask never is.

    Returns:
        `changed_area_m2`, the sum of the polygons, if the CRS has an ellipsoid, `changed_percent` (of the valid
        pixels), `polygons`, `changed_pixels`, `valid_pixels`, and the dates `before` and `after` where known.

    Raises:
        OSError: a file could not be written completely; discard the contents of `folder`.
        ValueError: the blocks are not the rows of the grid from top to bottom.
    """
    grid, counts = change_map.grid, _Counts()
    calibrated = change_map.write_score and change_map.probabilities is not None
    optional = {"score": change_map.write_score, "probability": calibrated, "spread": change_map.write_spread}
    names = ["mask", *(name for name, is_written in optional.items() if is_written)]

    def write(blocks: Iterator[ScoredStrip]) -> tuple[int, float]:
        with ExitStack() as stack:
            rasters = {folder / f"{name}.tif": _raster(stack, folder / f"{name}.tif", change_map) for name in names}
            shape = (grid.height, 1 + change_map.write_spread, grid.width)
            rows = regroup(_layers(blocks), shape, BLOCK, np.uint8, STRIPS)
            rows = _written(rows, rasters, change_map, counts)
            patch_stream = patches(rows, change_map.threshold_level, change_map.probabilities)
            patch_stream = generalized(patch_stream, grid, polygons or PolygonsConfig())
            return write_geopackage(folder / "changes.gpkg", patch_stream, change_map)

    count, area = consume_in_thread(change_map.blocks, write)
    facts: dict[str, float | str] = {}
    if grid.crs and math.isfinite(area):
        facts["changed_area_m2"] = area
    facts |= {
        "changed_percent": 100 * counts.changed / max(counts.valid, 1),
        "polygons": count,
        "changed_pixels": counts.changed,
        "valid_pixels": counts.valid,
    }
    return facts | {name: day for name, day in zip(("before", "after"), change_map.dates, strict=True) if day}


def _layers(blocks: Iterable[ScoredStrip]) -> Iterator[np.ndarray]:
    """The levels and the spread of `blocks`, `(rows, layers, width)`; the blocks must be consecutive."""
    done = 0
    for block in blocks:
        if block.row != done:
            raise ValueError(f"{STRIPS}: found row {block.row}, expected row {done}")
        yield block.levels[:, None] if block.spread is None else np.stack([block.levels, block.spread], axis=1)
        done += len(block.levels)


def _written(
    rows: Iterable[tuple[int, np.ndarray]], rasters: dict[Path, DatasetWriter], change_map: ChangeMap, counts: _Counts
) -> Iterator[tuple[int, np.ndarray]]:
    """Write `rows` of `_layers` to `rasters`, count them, and yield their levels."""
    probabilities = np.full(256, NODATA, np.uint8)
    if change_map.probabilities is not None:
        known = np.isfinite(change_map.probabilities)
        probabilities[known] = to_levels(change_map.probabilities[known])
    for row, layers in rows:
        levels, spread = layers[:, 0], layers[:, -1]
        changed, valid = is_changed(levels, change_map.threshold_level), levels != NODATA
        counts.changed += int(changed.sum())
        counts.valid += int(valid.sum())
        images = {
            "mask": np.where(valid, changed, np.uint8(NODATA)).astype(np.uint8),
            "score": levels,
            "probability": probabilities[levels],
            "spread": spread,
        }
        for path, raster in rasters.items():
            with writing(path, *ERRORS):
                raster.write(images[path.stem], 1, window=Window(0, row, levels.shape[1], len(levels)))
        yield row, levels


def _raster(stack: ExitStack, path: Path, change_map: ChangeMap) -> DatasetWriter:
    special: dict[str, Any] = {"colours": CLASS_COLOURS} if path.stem == "mask" else {"scale": 1 / LEVELS}
    description = "change" if path.stem == "mask" else path.stem
    return stack.enter_context(cog(path, change_map.grid, description, _tags(change_map), **special))


def _tags(change_map: ChangeMap) -> dict[str, str]:
    """Tags of the rasters: the threshold, the dates, and those of the map."""
    before, after = change_map.dates
    tags = {"threshold": f"{change_map.threshold:g}", "date_before": before, "date_after": after, **change_map.tags}
    if after:
        tags["TIFFTAG_DATETIME"] = datetime.fromisoformat(after).strftime("%Y:%m:%d %H:%M:%S")
    return {key: value for key, value in tags.items() if value is not None}
