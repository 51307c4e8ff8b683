"""Windows spread evenly over a scene, so that what is estimated from its values does not need all of them."""

from collections.abc import Callable, Sequence

import numpy as np

from transect.data_adapters.change_detection.align import Window
from transect.data_adapters.change_detection.fill import Fill, Sample, find_fill
from transect.data_adapters.change_detection.maps import Grid

SAMPLES, SAMPLE_SIDE = 8, 256
"""SAMPLES x SAMPLES windows of at most SAMPLE_SIDE pixels a side are read."""

Pixels = tuple[np.ndarray, np.ndarray]
"""Values (bands, height, width), and the mask (height, width) of valid pixels."""

Fills = tuple[Fill | None, Fill | None]
"""What fills the border of each date."""

Samples = list[tuple[Window, list[Sample]]]
"""By window: both dates."""


def samples_of(grid: Grid, read: Callable[..., list[Pixels]]) -> Samples:
    """The windows of `grid` with both dates, of which `read` reads a window."""
    height, width = min(SAMPLE_SIDE, grid.height), min(SAMPLE_SIDE, grid.width)
    windows = [
        (top, left, height, width) for top in _spread(grid.height, height) for left in _spread(grid.width, width)
    ]
    return [(window, [Sample(*pixels, _outermost(grid, window)) for pixels in read(*window)]) for window in windows]


def fills_of(samples: Samples, undeclared: Sequence[bool]) -> Fills:
    """What fills the border of those dates that are `undeclared`."""
    before, after = ([dates[date] for _, dates in samples] for date in (0, 1))
    first, second = undeclared
    return find_fill(before, after) if first else None, find_fill(after, before) if second else None


def _outermost(grid: Grid, window: Window) -> np.ndarray:
    """The pixels of a window that are outermost in the grid."""
    row, col, height, width = window
    rows, columns = np.arange(row, row + height), np.arange(col, col + width)
    return np.isin(rows, (0, grid.height - 1))[:, None] | np.isin(columns, (0, grid.width - 1))


def _spread(size: int, side: int) -> list[int]:
    """Start positions of at most SAMPLES evenly spaced windows of `side`, adjacent where they cover `size`."""
    count = min(SAMPLES, -(-size // side))
    return sorted({round(start) for start in np.linspace(0, size - side, count)})
