"""Tiling and blending: exact for pixelwise models, smooth for models with a larger receptive field."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.apps.change_detection.inference import Tiling, score_rows
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, Strip


def scene(height: int, width: int, seed: int = 0) -> Strip:
    random = np.random.default_rng(seed)
    before, after = random.integers(0, 256, (2, 3, height, width), dtype=np.uint8)
    return Strip(0, before, after, random.random((height, width)) < 0.9)


def cut(whole: Strip, heights: list[int]) -> list[Strip]:
    edges = np.cumsum([0, *heights])
    edges = [*edges[edges < whole.valid.shape[0]], whole.valid.shape[0]]
    return [Strip(int(a), whole.before[:, a:b], whole.after[:, a:b], whole.valid[a:b]) for a, b in pairwise(edges)]


def pointwise(before: np.ndarray, after: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.abs(before.astype(np.float32) - after.astype(np.float32)).mean(axis=1) / 255


def run(strips, height, width, size, overlap, score=pointwise, batch=3):
    pieces = list(score_rows(iter(strips), height, width, Tiling(size, overlap), score, batch))
    rows = [strip.row for strip, _ in pieces]
    assert rows == list(np.cumsum([0, *(len(levels) for _, levels in pieces)])[:-1])
    return np.concatenate([levels for _, levels in pieces])


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    tile=st.sampled_from([(32, 0), (32, 8), (32, 16), (64, 5)]),
    heights=st.lists(st.integers(1, 70), min_size=1, max_size=8),
)
def test_pointwise_scores_do_not_depend_on_the_cut(height, width, tile, heights):
    whole = scene(height, width)
    streamed = run(cut(whole, heights), height, width, *tile)
    at_once = run([whole], height, width, 512, 0)
    expected = np.rint(pointwise(whole.before[None], whole.after[None], whole.valid[None])[0] * LEVELS)
    assert streamed.tobytes() == at_once.tobytes()
    assert np.abs(streamed[whole.valid].astype(int) - expected[whole.valid]).max(initial=0) <= 1
    assert (streamed[~whole.valid] == NODATA).all()


def test_neighbouring_tiles_blend_linearly():
    calls = []

    def tile_number(before, after, valid):
        first = len(calls)
        calls.extend(range(len(before)))
        return np.stack([np.full(valid.shape[1:], (first + n) % 2, np.float32) for n in range(len(before))])

    whole = Strip(0, *(np.zeros((3, 16, 56), np.uint8),) * 2, np.ones((16, 56), bool))
    levels = run([whole], 16, 56, 32, 8, tile_number)
    assert (levels[:, :24] == 0).all()
    assert (levels[:, 32:] == LEVELS).all()
    assert levels[0, 24:32] == pytest.approx((np.arange(8) + 0.5) / 8 * LEVELS, abs=0.51)


@pytest.mark.parametrize("overlap", [0, 8, 31, 32])
def test_weights_of_all_tiles_add_up_to_the_same_everywhere(overlap):
    tiling = Tiling(64, overlap)
    for length in (64, 65, 97, 300, 1000):
        starts = tiling.starts(length)
        extent = min(64, length)
        total = np.zeros(starts[-1] + extent, int)
        for index, start in enumerate(starts):
            total[start : start + extent] += tiling.weights(index, len(starts), extent)
        assert starts[-1] + extent >= length
        assert (total == tiling.total).all()


def test_tiles_without_a_valid_pixel_are_not_scored():
    whole = scene(64, 128)
    whole.valid[:, :64] = False
    seen = []

    def counting(before, after, valid):
        seen.append(valid)
        return pointwise(before, after, valid)

    levels = run([whole], 64, 128, 64, 0, counting)
    assert sum(len(batch) for batch in seen) == 1
    assert (levels[:, :64] == NODATA).all()


def test_scores_that_are_not_numbers_become_no_change():
    whole = Strip(0, *(np.zeros((3, 32, 32), np.uint8),) * 2, np.ones((32, 32), bool))
    levels = run([whole], 32, 32, 32, 0, lambda before, after, valid: np.full(valid.shape, np.nan, np.float32))
    assert (levels == 0).all()
