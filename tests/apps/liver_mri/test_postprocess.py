"""Largest component and hole filling."""

import numpy as np
import pytest
from scipy import ndimage

from transect.apps.liver_mri.postprocess import fill_holes, largest_component
from transect.data_adapters.volume.masks import bounding_box


def shells(*boxes: tuple[int, int]) -> np.ndarray:
    """Hollow cubes in a volume of 20 x 20 x 20, from the first index to before the last along each axis."""
    mask = np.zeros((20, 20, 20), np.uint8)
    for start, stop in boxes:
        mask[(slice(start, stop),) * 3] = 1
        mask[(slice(start + 1, stop - 1),) * 3] = 0
    return mask


def test_the_larger_of_two_parts_stays():
    assert np.array_equal(largest_component(shells((2, 6), (9, 16))), shells((9, 16)))


def test_parts_that_touch_at_a_corner_are_one():
    mask = shells((2, 6), (6, 9))
    assert np.array_equal(largest_component(mask), mask)


def test_a_cavity_is_filled_and_an_open_one_is_not():
    mask = shells((2, 7), (10, 15))
    mask[12, 12, 10] = 0  # opens the second one
    expected = mask.copy()
    expected[2:7, 2:7, 2:7] = 1
    assert np.array_equal(fill_holes(mask), expected)


def test_a_cavity_at_the_border_of_the_volume_is_open():
    mask = shells((-1, 5))
    mask[:5, :5, :5] = 1
    mask[:4, 1:4, 1:4] = 0
    assert np.array_equal(fill_holes(mask), mask)


@pytest.mark.parametrize("step", [largest_component, fill_holes])
@pytest.mark.parametrize("value", [0, 1])
def test_an_empty_and_a_full_mask_stay(step, value):
    mask = np.full((4, 5, 6), value, np.uint8)
    assert np.array_equal(step(mask), mask)


@pytest.mark.parametrize("seed", range(4))
def test_random_masks_are_as_by_growing_each_part(seed):
    mask = (np.random.default_rng(seed).random((14, 17, 12)) < (0.03, 0.05, 0.6, 0.75)[seed]).astype(np.uint8)
    before = mask.copy()
    rest, parts = mask > 0, []
    while rest.any():
        seed_voxel = np.zeros_like(rest)
        seed_voxel.flat[rest.argmax()] = True
        parts.append(ndimage.binary_dilation(seed_voxel, np.ones((3, 3, 3)), iterations=-1, mask=rest))
        rest = rest & ~parts[-1]
    assert np.array_equal(largest_component(mask), max(parts, key=np.sum))
    assert np.array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
    assert np.array_equal(mask, before)
    assert largest_component(mask).dtype == fill_holes(mask).dtype == np.uint8


def test_the_box_holds_all_masks():
    one, other = np.zeros((2, 6, 7, 8), np.uint8)
    one[1, 2, 3], other[4, 2, 5] = 1, 1
    assert bounding_box(one, other) == (slice(1, 5), slice(2, 3), slice(3, 6))
    assert bounding_box(np.zeros((3, 3, 3), np.uint8)) == (slice(0, 0),) * 3
