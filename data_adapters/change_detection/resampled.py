"""Bands of a product on the grid of its finest band: coarser ones bilinearly, the quality band by nearest neighbour."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import numpy as np
from affine import Affine

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.align import Alignment
from transect.data_adapters.change_detection.bandfile import BandFile, band_file
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.product import Quality
from transect.data_adapters.change_detection.quality import BANDS, FILL, classes_of, decoded, unusable
from transect.data_adapters.change_detection.rows import RowReader


class Resampled:
    """A band file on the grid of `finest`, another one of its date.

    Raises:
        BadInput: the file does not cover the other one.
    """

    def __init__(self, file: BandFile, finest: BandFile) -> None:
        self._source = _InOrder(file)
        self._alignment = Alignment(file.grid, finest.grid)
        _check_place(file, finest, self._alignment)

    def layers(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, None]:
        """A window like that of `BandFile.layers`; a pixel is valid if all pixels that contribute to it are."""
        return *self._alignment.read(self._source.read, row, col, height, width), None


class QualityBand:
    """The quality band of a product on the grid of its finest band."""

    def __init__(self, file: BandFile, quality: Quality, grid: Grid) -> None:
        self._file, self._kind, self._grid = file, quality.kind, grid
        self._source = _InOrder(file)

    def unusable(self, classes: Collection[str], row: int, col: int, height: int, width: int) -> np.ndarray:
        """The pixels of a window that are fill or of `classes`, bool (height, width); also those outside the file.

        Raises:
            BadInput: rows cannot be decoded, or have values outside the coding.
        """

        def mask(*window: int) -> np.ndarray:
            values, _ = self._source.read(*window)
            with self._coding():
                return unusable(values, self._kind, classes).astype(np.uint8)

        corner = self._grid.transform * Affine.translation(col, row)
        window = Grid(width, height, corner, self._grid.crs)
        return Alignment(self._file.grid, window).nearest(mask, fill=1) > 0

    def shares(self, row: int, col: int, height: int, width: int) -> dict[str, float]:
        """The share of each class among the pixels of a window that are not fill, and the share of `quality.FILL`.

        Raises:
            BadInput: rows cannot be decoded, or have values outside the coding.
        """
        classes = classes_of(self._kind)
        pixels, totals = 0, dict.fromkeys((FILL, *classes), 0)
        edges = np.array([col, col + width, col, col + width]), np.array([row, row, row + height, row + height])
        columns, rows = Alignment(self._file.grid, self._grid).positions(*edges)
        left, right = _within(columns, self._file.grid.width)
        top, bottom = _within(rows, self._file.grid.height)
        for start in range(top, bottom, self._file.block_rows):
            values, _ = self._file.read(start, left, min(self._file.block_rows, bottom - start), right - left)
            with self._coding():
                marked = decoded(values, self._kind, classes)
            pixels += marked[FILL].size
            for name in totals:
                totals[name] += int((marked[name] & ~marked[FILL] if name != FILL else marked[FILL]).sum())
        measured = max(pixels - totals[FILL], 1)
        return {name: total / (pixels if name == FILL else measured) for name, total in totals.items()}

    @contextmanager
    def _coding(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise BadInput(self._file.path, "quality band", str(error), f"the coding of {self._kind}") from error


@contextmanager
def quality_band(quality: Quality, config: ReadConfig, finest: BandFile) -> Iterator[QualityBand]:
    """Open a quality band for the grid of `finest`.

    Raises:
        BadInput: it cannot be opened, has another number of bands, or does not cover `finest`.
    """
    bands = list(range(1, BANDS[quality.kind] + 1))
    with band_file(quality.file, bands, ReadConfig(max_pixels=config.max_pixels)) as file:
        if file.count != len(bands):
            raise BadInput(quality.file, "bands", file.count, f"{len(bands)}, as {quality.kind} has")
        _check_place(file, finest, Alignment(file.grid, finest.grid))
        yield QualityBand(file, quality, finest.grid)


class _InOrder:
    """Reads windows of a file, and decodes each block once while windows of the same columns follow each other."""

    def __init__(self, file: BandFile) -> None:
        self._file = file
        self._rows: RowReader | None = None

    def read(self, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        if self._rows is None or (self._rows.col, self._rows.width) != (col, width):
            self._rows = RowReader(self._file, col, width, self._file.grid.height)
        return self._rows.read(row, col, height, width)


def _within(positions: np.ndarray, size: int) -> tuple[int, int]:
    """The first pixel between the smallest and the largest of `positions`, and the one after the last."""
    first, end = np.clip(np.rint([positions.min(), positions.max()]), 0, size).astype(int)
    return int(first), int(max(end, first))


def _check_place(file: BandFile, finest: BandFile, alignment: Alignment) -> None:
    """Require that `file` covers `finest` up to one pixel, or exactly if it has the same pixels."""
    width, height = finest.grid.width, finest.grid.height
    columns, rows = alignment.positions(np.array([0.0, width, 0, width]), np.array([0.0, 0, height, height]))
    margin = 1.0 if alignment.shift is None else 1e-3
    size = file.grid.width, file.grid.height
    if (file.grid.crs is None) != (finest.grid.crs is None) or not all(
        -margin <= ends.min() and ends.max() <= length + margin
        for ends, length in zip((columns, rows), size, strict=True)
    ):
        found = f"{size[0]} x {size[1]} pixels, {tuple(file.grid.transform)[:6]}"
        raise BadInput(file.path, "extent", found, f"all of {finest.path}", "give files of one product and tile")
