"""Cut a scene into strips of rows, and read each date's part of them in order."""

from itertools import pairwise

from transect.data_adapters.change_detection.align import Alignment, Read
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.rows import RowReader


def strip_rows(
    before: Raster, after: Raster, alignments: tuple[Alignment, Alignment], largest: int, most: int
) -> list[tuple[int, int]]:
    """First row and height of each strip: whole block rows of the second date, or equal parts of one.

    Args:
        before: The first date.
        after: The second date.
        alignments: From the grid of each date to that of the scene.
        largest: Bytes of a strip of both dates.
        most: Rows of a strip.
    """
    height, width = alignments[0].target.height, alignments[0].target.width
    source = alignments[0].source_window(0, 0, height, width)
    first = source[2] / height * source[3] / before.grid.width * before.row_bytes
    second = width / after.grid.width * after.row_bytes
    rows = min(most, max(1, int(largest / (first + second))))
    block = min(after.block_rows, after.grid.height)
    # If less than two block rows fit into a strip, a block row is split, so that less data is in flight.
    rows = rows - rows % block if rows >= 2 * block else -(-block // -(-2 * block // rows))
    top = alignments[1].shift[0]  # type: ignore[index]
    edges = [0, *range(rows - top % rows, height, rows), height]
    return [(row, end - row) for row, end in pairwise(edges)]


def reader_of(raster: Raster, alignment: Alignment, portions: list[tuple[int, int]], largest: int) -> Read:
    """The reader for the source windows of `portions`: a `RowReader` if they come in row order, else random access.

    Args:
        raster: The raster.
        alignment: From its grid to that of the scene.
        portions: First row and height of each strip of the scene.
        largest: Bytes of a window from which on it is not buffered.
    """
    width = alignment.target.width
    windows = [alignment.source_window(row, 0, rows, width) for row, rows in portions]
    tops = [top for top, _, height, _ in windows if height]
    tallest = max(height for _, _, height, _ in windows)
    if tops != sorted(tops) or tallest * raster.row_bytes > largest:
        return raster.read
    left = min(left for _, left, _, _ in windows)
    right = max(left + columns for _, left, _, columns in windows)
    end = max(top + height for top, _, height, _ in windows)
    return RowReader(raster, left, right - left, end).read
