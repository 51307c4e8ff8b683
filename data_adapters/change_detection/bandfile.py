"""One raster file of a date: its selected bands as they are stored, and which of its pixels have data.

rasterio does the decoding. rioxarray is not used because untrusted files are checked before they are decoded, and
because it masks each band by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.georeference import placed
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.opening import STRICT, failure, opened
from transect.data_adapters.change_detection.palette import colour_table, expanded

CACHE_BYTES, VRT_CACHE_BYTES = 8 << 20, 64 << 20
"""GDAL's block cache in bytes while reading. Rows are read by whole blocks, so a larger cache does not help, except for
a VRT, whose blocks differ from those of its sources."""


class BandFile:
    """The selected bands of one open raster; those of a palette image are its red, green, blue and alpha.

    `count` is the number of bands, `dtype` the type of the values, at first as stored, `grid` the georeference, and
    `block_rows` the height of a compressed block. `declares` is whether the file says by a nodata value, a mask or an
    alpha band which of its pixels have no data.

    Args:
        path: Names the file in errors.
        dataset: The open raster.
        grid: Its georeference.
        bands: Numbers from 1, in the order in which they are read.
        config: Gives the nodata value where the file declares none.
        fill: A further value of pixels without data, or None.

    Raises:
        BadInput: there are fewer bands, they are complex numbers, or the file holds several palette images.
    """

    def __init__(
        self,
        path: str,
        dataset: DatasetReader,
        grid: Grid,
        bands: Sequence[int],
        config: ReadConfig,
        fill: float | None = None,
    ) -> None:
        self.path, self.grid, self.bands, self._dataset = path, grid, list(bands), dataset
        self._alpha = [i for i, colour in enumerate(dataset.colorinterp, 1) if colour == ColorInterp.alpha]
        self._colours = colour_table(dataset)
        self.count = dataset.count if self._colours is None else 3 + bool((self._colours[3] < 255).any())
        if self._colours is not None and dataset.count > 1 + len(self._alpha):
            raise BadInput(path, "palette images", dataset.count, "1", "save one of them as a file of its own")
        _check_bands(path, self.count, bands)
        self._stored = [1] if self._colours is not None else self.bands
        self.dtype = _sample_type(path, {dataset.dtypes[band - 1] for band in self._stored})
        declared = [dataset.nodatavals[band - 1] for band in self._stored]
        self._nodata = [_nodata_values(value, config.default_nodata, fill) for value in declared]
        self._any = config.nodata_in == "any" or fill is not None
        self._masked = _masked_bands(dataset, self._stored)
        transparent = self._colours is not None and self.count == 4
        self.declares = any(self._nodata) or bool(self._masked or self._alpha or transparent)
        self.block_rows = dataset.block_shapes[0][0]

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Values `(bands, height, width)` and the bool mask `(height, width)` of valid pixels; see `layers`."""
        values, valid, missing = self.layers(row, col, height, width)
        return values, valid if missing is None else valid & ~missing

    def layers(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Read a window inside the raster.

        Returns:
            Values `(bands, height, width)` of type `dtype`; the bool mask `(height, width)` of the pixels that the
            mask and the alpha band leave and that are finite in all bands; and that of the pixels which have a nodata
            value in all bands, or in any, or None where there are none.

        Raises:
            BadInput: the rows cannot be decoded.
        """
        window = Window(col, row, width, height)
        # Alpha is read together with the other bands: often interleaved, it would be decoded twice.
        indexes = self._stored + [band for band in self._alpha if band not in self._stored]
        with decoding(self.path, self._dataset, window):
            stored = self._dataset.read(indexes, window=window, out_dtype=self.dtype)
            valid = np.ones(stored.shape[1:], dtype=bool)
            for band in self._alpha:
                valid &= stored[indexes.index(band)] > 0
            for band in self._masked:
                valid &= self._dataset.read_masks(band, window=window) > 0
        stored = stored[: len(self._stored)]
        if self.dtype.kind == "f":
            valid &= np.isfinite(stored).all(axis=0)
        missing = self._missing(stored)
        if self._colours is None:
            return stored, valid, missing
        if self.count == 4:
            valid &= expanded(stored[0], self._colours[3:])[0] > 0
        colours = expanded(stored[0], self._colours[[band - 1 for band in self.bands]])
        return colours.astype(self.dtype, copy=False), valid, missing

    def _missing(self, stored: np.ndarray) -> np.ndarray | None:
        missing: np.ndarray | None = None
        for pixels, nodata in zip(stored, self._nodata, strict=True):
            here = _equal(pixels, nodata)
            if self._any and missing is not None and here is not None:
                missing |= here
            elif self._any:
                missing = here if missing is None else missing
            elif here is None:
                return None
            else:
                missing = here if missing is None else missing & here
        return missing


@contextmanager
def band_file(path: str, bands: Sequence[int], config: ReadConfig, fill: float | None = None) -> Iterator[BandFile]:
    """Open the raster at `path`; see `BandFile`, `opened` and `placed`."""
    with opened(path, config) as dataset, placed(path, dataset, config.default_nodata) as (located, grid):
        yield BandFile(path, located, grid, bands, config, fill)


def common_type(dtypes: Sequence[np.dtype]) -> np.dtype:
    """float32, or the integer type that holds the values of all `dtypes`."""
    dtype = np.result_type(*dtypes)
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _equal(pixels: np.ndarray, values: list[float]) -> np.ndarray | None:
    """Where `pixels` have one of `values`, which their type need not have; None if nowhere."""
    equal: np.ndarray | None = None
    for given in values:
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.array(given).astype(pixels.dtype)
        if pixels.dtype.kind == "f" or value == given:
            here = pixels == value
            equal = here if equal is None else equal | here
    return equal if equal is not None and equal.any() else None


def _nodata_values(declared: float | None, configured: float | None, fill: float | None) -> list[float]:
    nodata = configured if declared is None else declared
    return sorted({value for value in (nodata, fill) if value is not None})


def _check_bands(path: str, count: int, bands: Sequence[int]) -> None:
    if count < max(bands):
        repeated = ",".join("1" * len(bands))
        advice = f"set read.bands [{repeated}]" if count == 1 else "choose others with read.bands"
        raise BadInput(path, "bands", count, f"at least {max(bands)}", advice)


def _sample_type(path: str, names: set[str]) -> np.dtype:
    if any(name.startswith("complex") for name in names):
        raise BadInput(path, "data type", ", ".join(sorted(names)), "real numbers")
    return common_type([np.dtype(name) for name in names])


def _masked_bands(dataset: DatasetReader, bands: Sequence[int]) -> list[int]:
    """The bands whose mask is neither their nodata value nor an alpha band; only the first where they share a mask."""
    flags = {band: dataset.mask_flag_enums[band - 1] for band in bands}
    shared = [band for band in bands if MaskFlags.per_dataset in flags[band] and MaskFlags.alpha not in flags[band]]
    return shared[:1] + [band for band in bands if not flags[band]]


@contextmanager
def decoding(path: str, dataset: DatasetReader, window: Window) -> Iterator[None]:
    """Decode strictly, and raise BadInput with the path and the rows for what GDAL cannot decode."""
    cache = VRT_CACHE_BYTES if dataset.driver == "VRT" else CACHE_BYTES
    try:
        with rasterio.Env(GDAL_CACHEMAX=cache, **STRICT):
            yield
    except (RasterioError, CPLE_BaseError, OSError, MemoryError) as error:
        rows = f"rows {window.row_off} to {window.row_off + window.height - 1}"
        advice = "the file is truncated or damaged"
        raise BadInput(path, rows, failure(path, error), "pixels that can be decoded", advice) from error
