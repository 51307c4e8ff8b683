"""Read one date of a pair, a raster or a stack of single-band files: grid, pixels and validity mask.

rasterio does the decoding. rioxarray is not used because untrusted files are checked before they are decoded, and
because it masks each band by itself.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.opening import STRICT, failure, opened
from transect.data_adapters.change_detection.product import Product

CACHE_BYTES, VRT_CACHE_BYTES = 8 << 20, 64 << 20
"""GDAL's block cache in bytes while reading. Rows are read by whole blocks, so a larger cache does not help, except for
a VRT, whose blocks differ from those of its sources."""


class Raster:
    """The selected bands of a raster, or of several single-band files on one grid stacked in the given order.

    `grid` is the georeference, `dtype` is float32 or the files' integer type, and `block_rows` the height of a
    compressed block. A context manager; use it in the thread that opened it.

    Args:
        paths: Anything that `opened` opens: files, URLs, COGs, and VRTs with sources below their folder.
        config: Bands, nodata value and size limit.
        product: What a satellite product says of the files: its channels are read in the place of `config.bands`.

    Raises:
        BadInput: a file is missing, unreadable, not a raster, larger than `config.max_pixels`, a decompression bomb,
            has too few bands, or is not on the grid of its date's other files.
    """

    def __init__(self, paths: Sequence[str], config: ReadConfig, product: Product | None = None) -> None:
        self.paths = tuple(paths)
        self._nodata = config.nodata
        with ExitStack() as stack:
            if not self.paths:
                raise BadInput("(no file)", "files", "none", "a raster")
            if len(paths) == 1:
                dataset = stack.enter_context(opened(paths[0], config))
                _check_bands(paths[0], dataset.count, config.numbers, "bands")
                self._parts = [(paths[0], dataset, sorted(set(config.numbers)))]
            else:
                _check_bands(paths[0], len(paths), config.numbers, "single-band files")
                chosen = [paths[band - 1] for band in sorted(set(config.numbers))]
                self._parts = [(path, stack.enter_context(opened(path, config)), [1]) for path in chosen]
                _check_stack(self._parts)
            dtypes = {dataset.dtypes[band - 1] for _, dataset, bands in self._parts for band in bands}
            self.dtype = _sample_type(self.paths[0], dtypes)
            self._close = stack.pop_all().close
        self._order = [sorted(set(config.numbers)).index(band) for band in config.numbers]
        self.grid = _grid(self._parts[0][1])
        self.block_rows = max(dataset.block_shapes[0][0] for _, dataset, _ in self._parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the selected bands, decoded."""
        return self.grid.width * len(self._order) * self.dtype.itemsize

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a window inside the raster.

        A pixel is valid unless in any selected band it is the nodata value (`config.nodata` where the raster declares
        none), NaN or infinite, or the raster's mask (internal or as a .msk side file) or alpha band is zero there.

        Args:
            row: First row.
            col: First column.
            height: Number of rows.
            width: Number of columns.

        Returns:
            Values `(bands, height, width)` of type `dtype`, and the bool mask `(height, width)` of valid pixels.

        Raises:
            BadInput: the rows cannot be decoded.
        """
        window = Window(col, row, width, height)
        parts = [self._read_part(part, window) for part in self._parts]
        values = parts[0][0] if len(parts) == 1 else np.concatenate([part for part, _ in parts])
        valid = np.logical_and.reduce([part for _, part in parts]) if len(parts) > 1 else parts[0][1]
        return values if self._order == list(range(len(values))) else values[self._order], valid

    def _read_part(self, part: tuple[str, DatasetReader, list[int]], window: Window) -> tuple[np.ndarray, np.ndarray]:
        path, dataset, bands = part
        alpha = [i for i, colour in enumerate(dataset.colorinterp, 1) if colour == ColorInterp.alpha]
        # Alpha is read together with the other bands: often interleaved, it would be decoded twice.
        indexes = bands + [band for band in alpha if band not in bands]
        with decoding(path, dataset, window):
            values = dataset.read(indexes, window=window, out_dtype=self.dtype)
            valid = np.ones(values.shape[1:], dtype=bool)
            for band, pixels in zip(bands, values, strict=False):
                _drop_nodata(valid, pixels, dataset.nodatavals[band - 1], self._nodata)
            for band in alpha:
                valid &= values[indexes.index(band)] > 0
            for band in _masked_bands(dataset, bands):
                valid &= dataset.read_masks(band, window=window) > 0
        return values[: len(bands)], valid


class RowReader:
    """Reads windows of a raster from top to bottom and decodes each block once.

    Whole block rows are read and rows not yet requested are buffered, so windows need not be aligned with the blocks,
    and GDAL's process-wide cache, which other threads share, plays no part. Windows may overlap; one that starts above
    the start of the previous one is read again. At most one window and one block row are buffered.

    Args:
        raster: The raster to read.
        col: First column of all windows.
        width: Number of columns.
        end: Row after the last.
    """

    def __init__(self, raster: Raster, col: int, width: int, end: int) -> None:
        self.raster, self.col, self.width, self.end = raster, col, width, end
        self._start = self._stop = 0
        self._held: tuple[np.ndarray, np.ndarray] | None = None

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The window as `Raster.read` returns it, as views that must not be modified."""
        self._advance(row, row + height)
        rows = slice(row - self._start, row + height - self._start)
        columns = slice(col - self.col, col + width - self.col)
        values, valid = self._held  # type: ignore[misc]
        return values[:, rows, columns], valid[rows, columns]

    def _advance(self, start: int, stop: int) -> None:
        if self._held is None or not self._start <= start < self._stop:
            self._held, self._start, self._stop = None, start, start
        if stop <= self._stop:
            return
        block = self.raster.block_rows
        end = max(stop, min(-(-stop // block) * block, self.end))
        # A copy, not a view, so that the rows above are freed while the next ones are read.
        kept = self._held and tuple(array[..., start - self._start :, :].copy() for array in self._held)
        self._held = None
        values, valid = self.raster.read(self._stop, self.col, end - self._stop, self.width)
        if kept:
            values, valid = np.concatenate([kept[0], values], axis=1), np.concatenate([kept[1], valid])
        self._held, self._start, self._stop = (values, valid), start, end


def _check_bands(path: str, count: int, bands: list[int], field: str) -> None:
    if count < max(bands):
        repeated = ",".join("1" * len(bands))
        advice = f"set read.bands [{repeated}]" if count == 1 else "choose others with read.bands"
        raise BadInput(path, field, count, f"at least {max(bands)}", advice)


def _check_stack(parts: list[tuple[str, DatasetReader, list[int]]]) -> None:
    path, first, _ = parts[0]
    for other_path, other, _ in parts:
        if other.count != 1:
            raise BadInput(other_path, "bands", other.count, "1, as it is one of several files of a date")
        if (other.shape, other.transform, other.crs) != (first.shape, first.transform, first.crs):
            found = f"{other.width} x {other.height} pixels, {tuple(other.transform)[:6]}"
            raise BadInput(other_path, "grid", found, f"the grid of {path}", "resample the bands to one grid first")


def _grid(dataset: DatasetReader) -> Grid:
    return Grid(dataset.width, dataset.height, dataset.transform, dataset.crs or None)


def _sample_type(path: str, names: set[str]) -> np.dtype:
    if any(name.startswith("complex") for name in names):
        raise BadInput(path, "data type", ", ".join(sorted(names)), "real numbers")
    dtype = np.result_type(*names)
    return np.dtype(np.float32) if dtype.kind == "f" else dtype


def _masked_bands(dataset: DatasetReader, bands: list[int]) -> list[int]:
    """The bands whose mask is neither their nodata value nor an alpha band; only the first where they share a mask."""
    flags = {band: dataset.mask_flag_enums[band - 1] for band in bands}
    shared = [band for band in bands if MaskFlags.per_dataset in flags[band] and MaskFlags.alpha not in flags[band]]
    return shared[:1] + [band for band in bands if not flags[band]]


def _drop_nodata(valid: np.ndarray, pixels: np.ndarray, declared: float | None, default: float | None) -> None:
    if pixels.dtype.kind == "f":
        valid &= np.isfinite(pixels)
    nodata = default if declared is None else declared
    if nodata is None:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.array(nodata).astype(pixels.dtype)
    if pixels.dtype.kind == "f" or value == nodata:
        valid &= pixels != value


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
