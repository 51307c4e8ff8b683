"""Read windows of a raster in the order of their rows, so that each compressed block is decoded once."""

from typing import Protocol

import numpy as np


class Source(Protocol):
    """What is read: `block_rows` is the height of a compressed block."""

    block_rows: int

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Values `(bands, height, width)` and the bool mask `(height, width)` of valid pixels."""


class RowReader:
    """Reads windows of a raster from top to bottom and decodes each block once.

    Whole block rows are read and rows not yet requested are buffered, so windows need not be aligned with the blocks,
    and GDAL's process-wide cache, which other threads share, plays no part. Windows may overlap; a window that starts
    above the start of the previous one is read again. At most one window and one block row are buffered.

    Args:
        raster: The raster to read, or one of its files.
        col: First column of all windows.
        width: Number of columns.
        end: Row after the last.
    """

    def __init__(self, raster: Source, col: int, width: int, end: int) -> None:
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
