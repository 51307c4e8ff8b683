"""Streams of row blocks: an array too large for memory, as consecutive blocks of its first axis."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def aligned(streams: Sequence[Iterable[Any]], rows: Callable[[Any], int] = len) -> Iterator[list[tuple[Any, slice]]]:
    """Iterate over several streams of blocks of the same rows together, however each of them is cut.

    Args:
        streams: The blocks of each stream.
        rows: The number of rows of a block.

    Yields:
        For each stream its current block and the slice of its rows that all current blocks have in common.

    Raises:
        ValueError: the streams do not have the same number of rows.
    """
    iterators = [(block for block in stream if rows(block)) for stream in streams]
    blocks, starts = [next(iterator, None) for iterator in iterators], [0] * len(streams)
    while all(block is not None for block in blocks):
        count = min(rows(block) - start for block, start in zip(blocks, starts, strict=True))
        yield [(block, slice(start, start + count)) for block, start in zip(blocks, starts, strict=True)]
        for index, iterator in enumerate(iterators):
            starts[index] += count
            if starts[index] == rows(blocks[index]):
                blocks[index], starts[index] = next(iterator, None), 0
    if any(block is not None for block in blocks):
        raise ValueError("streams of blocks: found different numbers of rows, expected the same in each")
