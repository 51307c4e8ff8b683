"""Write a raster of one uint8 band by rows of tiles, as a Cloud Optimized GeoTIFF.

A COG has its overviews in front of its pixels, so it can only be written when all pixels are known: they are written to
a temporary GeoTIFF next to it, which is copied and removed at the end. Both are compressed.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter

from transect.data_adapters.change_detection.maps import NODATA, Grid
from transect.data_adapters.files import writing

BLOCK = 512
"""Tile size of the GeoTIFFs, in pixels."""

CACHE_BYTES = 16 << 20
"""Size of GDAL's cache of blocks, which is a share of all memory by default."""

Colours = Mapping[int, tuple[int, int, int, int]]
"""RGBA of the values of a raster."""

ERRORS = (RasterioError, CPLE_BaseError)


@contextmanager
def cog(
    path: Path, grid: Grid, description: str, tags: Mapping[str, str], scale: float = 1, colours: Colours | None = None
) -> Iterator[DatasetWriter]:
    """A raster to be written by rows of tiles; at the end it is copied to `path`, and all tiles are verified.

    The file is tiled, deflated and has overviews until the smallest fits into one tile: of the most frequent value
    where the raster has `colours`, else of the mean.

    Args:
        path: The Cloud Optimized GeoTIFF; it appears when the block ends without an error.
        grid: Size, transform and CRS.
        description: Of the band.
        tags: Of the file.
        scale: What one step of the values is worth.
        colours: The colour table of classes, or None for quantities.

    Raises:
        OSError: the file could not be written whole.
    """
    draft, factors = path.with_name(f".{path.name}.draft"), _factors(grid)
    try:
        with writing(path, *ERRORS):
            raster = _opened(
                draft, "w", driver="GTiff", width=grid.width, height=grid.height, count=1, dtype="uint8", nodata=NODATA,
                crs=grid.crs, transform=grid.transform, tiled=True, blockxsize=BLOCK, blockysize=BLOCK,
                compress="deflate", zlevel=1, BIGTIFF="IF_SAFER", **{"photometric": "palette"} if colours else {},
            )  # fmt: skip
        try:
            with writing(path, *ERRORS):
                raster.update_tags(**tags)
                raster.set_band_description(1, description)
                if colours:
                    raster.write_colormap(1, colours)
                else:
                    raster.scales = (scale,)
            yield raster
        finally:
            with writing(path, *ERRORS):
                raster.close()
        with writing(path, *ERRORS), rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=BLOCK, GDAL_CACHEMAX=CACHE_BYTES):
            if factors:
                with _opened(draft, "r+") as raster:
                    raster.build_overviews(factors, Resampling.mode if colours else Resampling.average)
            _check(draft, factors, decode=False)  # the copy decodes every tile
            predictor = "NO" if colours else "STANDARD"
            options = {"COMPRESS": "DEFLATE", "PREDICTOR": predictor, "BLOCKSIZE": BLOCK, "BIGTIFF": "IF_SAFER"}
            rasterio.shutil.copy(draft, path, driver="COG", **options)
            _check(path, factors)
    finally:
        draft.unlink(missing_ok=True)


def _factors(grid: Grid) -> list[int]:
    """Overview factors: powers of two until the smallest overview fits into one tile."""
    return [2**power for power in range(1, math.ceil(math.log2(max(grid.width, grid.height) / BLOCK)) + 1)]


def _check(path: Path, factors: list[int], decode: bool = True) -> None:
    """Raise OSError unless every tile of every level is stored and, with `decode`, can be decoded.

    A full disk may show only when GDAL closes a file, where the error is logged but not raised. The checksum inside
    each deflated tile detects damage.
    """
    for level in range(-1, len(factors)):
        with _opened(path, "r", **({"overview_level": level} if level >= 0 else {})) as raster:
            if level < 0 and raster.overviews(1) != factors:
                raise OSError(f"found overviews {raster.overviews(1)}, expected {factors}")
            for (row, column), window in raster.block_windows(1):
                if not raster.block_size(1, row, column):
                    raise OSError(f"level {level}: tile {row}, {column} is missing")
                if decode:
                    raster.read(1, window=window)


def _opened(path: Path, mode: str, **options: Any) -> Any:
    with warnings.catch_warnings():  # images without georeferencing are valid input
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, mode, **options)
