from collections import Counter
from itertools import chain

import pytest

from transect.apps.pde.sampling import BalancedBatches

LARGE, SMALL, ODD = list(range(1000)), list(range(1000, 1010)), list(range(1010, 1013))


def test_one_group_is_gone_through_once_an_epoch_in_another_order_each():
    batches = BalancedBatches({"": {0: LARGE}}, 10, seed=0)
    first = list(batches)
    assert sorted(chain(*first)) == LARGE
    assert list(batches) == first
    batches.set_epoch(1)
    assert sorted(chain(*batches)) == LARGE
    assert list(batches) != first


def test_data_sets_are_equally_likely_to_the_end_and_never_mixed():
    batches = list(BalancedBatches({"a": {0: LARGE}, "b": {0: SMALL}}, 5, seed=0, steps=4000))
    assert len(batches) == 4000
    sides = [{index < 1000 for index in batch} for batch in batches]
    assert all(len(side) == 1 for side in sides)
    for half in (sides[:2000], sides[2000:]):
        # Three standard deviations of a fair coin.
        assert abs(sum(side == {True} for side in half) - 1000) < 3 * 2000**0.5 / 2
    # The small one is used up a thousand times over, and evenly.
    counts = Counter(index for batch in batches for index in batch if index >= 1000)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_groups_of_one_data_set_share_it_by_their_size():
    batches = list(BalancedBatches({"a": {0: LARGE[:90], 1: SMALL}, "b": {0: ODD}}, 10, seed=3, steps=3000))
    shares = Counter("odd" if batch[0] >= 1010 else "small" if batch[0] >= 1000 else "large" for batch in batches)
    assert shares["odd"] / 3000 == pytest.approx(0.5, abs=0.03)
    assert shares["large"] / 3000 == pytest.approx(0.45, abs=0.03)
    assert all(sorted(batch) == ODD for batch in batches if batch[0] >= 1010)


def test_what_is_left_of_a_pass_is_another_each_time():
    batches = BalancedBatches({"": {0: list(range(11))}}, 5, seed=0, steps=2)
    left = set()
    for epoch in range(20):
        batches.set_epoch(epoch)
        left |= set(range(11)) - set(chain(*batches))
    assert len(left) > 5
