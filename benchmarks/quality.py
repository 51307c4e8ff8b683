"""Quality on pairs with known answers: `python -m benchmarks.quality MODEL [--data PAIRS] [--frames FIRST SECOND ...]`.

For the model of `make demo`, and for the two models that need no training. Identical rasters must show no change, and a
real pair of one pass at most 0.5 % of its pixels; a change that is drawn into it must be found, and the F1 on the test
split of PAIRS must reach 0.77. FIRST and SECOND are overlapping frames of one Landsat pass as single-band GeoTIFFs,
--coarse names a coarser copy of FIRST. SECOND is compared with FIRST, with FIRST in another coordinate system and with
the coarser copy. Exit status: 0 all within their limits, 1 some are not, 2 the arguments are invalid.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import Resampling, calculate_default_transform, reproject

from benchmarks.inputs import require_distinct
from transect.apps.change_detection.app import ChangeDetection
from transect.data_adapters.change_detection.maps import NODATA
from transect.data_adapters.change_detection.phantom import draw_pair
from transect.pipelines import model_folder

MOST_FALSE, LEAST_F1, LEAST_RECALL = 0.005, 0.77, 0.8
PATCH, GAIN, CHANGED = 40, 1.1, 0.03
"""Side of a patch in pixels, its gain, and the share of the area of all patches."""

FREE = ("irmad", "cva")
"""The models that need no training."""

SINGLE_BAND = ["--read.bands", "[1,1,1]"]


@dataclass(frozen=True)
class Row:
    """A line of the table: a share, and its limit, from below if it is a score."""

    title: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        limit = f"at {'least' if self.at_least else 'most'} {self.limit:.1%}"
        return f"{self.title:50} {self.value:9.4%}   {limit:15} {'' if self.kept else 'MISSED'}".rstrip()


def changed(model: model_folder.Model, before: str, after: str) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that the model marks as changed and those with data, bool, on the grid of the scene."""
    assert isinstance(model.app, ChangeDetection)
    (case,) = model.app.adapter.cases(before, after)
    prediction = model.app.predict(model.module, model.app.adapter.read(case))
    levels = np.concatenate([block.levels for block in prediction.blocks])
    return (levels >= prediction.threshold_level) & (levels != NODATA), levels != NODATA


def changed_share(model: model_folder.Model, before: str, after: str) -> float:
    """Share of valid pixels that the model marks as changed."""
    marked, valid = changed(model, before, after)
    return float(marked.sum() / valid.sum())


def f1(model: model_folder.Model, data: str) -> float:
    """The F1 of the test split of a data set."""
    cases = [case for case in model.app.adapter.cases(data) if case.split == "test"]
    samples = [model.app.adapter.read(case) for case in cases]
    parts = [
        model.app.metric.contribution(model.predict(case, sample), sample)
        for case, sample in zip(cases, samples, strict=True)
    ]
    return float(model.app.metric.summary(parts)["f1"])


def identical(folder: Path) -> Iterator[str]:
    """Write synthetic scenes to compare with themselves; yields their paths."""
    for seed in range(8):
        image = draw_pair(np.random.default_rng(1000 + seed), seed)[0]
        path = folder / f"identical_{seed}.tif"
        profile = dict(driver="GTiff", dtype="uint8", count=3, width=image.shape[1], height=image.shape[0])
        with rasterio.open(path, "w", **profile) as raster:
            raster.write(image.transpose(2, 0, 1))
        yield str(path)


def reprojected(source: str, path: Path, crs: str) -> str:
    """A bilinear copy of a raster in another coordinate system."""
    with rasterio.open(source) as raster:
        transform, width, height = calculate_default_transform(
            raster.crs, crs, raster.width, raster.height, *raster.bounds
        )
        profile = {**raster.profile, "crs": crs, "transform": transform, "width": width, "height": height, "nodata": 0}
        with rasterio.open(path, "w", **profile) as copy:
            reproject(rasterio.band(raster, 1), rasterio.band(copy, 1), resampling=Resampling.bilinear, dst_nodata=0)
    return str(path)


def with_patches(model: model_folder.Model, before: str, after: str, count: int, path: Path) -> tuple[str, np.ndarray]:
    """A copy of `after` with patches brightened by GAIN where both rasters have data, and a mask of them.

    The mask is on the grid of the scene, which is cut from `after`.
    """
    (case,) = model.app.adapter.cases(before, after)
    grid = model.app.adapter.read(case).grid
    valid = changed(model, before, after)[1]
    with rasterio.open(after) as raster:
        image, profile = raster.read(1), raster.profile
    left, top = (round(number) for number in ~profile["transform"] @ (grid.transform.c, grid.transform.f))
    rng, mask = np.random.default_rng(0), np.zeros(valid.shape, bool)
    while mask.sum() < count * PATCH**2:
        row, column = (int(rng.integers(0, size - PATCH)) for size in valid.shape)
        patch = np.s_[row : row + PATCH, column : column + PATCH]
        if valid[patch].all() and not mask[patch].any():
            mask[patch] = True
            window = image[top + row : top + row + PATCH, left + column : left + column + PATCH]
            window[:] = np.rint(window * GAIN)
    with rasterio.open(path, "w", **profile) as copy:
        copy.write(image, 1)
    return str(path), mask


def frame_rows(
    name: str, model: model_folder.Model, frames: Sequence[str], coarse: str | None, folder: Path
) -> Iterator[Row]:
    """False change between unchanged frames, and the share found of changes that are drawn into the second one."""
    first, second = frames
    yield Row(f"{name}: one frame and itself", changed_share(model, first, first), 0.0)
    pairs = [("two frames of one pass", first, second), ("the other way round", second, first)]
    pairs.append(("across a copy in degrees", reprojected(first, folder / "degrees.tif", "EPSG:4326"), second))
    if coarse:
        pairs.append(("across a coarser copy", coarse, second))
    for title, before, after in pairs:
        yield Row(f"{name}: {title}", changed_share(model, before, after), MOST_FALSE)
    area = changed(model, first, second)[1].sum()
    for title, count in (("one patch", 1), (f"{CHANGED:.0%} of the area", round(CHANGED * area / PATCH**2))):
        drawn, mask = with_patches(model, first, second, count, folder / f"drawn_{count}.tif")
        marked = changed(model, first, drawn)[0]
        yield Row(f"{name}: found of {title}", marked[mask].mean(), LEAST_RECALL, at_least=True)


def main() -> int:
    """Measure and print; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder or URI of a registered model")
    parser.add_argument("--data", help="data set with a test split, such as the pairs of `make demo`")
    parser.add_argument("--frames", nargs=2, type=Path, default=[], metavar=("FIRST", "SECOND"))
    parser.add_argument("--coarse", type=Path, help="coarser copy of FIRST")
    parser.add_argument("--nodata", help="value of missing pixels, if the frames do not declare one")
    arguments = parser.parse_args()
    if arguments.coarse and not arguments.frames:
        parser.error("--coarse requires --frames")
    require_distinct(parser, *arguments.frames, *([arguments.coarse] if arguments.coarse else []))
    named = {"model": (arguments.model, []), **{name: ("change_detection", ["--model.name", name]) for name in FREE}}
    rows = []

    def add(row: Row) -> None:
        rows.append(row)
        print(row, flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        for name, (source, settings) in named.items():
            colour = model_folder.load(source, settings)
            if arguments.data:
                least = LEAST_F1 if name == "model" else 0.0
                add(Row(f"{name}: F1 on the test pairs", f1(colour, arguments.data), least, at_least=True))
            shares = [changed_share(colour, path, path) for path in identical(Path(scratch))]
            add(Row(f"{name}: identical synthetic scenes", max(shares), 0.0))
            if arguments.frames:
                nodata = ["--read.nodata", arguments.nodata] if arguments.nodata else []
                grey = model_folder.load(source, [*settings, *SINGLE_BAND, *nodata])
                frames, coarse = [str(path) for path in arguments.frames], arguments.coarse and str(arguments.coarse)
                for row in frame_rows(name, grey, frames, coarse, Path(scratch)):
                    add(row)
    return int(not all(row.kept for row in rows))


if __name__ == "__main__":
    sys.exit(main())
