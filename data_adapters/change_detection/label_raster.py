"""Open a label raster: its values as stored, its colour table, and where it says anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.enums import ColorInterp, Compression, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from transect.data_adapters.change_detection.bandfile import decoding
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.opening import opened
from transect.data_adapters.change_detection.palette import colour_table

SCAN_PIXELS = 1 << 22


@dataclass(frozen=True)
class LabelRaster:
    """An open label raster with one band of values or indices, or three of colour, and perhaps alpha."""

    path: str
    dataset: DatasetReader

    @property
    def grid(self) -> Grid:
        return Grid(self.dataset.width, self.dataset.height, self.dataset.transform, self.dataset.crs or None)

    @property
    def bands(self) -> int:
        """The number of bands that hold the label: 3 of a colour image, else 1."""
        return len(self._colour_bands)

    @property
    def is_jpeg(self) -> bool:
        """Whether the values are compressed with loss."""
        return bool(self.dataset.driver == "JPEG" or self.dataset.compression == Compression.jpeg)

    @property
    def is_bilevel(self) -> bool:
        """Whether a pixel has one bit, so that 1 is white."""
        return bool(self.dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1")

    @property
    def colour_table(self) -> np.ndarray | None:
        """The RGBA colour of each index, uint8 `(256, 4)`, transparent where it has none; None without indices."""
        given = colour_table(self.dataset) if self.dataset.dtypes[0] == "uint8" else None
        if given is None:
            return None
        table = np.zeros((256, 4), np.uint8)
        table[: given.shape[1]] = given.T
        return table

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a window inside the raster.

        Returns:
            Values as stored, `(bands, height, width)`, and where they are known, `(height, width)` bool: not NaN, and
            neither transparent nor masked.

        Raises:
            BadInput: the rows cannot be decoded.
        """
        window = Window(col, row, width, height)
        alpha = [band for band in self.dataset.indexes if self._is_alpha(band)]
        with decoding(self.path, self.dataset, window):
            stored = self.dataset.read(self._colour_bands + alpha, window=window)
            values, opacity = stored[: self.bands], stored[self.bands :]
            known = (opacity > 0).all(axis=0)
            if values.dtype.kind == "f":
                known &= ~np.isnan(values).any(axis=0)
            if not {MaskFlags.all_valid, MaskFlags.nodata, MaskFlags.alpha} & set(self.dataset.mask_flag_enums[0]):
                known &= self.dataset.read_masks(1, window=window) > 0
        return values, known

    def colours(self) -> Iterator[np.ndarray]:
        """The distinct known colours of consecutive strips, each `(colours, bands)`."""
        return (_distinct(*strip) for strip in self._strips())

    def largest(self) -> float:
        """The largest value of all pixels."""
        return max(float(values.max()) for values, _ in self._strips())

    def _strips(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All pixels, in strips of whole blocks, as `read` returns them."""
        height, width = self.dataset.shape
        block = self.dataset.block_shapes[0][0]
        rows = block * max(1, SCAN_PIXELS // (block * width))
        for row in range(0, height, rows):
            yield self.read(row, 0, min(rows, height - row), width)

    @property
    def _colour_bands(self) -> list[int]:
        bands = [band for band in self.dataset.indexes if not self._is_alpha(band)]
        return bands[:3] if len(bands) >= 3 else bands[:1]

    def _is_alpha(self, band: int) -> bool:
        return bool(self.dataset.colorinterp[band - 1] == ColorInterp.alpha)


@contextmanager
def open_label(path: str) -> Iterator[LabelRaster]:
    """Open the label raster at `path`.

    Raises:
        BadInput: it is no raster that `opened` accepts.
    """
    with opened(path, ReadConfig(bands=[1])) as dataset:
        yield LabelRaster(path, dataset)


def _distinct(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    if (values[1:] == values[:1]).all():
        grey = values[0] if known.all() else values[0][known]
        levels = np.flatnonzero(np.bincount(grey.ravel())) if grey.dtype == np.uint8 else np.unique(grey)
        return np.repeat(levels[:, None], len(values), axis=1)
    return np.unique(values[:, known], axis=1).T
