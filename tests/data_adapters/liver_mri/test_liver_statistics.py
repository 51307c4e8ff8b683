"""Measurements of a liver against numbers known from its construction."""

import json
import tracemalloc

import numpy as np
import pytest

from transect.data_adapters.liver_mri.statistics import edges_of, statistics_of
from transect.data_adapters.volume.phantom import abdomen
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid, Volume

SIZE, SPACING = (20, 30, 12), (2.0, 1.5, 4.0)


def volume(values=None, grid=None) -> Volume:
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -10.0, 5.0, 40.0
    values = np.arange(np.prod(SIZE), dtype=np.int32).reshape(SIZE) if values is None else values
    return Volume(values, grid or Grid(SIZE, affine))


def test_a_box_is_measured_in_millilitres_and_millimetres():
    image, mask = volume(), np.zeros(SIZE, np.uint8)
    mask[3:9, 10:20, 2:7] = 1
    mask[15, 25, 9] = 1  # a part of its own
    found = statistics_of(image, mask, (3.0, 4.0))
    assert found.volume_ml == pytest.approx(301 * 12 / 1000)
    assert (found.components, found.largest_ml) == (2, pytest.approx(3.6))
    assert found.extent_mm == (13 * 2.0, 16 * 1.5, 8 * 4.0)
    np.testing.assert_allclose(found.centroid_mm, image.grid.world(np.argwhere(mask)).mean(axis=0), atol=1e-3)
    inside = image.values[mask == 1]
    assert (found.mean, found.deviation) == (pytest.approx(inside.mean()), pytest.approx(inside.std()))
    assert found.facts() == {
        "volume_ml": 3.61,
        "volume_low_ml": 3.0,
        "volume_high_ml": 4.0,
        "components": 2,
        "largest_component_ml": 3.6,
        "touches_edge": "no",
    }


def test_the_deviation_of_values_far_from_zero_is_exact():
    rng = np.random.default_rng(0)
    values = (1e6 + rng.normal(size=SIZE)).astype(np.float64)
    found = statistics_of(volume(values), np.ones(SIZE, np.uint8))
    assert found.deviation == pytest.approx(values.std(), rel=1e-9)


def test_an_empty_liver_has_no_mean_and_no_place():
    content = statistics_of(volume(), np.zeros(SIZE, np.uint8)).content()
    assert json.loads(json.dumps(content, allow_nan=False)) == {
        "volume_ml": 0.0,
        "volume_range_ml": None,
        "mean": None,
        "standard_deviation": None,
        "extent_mm": {"right_left": 0.0, "anterior_posterior": 0.0, "inferior_superior": 0.0},
        "centroid_ras_mm": None,
        "components": 0,
        "largest_component_ml": 0.0,
        "touches_edge": [],
    }


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR", "IPL"])
def test_measurements_do_not_depend_on_how_the_voxels_are_stored(orientation):
    case = abdomen(np.random.default_rng(5), (24, 20, 14), (14.0, 15.0, 16.0), "RAS")
    liver = case.liver.copy()
    liver[..., -1] = 1
    expected = statistics_of(Volume(case.values, case.grid), liver)
    values, grid = reorient(case.values, case.grid, orientation)
    found = statistics_of(Volume(values, grid), reorient(liver, case.grid, orientation)[0])
    assert "superior" in found.edges
    assert found == pytest.approx(expected) if isinstance(found, float) else found.content() == expected.content()


@pytest.mark.parametrize(
    ("axis", "end", "face"),
    [
        *((0, 0, "left"), (0, -1, "right"), (1, 0, "posterior"), (1, -1, "anterior")),
        *((2, 0, "inferior"), (2, -1, "superior")),
    ],
)
def test_the_face_of_the_field_of_view_that_the_liver_touches_is_named(axis, end, face):
    mask = np.zeros(SIZE, np.uint8)
    np.moveaxis(mask, axis, 0)[end, 5, 5] = 1
    assert edges_of(mask, volume().grid) == (face,)


def test_a_sheared_grid_counts_the_determinant():
    affine = np.array([[1.5, 0, 0, 0], [0, 1.5, 1.3397, 0], [0, 0, 5, 0], [0, 0, 0, 1.0]])
    mask = np.zeros(SIZE, np.uint8)
    mask[4:14, 4:14, 3:8] = 1
    found = statistics_of(volume(grid=Grid(SIZE, affine)), mask)
    assert found.volume_ml == pytest.approx(500 * 11.25 / 1000)
    np.testing.assert_allclose(found.extent_mm, [15, 15 + 5 * 1.3397, 25], atol=1e-3)


def test_components_are_counted_in_the_memory_of_their_numbers():
    mask = np.ones((100, 100, 60), np.uint8)
    mask[50] = 0
    image = volume(np.zeros(mask.shape, np.int16), Grid((100, 100, 60), np.eye(4)))
    statistics_of(image, mask)
    tracemalloc.start()
    found = statistics_of(image, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.components, found.largest_ml) == (2, 300.0)
    assert peak < 7 * mask.size  # 4 bytes a voxel, and those of a slice


def test_parts_that_touch_at_a_corner_are_one_component_as_in_post_processing():
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[1:3, 1:3, 1:3] = mask[3:5, 3:5, 3:5] = 1
    image = volume(np.zeros(mask.shape, np.int16), Grid((8, 8, 8), np.eye(4)))
    assert statistics_of(image, mask).components == 1
    mask[6, 6, 6] = 1
    assert statistics_of(image, mask).components == 2
