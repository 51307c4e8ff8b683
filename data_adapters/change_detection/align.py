"""Align two raster grids: map pixel positions between their transforms and CRSs, and resample windows.

Windows are warped here because rasterio's `WarpedVRT` averages around invalid pixels, and knows neither masks that
combine several bands nor NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject, transform

from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.wrap import centre_of, grid_moved_near, moved_near, recentred, turn_of

Window = tuple[int, int, int, int]
"""Row, column, height and width, in pixels."""

Read = Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
"""Reads a window as values (bands, height, width) and the mask (height, width) of valid pixels."""

SAME_GRID = 1e-3
"""Grids that differ by less than this fraction of a pixel are treated as the same."""

AVERAGE_FROM = 2 - 1e-6
"""Source pixels per target pixel, along a side, from which on they are averaged."""

EDGE = 1e-6
TOLERANCE = 1e-3
FULLY_VALID = 1 - 1e-5


@dataclass(frozen=True)
class Alignment:
    """Maps pixels of `source` to `target`; both have a CRS or neither has.

    Positions are (column, row) in pixels, with the upper left corner of the upper left pixel at (0, 0).
    """

    source: Grid
    target: Grid

    def positions(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map positions in `target` to `source`; infinite where the projection is undefined."""
        turn = turn_of(self.source.crs)
        if self.source.crs == self.target.crs and turn is None:
            to_source = ~self.source.transform * self.target.transform
            return to_source * (columns, rows)
        x, y = self.target.transform * (columns.ravel(), rows.ravel())  # type: ignore[operator]
        if self.source.crs != self.target.crs:
            try:
                x, y = map(np.array, transform(self.target.crs, self.source.crs, x, y))
            except (RasterioError, CPLE_BaseError):
                x = y = np.full(x.shape, np.inf)
        if turn is not None:
            x = moved_near(x, centre_of(self.source), turn)
        with np.errstate(invalid="ignore"):
            columns_there, rows_there = ~self.source.transform * (x, y)
        return columns_there.reshape(columns.shape), rows_there.reshape(columns.shape)

    @cached_property
    def shift(self) -> tuple[int, int] | None:
        """Integer (row, column) offset from target to source pixels; None unless the grids coincide up to it."""
        columns, rows = _lattice(0, 0, self.target.height, self.target.width, 5)
        displacement = np.array(self.positions(columns, rows)) - (columns, rows)
        nearest = np.rint(displacement[:, :1, :1])
        if not np.abs(displacement - nearest).max() < SAME_GRID:
            return None
        return int(nearest[1, 0, 0]), int(nearest[0, 0, 0])

    @cached_property
    def offset(self) -> tuple[float, float]:
        """Sub-pixel offset (columns, rows) of the source's pixel corners from the target's, in target pixels.

        Each is in [-0.5, 0.5], measured at the centre of the target.
        """
        centre = np.array([[self.target.width // 2], [self.target.height // 2]], dtype=float)
        corner = np.rint(self.positions(*centre))
        in_target = np.array(Alignment(self.target, self.source).positions(*corner))
        columns, rows = (in_target - np.rint(in_target)).ravel()
        return float(columns), float(rows)

    @cached_property
    def scale(self) -> float:
        """Source pixels per target pixel along a side, at the centre of the target."""
        centre = self.target.width / 2, self.target.height / 2
        columns, rows = self.positions(centre[0] + np.array([0.0, 1, 0]), centre[1] + np.array([0.0, 0, 1]))
        across, down = self._from_first(columns, rows)
        return float(np.sqrt(np.abs(across[0] * down[1] - across[1] * down[0])))

    def _from_first(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances of positions (n,) from the first, (n - 1,), without whole turns of longitude."""
        columns, rows = columns[1:] - columns[0], rows[1:] - rows[0]
        if turn := turn_of(self.source.crs):
            a, b, _, d, e, _ = self.source.transform[:6]
            steps = Affine(a, b, 0, d, e, 0)
            x, y = steps * (columns, rows)  # type: ignore[operator]
            return ~steps * (moved_near(x, 0, turn), y)
        return columns, rows

    @property
    def resampling(self) -> Resampling:
        """Bilinear, or average where bilinear would skip source pixels."""
        return Resampling.average if self.scale >= AVERAGE_FROM else Resampling.bilinear

    def common_window(self) -> Window | None:
        """The window of the `target` pixels whose centres are in the bounding box of `source`; None if empty."""
        lattice = _lattice(0, 0, self.target.height, self.target.width, len(_EDGE))
        columns, rows = self.positions(*lattice)
        inside = (columns >= 0) & (columns <= self.source.width) & (rows >= 0) & (rows <= self.source.height)
        if inside[_EDGE].all():
            return 0, 0, self.target.height, self.target.width
        columns, rows = Alignment(self.target, self.source).positions(*_outline(self.source))
        finite = np.isfinite(columns) & np.isfinite(rows)
        if not finite.any():
            return None
        # The outline of a source with a pole inside it does not enclose all that it covers of a target in degrees.
        left, width = _pixels(columns[finite], lattice[0][inside], self.target.width)
        top, height = _pixels(rows[finite], lattice[1][inside], self.target.height)
        return (top, left, height, width) if height > 0 and width > 0 else None

    def source_window(self, row: int, col: int, height: int, width: int) -> Window:
        """The window of the source that contributes to a window of the target, clipped to the source; may be empty."""
        if self.shift is not None:
            return row + self.shift[0], col + self.shift[1], height, width
        return self._mapped_window(row, col, height, width)

    def _mapped_window(self, row: int, col: int, height: int, width: int) -> Window:
        columns, rows = self.positions(*_lattice(row, col, height, width, 33))
        used = np.isfinite(columns) & np.isfinite(rows)
        ends = self._ends(columns, rows)
        if ends.any() and height * width == 1:
            used &= ~ends  # what is left of the pixel at the other end of the source
        if not used.any():
            return 0, 0, 0, 0
        margin = 0 if self.shift is not None else int(np.ceil(self.scale)) + 2
        left, right = _span(columns[used], margin, self.source.width)
        top, bottom = _span(rows[used], margin, self.source.height)
        if ends.any() and height * width > 1:  # the source's ends meet inside the window
            along, across = self.source.transform.a, self.source.transform.b
            left, right = (0, self.source.width) if along else (left, right)
            top, bottom = (0, self.source.height) if across else (top, bottom)
        return top, left, bottom - top, right - left

    def _ends(self, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Positions that are more than half a turn of longitude from the one in the middle."""
        turn = turn_of(self.source.crs)
        if turn is None:
            return np.zeros(columns.shape, bool)
        with np.errstate(invalid="ignore"):
            x, _ = self.source.transform * (columns, rows)  # type: ignore[operator]
            return np.asarray(np.abs(x - x[tuple(length // 2 for length in x.shape)]) > turn.length / 2)

    def read(self, read: Read, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Read a window of the target.

        Where the grids coincide the pixels are unchanged. Otherwise they are resampled, and a pixel is valid only if
        every source pixel that contributes to it is.

        Args:
            read: Reads windows inside the source.
            row: First row of the window in the target.
            col: First column.
            height: Number of rows.
            width: Number of columns.

        Returns:
            Values `(bands, height, width)` and the mask `(height, width)` of valid pixels.
        """
        window = self.source_window(row, col, height, width)
        if self.shift is not None:
            return read(*window)
        if window[2] * window[3] > 4 * height * width * self.scale**2 + (1 << 20) and max(height, width) > 1:
            return self._read_halves(read, row, col, height, width)
        values, valid = read(*window)
        if not valid.all():
            values = np.where(valid, values, values.dtype.type(0))
        resampled = np.zeros((len(values), height, width), values.dtype)
        coverage = np.zeros((1, height, width), np.float32)
        if values.size:
            self._warp(values, resampled, window, (row, col), self.resampling)
            self._warp(valid[None].astype(np.float32), coverage, window, (row, col), self.resampling)
        return resampled, coverage[0] > FULLY_VALID

    def nearest(self, read: Callable[[int, int, int, int], np.ndarray], fill: int) -> np.ndarray:
        """Nearest-neighbour resampling of the whole target, (height, width) uint8; `fill` outside the source."""
        window = self._mapped_window(0, 0, self.target.height, self.target.width)
        resampled = np.full((1, self.target.height, self.target.width), fill, np.uint8)
        if window[2] and window[3]:
            values = read(*window)
            if self.shift == window[:2] and values.shape == resampled.shape[1:]:
                return values
            covered = np.zeros_like(resampled)
            self._warp(values[None], resampled, window, (0, 0), Resampling.nearest)
            self._warp(np.ones_like(values)[None], covered, window, (0, 0), Resampling.nearest)
            resampled[covered == 0] = fill
        return resampled[0]

    def _read_halves(self, read: Read, row: int, col: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Read the halves separately: the source bounding box of a rotated window is mostly unused pixels."""
        if width >= height:
            half = width // 2
            parts = self.read(read, row, col, height, half), self.read(read, row, col + half, height, width - half)
        else:
            half = height // 2
            parts = self.read(read, row, col, half, width), self.read(read, row + half, col, height - half, width)
        axis = -1 if width >= height else -2
        return np.concatenate([part[0] for part in parts], axis), np.concatenate([part[1] for part in parts], axis)

    def _warp(
        self, values: np.ndarray, out: np.ndarray, window: Window, corner: tuple[int, int], resampling: Resampling
    ) -> None:
        # Without a CRS any one works, since both sides get the same.
        crs = self.source.crs or CRS.from_epsg(3857), self.target.crs or CRS.from_epsg(3857)
        source = _part(replace(self.source, crs=crs[0]), window)
        target = _part(replace(self.target, crs=crs[1]), (*corner, out.shape[1], out.shape[2]))
        turn = turn_of(self.source.crs)
        if turn is not None:
            same = self.source.crs == self.target.crs
            source = grid_moved_near(source, centre_of(target), turn) if same else recentred(source)
        # GDAL would estimate the scale, and so the support of the bilinear kernel, from the shape of each window, and
        # values would depend on the window.
        reproject(
            np.ascontiguousarray(values),
            out,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=target.transform,
            dst_crs=target.crs,
            resampling=resampling,
            tolerance=TOLERANCE,
            XSCALE=1,
            YSCALE=1,
        )


def _part(grid: Grid, window: Window) -> Grid:
    row, col, height, width = window
    return Grid(width, height, grid.transform * Affine.translation(col, row), grid.crs)


def _lattice(row: int, col: int, height: int, width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.linspace(col, col + width, count), np.linspace(row, row + height, count))
    return columns, rows


_EDGE = np.pad(np.zeros((63, 63), bool), 1, constant_values=True)
"""The outermost points of a lattice, 65 along each side."""


def _outline(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = _lattice(0, 0, grid.height, grid.width, len(_EDGE))
    return columns[_EDGE], rows[_EDGE]


def _pixels(outline: np.ndarray, inside: np.ndarray, size: int) -> tuple[int, int]:
    """First pixel and number of pixels with centres between the ends of `outline`.

    They are extended to the points of the lattice that are `inside`, or to the neighbours of those far from the ends.
    """
    low, high, step = outline.min(), outline.max(), size / (len(_EDGE) - 1)
    if inside.size:
        nearest, farthest = inside.min(), inside.max()
        low = min(low, nearest - step if nearest < low - step else nearest)
        high = max(high, farthest + step if farthest > high + step else farthest)
    first = max(0, int(np.ceil(np.clip(low, -1, size + 1) - 0.5 - EDGE)))
    last = min(size - 1, int(np.floor(np.clip(high, -1, size + 1) - 0.5 + EDGE)))
    return first, last - first + 1


def _span(positions: np.ndarray, margin: int, size: int) -> tuple[int, int]:
    first = int(np.floor(np.clip(positions.min(), -margin, size + margin) + SAME_GRID)) - margin
    last = int(np.ceil(np.clip(positions.max(), -margin, size + margin) - SAME_GRID)) + margin
    first = min(max(first, 0), size)
    return first, max(first, min(last, size))
