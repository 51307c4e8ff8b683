"""Patches: one valid polygon per connected region, independent of the strips."""

from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from rasterio.features import shapes
from scipy import ndimage

from transect.data_adapters.change_detection.maps import NODATA
from transect.data_adapters.change_detection.polygons import Patches, is_changed, patches

THRESHOLD = 100
RASTERS = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 99, 100, 200, 255]),
    fill=st.nothing(),
)


def collect(levels: np.ndarray, cuts: list[int]) -> Patches:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(levels)}), len(levels)]
    parts = list(patches(((top, levels[top:end]) for top, end in pairwise(edges)), THRESHOLD))
    return Patches(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("polygons", "pixels", "level_sums"))
    )


def picture(text: str) -> np.ndarray:
    return np.array([[200 if letter == "#" else 0 for letter in line] for line in text.split()], np.uint8)


@given(RASTERS, st.lists(st.integers(1, 11)))
@settings(max_examples=150, deadline=None)
def test_patches_equal_those_of_the_whole_raster_polygonised_at_once(levels: np.ndarray, cuts: list[int]) -> None:
    changed = (levels >= THRESHOLD) & (levels != NODATA)
    whole = [
        shapely.geometry.shape(shape) for shape, _ in shapes(changed.astype(np.uint8), mask=changed, connectivity=4)
    ]
    found = collect(levels, cuts)
    expected = sorted(shapely.to_wkt(shapely.normalize(polygon)) for polygon in whole)
    assert sorted(shapely.to_wkt(polygon) for polygon in found.polygons) == expected
    assert shapely.is_valid(found.polygons).all()
    np.testing.assert_array_equal(found.pixels, shapely.area(found.polygons))


@given(RASTERS, st.lists(st.integers(1, 11)))
@settings(max_examples=100, deadline=None)
def test_order_sizes_and_scores_do_not_depend_on_the_cuts(levels: np.ndarray, cuts: list[int]) -> None:
    labels, count = ndimage.label(is_changed(levels, THRESHOLD))
    names = np.arange(1, count + 1)
    order = np.argsort([np.flatnonzero(labels == name)[-1] for name in names]).astype(int)
    found = collect(levels, cuts)
    np.testing.assert_array_equal(found.pixels, [(labels == name).sum() for name in names[order]])
    np.testing.assert_array_equal(found.level_sums, [levels[labels == name].sum(dtype=int) for name in names[order]])
    np.testing.assert_array_equal(found.pixels, shapely.area(found.polygons))


def test_pixels_that_meet_in_a_corner_are_two_patches() -> None:
    assert collect(picture("#. .#"), []).pixels.tolist() == [1, 1]
    assert collect(picture("#. .#"), [1]).pixels.tolist() == [1, 1]


def test_a_hole_that_a_seam_crosses_stays_a_hole() -> None:
    polygon = collect(picture("##### #...# #...# #...# #####"), [2, 3]).polygons
    assert [p.wkt for p in polygon] == [shapely.box(0, 0, 5, 5).difference(shapely.box(1, 1, 4, 4)).normalize().wkt]


def test_arms_that_meet_far_below_become_one_patch_with_vertices_only_in_its_corners() -> None:
    polygons = collect(picture("#.#.# #.#.# #.#.# #.#.# #####"), [1, 2, 3, 4]).polygons
    assert len(polygons) == 1
    assert len(polygons[0].exterior.coords) == 13


def test_a_finished_patch_is_not_kept_until_the_end() -> None:
    levels = picture("##.. .... ..## ....")
    seen = [len(part.pixels) for part in patches(((row, levels[row : row + 1]) for row in range(4)), THRESHOLD)]
    assert seen == [0, 1, 0, 1, 0]


def test_no_data_is_never_change_even_at_threshold_zero() -> None:
    assert not is_changed(np.array([[NODATA]], np.uint8), 0).any()
    assert is_changed(np.array([[0, 99, 100]], np.uint8), 100).tolist() == [[False, False, True]]
