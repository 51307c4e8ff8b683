"""Regroup a stream of row blocks: an array too large for memory, as consecutive blocks of its first axis."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def regroup(
    blocks: Iterable[NDArray[Any]], shape: tuple[int, ...], rows: int, dtype: DTypeLike, name: str, unit: str = "rows"
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Regroup a stream of row blocks into blocks of `rows` rows, so that a file's tiles or chunks are compressed once.

    Args:
        blocks: `(n, *shape[1:])` each, with any numbers of rows `n`, in order.
        shape: Shape of all blocks together.
        rows: Rows of each output block except the last.
        dtype: Type of the output blocks.
        name: What the blocks are, for messages.
        unit: What their rows are, for messages.

    Yields:
        The index of the first row, and `(rows, *shape[1:])`, a buffer that the next block overwrites.

    Raises:
        ValueError: the blocks do not make up `shape`.
    """
    buffer, done = np.empty((rows, *shape[1:]), dtype), 0
    for block in blocks:
        if block.shape[1:] != shape[1:] or done + len(block) > shape[0]:
            raise ValueError(f"{name}: found {block.shape} after {done} {unit}, expected {shape} in all")
        while len(block):
            start = done % rows
            taken = min(rows - start, len(block))
            buffer[start : start + taken] = block[:taken]
            block, done = block[taken:], done + taken
            if start + taken == rows or done == shape[0]:
                yield done - start - taken, buffer[: start + taken]
    if done != shape[0]:
        raise ValueError(f"{name}: found {done} {unit}, expected {shape[0]}")
