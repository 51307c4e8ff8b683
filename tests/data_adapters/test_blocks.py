"""Regrouping of row blocks: order, completeness and number of copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.blocks import aligned, regroup


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12))
def test_blocks_of_any_height_become_blocks_of_one_height(heights: list[int], rows: int) -> None:
    whole = np.arange(sum(heights) * 6, dtype=np.uint8).reshape(-1, 2, 3)
    blocks = np.split(whole, np.cumsum(heights)[:-1]) if heights else []
    found = [(start, block.copy()) for start, block in regroup(blocks, whole.shape, rows, np.float32, "blocks")]
    assert [start for start, _ in found] == list(range(0, len(whole), rows))
    assert all(len(block) == rows for _, block in found[:-1])
    assert all(block.dtype == np.float32 for _, block in found)
    np.testing.assert_array_equal(np.concatenate([block for _, block in found] or [whole]), whole)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 3)], "levels: found 2 rows, expected 4"),
        ([(2, 3), (3, 3)], r"levels: found \(3, 3\) after 2 rows, expected \(4, 3\) in all"),
        ([(2, 4)], r"levels: found \(2, 4\) after 0 rows"),
    ],
)
def test_blocks_that_do_not_make_up_the_whole_are_refused(shapes: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(regroup(map(np.zeros, shapes), (4, 3), 2, np.uint8, "levels"))


@given(st.lists(st.integers(1, 9), max_size=8), st.lists(st.integers(1, 9), max_size=8))
def test_streams_that_are_cut_differently_are_aligned(first: list[int], second: list[int]) -> None:
    rows = min(sum(first), sum(second))
    whole = np.arange(rows)
    streams = [np.split(whole, np.unique(np.clip(np.cumsum(cuts), 0, rows))) for cuts in (first, second)]
    pieces = [[block[part] for block, part in parts] for parts in aligned(streams)]
    assert all(np.array_equal(one, other) for one, other in pieces)
    np.testing.assert_array_equal(np.concatenate([one for one, _ in pieces] or [whole]), whole)


def test_streams_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="found different numbers of rows"):
        list(aligned([[np.zeros(3)], [np.zeros(2)]]))
