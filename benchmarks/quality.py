"""False-positive rate on unchanged pairs: `python -m benchmarks.quality MODEL [--frames FIRST SECOND --coarse COARSE]`.

For a model trained on the synthetic set: identical rasters must show no change, and a real pair of one pass at most
0.5 % of its pixels. FIRST and SECOND are overlapping frames of one Landsat pass as single-band GeoTIFFs, COARSE is
a coarser copy of FIRST. SECOND is compared with FIRST, with FIRST in another coordinate system and with COARSE. Exit
status: 0 all within their limits, 1 some exceed it, 2 the arguments are invalid.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import Resampling, calculate_default_transform, reproject

from benchmarks.inputs import require_distinct
from transect.apps.change_detection.app import ChangeDetection
from transect.data_adapters.change_detection.maps import NODATA
from transect.data_adapters.change_detection.phantom import draw_pair
from transect.pipelines import model_folder

LIMIT = 0.005
SINGLE_BAND = ["--read.bands", "[1,1,1]"]


def changed_share(model: model_folder.Model, before: str, after: str) -> float:
    """Share of valid pixels that the model marks as changed."""
    assert isinstance(model.app, ChangeDetection)
    (case,) = model.app.adapter.cases(before, after)
    prediction = model.app.predict(model.module, model.app.adapter.read(case))
    changed = valid = 0
    for block in prediction.blocks:
        levels, data = block.levels, block.levels != NODATA
        changed += int((data & (levels >= prediction.threshold_level)).sum())
        valid += int(data.sum())
    return changed / valid


def identical(folder: Path) -> Iterator[tuple[str, str]]:
    """Write synthetic scenes to compare with themselves; yields title and path."""
    for seed in range(8):
        image = draw_pair(np.random.default_rng(1000 + seed), seed)[0]
        path = folder / f"identical_{seed}.tif"
        profile = dict(driver="GTiff", dtype="uint8", count=3, width=image.shape[1], height=image.shape[0])
        with rasterio.open(path, "w", **profile) as raster:
            raster.write(image.transpose(2, 0, 1))
        yield f"identical synthetic scene {seed}", str(path)


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


def main() -> int:
    """Measure and print; returns 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="model folder or URI of a registered model")
    parser.add_argument("--frames", nargs=2, type=Path, default=[], metavar=("FIRST", "SECOND"))
    parser.add_argument("--coarse", type=Path, help="coarser copy of FIRST")
    parser.add_argument("--nodata", help="value of missing pixels, if the frames do not declare one")
    arguments = parser.parse_args()
    if arguments.coarse and not arguments.frames:
        parser.error("--coarse requires --frames")
    require_distinct(parser, *arguments.frames, *([arguments.coarse] if arguments.coarse else []))
    shares = []
    with tempfile.TemporaryDirectory() as scratch:
        colour = model_folder.load(arguments.model)
        for title, path in identical(Path(scratch)):
            shares.append((title, changed_share(colour, path, path), 0.0))
        if arguments.frames:
            nodata = ["--read.nodata", arguments.nodata] if arguments.nodata else []
            grey = model_folder.load(arguments.model, SINGLE_BAND + nodata)
            first, second = map(str, arguments.frames)
            shares.append(("one frame and itself", changed_share(grey, first, first), 0.0))
            pairs = [
                ("two frames of one pass", first, second),
                ("the other way round", second, first),
                ("across a copy in degrees", reprojected(first, Path(scratch, "degrees.tif"), "EPSG:4326"), second),
            ]
            if arguments.coarse:
                pairs.append(("across a coarser copy", str(arguments.coarse), second))
            shares += [(title, changed_share(grey, before, after), LIMIT) for title, before, after in pairs]
    for title, share, limit in shares:
        print(f"{title:30} {share:9.4%} changed   at most {limit:.1%}   {'' if share <= limit else 'TOO MUCH'}")
    return int(any(share > limit for _, share, limit in shares))


if __name__ == "__main__":
    sys.exit(main())
