"""Grids: voxels to millimetres and back, volumes, orientations; resampling between grids."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.resample import evened, reorient, resample, with_spacing
from transect.data_adapters.volume.volume import Grid, valid_affine

SHEARED = np.array([[1.5, 0, 0, 3], [0, 1.5, 5 * math.tan(math.radians(15)), -7], [0, 0, 5, 2], [0, 0, 0, 1]])
UNEVEN = Grid((4, 5, 4), np.diag([2.0, 2.0, 4.0, 1.0]), np.array([[0, 0, 0], [0, 0, 3], [0, 0, 8], [0, 0, 12.0]]))


def oblique(angle: float, spacing=(2.0, 3.0, 5.0), shape=(12, 10, 8)) -> Grid:
    cos, sin = math.cos(angle), math.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.diag(spacing)
    affine[:3, 3] = 10, -20, 30
    return Grid(shape, affine)


def test_the_volume_of_a_voxel_is_the_determinant_not_the_product_of_the_spacings():
    grid = Grid((2, 2, 2), SHEARED)
    assert grid.voxel_volume == pytest.approx(11.25)
    assert math.prod(grid.spacing) == pytest.approx(11.6469, abs=1e-4)


@pytest.mark.parametrize("grid", [Grid((4, 5, 4), SHEARED), UNEVEN, oblique(0.3)], ids=["sheared", "uneven", "oblique"])
@given(index=st.tuples(*[st.floats(-3, 7)] * 3))
def test_index_inverts_world(grid, index):
    np.testing.assert_allclose(grid.index(grid.world(index)), index, atol=1e-9)


def test_uneven_slices_keep_their_own_positions():
    np.testing.assert_allclose(UNEVEN.world([[0, 0, 1], [0, 0, 1.5]])[:, 2], [3, 5.5])
    assert UNEVEN.index([0, 0, 8])[2] == 2
    assert not UNEVEN.matches(evened(UNEVEN))


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LAI", "SRA", "PIR"])
def test_orientation_names_the_directions_of_the_indices_and_reorient_is_exact(orientation):
    values, grid = np.random.default_rng(0).random((4, 5, 6)), Grid((4, 5, 6), SHEARED)
    turned, new = reorient(values, grid, orientation)
    assert new.orientation == orientation
    index = np.argwhere(turned == values[1, 2, 3])[0]
    np.testing.assert_allclose(new.world(index), grid.world([1, 2, 3]))
    back, again = reorient(turned, new, grid.orientation)
    assert (back == values).all()
    np.testing.assert_allclose(again.affine, grid.affine, atol=1e-12)


def test_uneven_slices_turn_with_the_volume():
    values = np.arange(80.0).reshape(4, 5, 4)
    turned, new = reorient(values, UNEVEN, "LPI")
    index = np.argwhere(turned == values[1, 2, 1])[0]
    np.testing.assert_allclose(new.world(index), UNEVEN.world([1, 2, 1]))
    np.testing.assert_allclose(new.index(new.world([[1, 1, 1], [0, 3, 2]])), [[1, 1, 1], [0, 3, 2]], atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_linear_resampling_keeps_a_linear_function_of_the_place(angle):
    source = oblique(angle)
    target = Grid(
        (6, 5, 7), np.diag([1.5, 1.5, 2.0, 1.0]) + np.array([[0, 0, 0, 12], [0, 0, 0, -8], [0, 0, 0, 33], [0] * 4])
    )
    places = np.stack(np.meshgrid(*map(np.arange, source.shape), indexing="ij"), -1)
    values = source.world(places) @ [1.0, 2.0, 3.0]
    sampled = resample(values, source, target, fill=np.nan)
    wanted = target.world(np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1))
    index = source.index(wanted)
    inside = ((index >= 0) & (index <= np.array(source.shape) - 1)).all(-1)
    assert inside.sum() > 50
    np.testing.assert_allclose(sampled[inside], (wanted @ [1.0, 2.0, 3.0])[inside], rtol=1e-5)


def test_a_volume_is_resampled_slab_by_slab_as_in_one_piece():
    rng = np.random.default_rng(1)
    source = oblique(0.0)
    target = with_spacing(source, (1.1, 1.7, 2.3))
    values = rng.random(source.shape)
    slabs = [resample(values, source, target, slices=slice(k, k + 5)) for k in range(0, target.shape[2], 5)]
    np.testing.assert_array_equal(np.concatenate(slabs, axis=2), resample(values, source, target))


def test_parallel_and_oblique_grids_give_the_same_values():
    rng = np.random.default_rng(1)
    source = oblique(0.0)
    values, target = rng.random(source.shape), with_spacing(source, (1.1, 1.7, 2.3))
    turned = target.affine.copy()
    turned[:3, :3] = turned[:3, :3] @ np.array([[1, 3e-3, 0], [-3e-3, 1, 0], [0, 0, 1]])  # the general way
    sampled = resample(values, source, Grid(target.shape, turned))
    assert np.abs(sampled - resample(values, source, target)).max() < 0.1
    assert np.abs(sampled - resample(values, source, target)).mean() < 0.01


def test_a_coarse_mask_survives_a_finer_grid_and_back_exactly():
    rng = np.random.default_rng(2)
    mask, grid = (rng.random((12, 10, 8)) > 0.5).astype(np.uint8), oblique(0.0)
    ras, ras_grid = reorient(mask, grid)
    fine = with_spacing(ras_grid, (0.9, 1.4, 1.3))
    back = resample(resample(ras, ras_grid, fine, order=0), fine, ras_grid, order=0)
    assert (reorient(back, ras_grid, grid.orientation)[0] == mask).all()


def test_the_liver_of_a_real_scan_survives_the_way_there_and_back(shared_file):
    image = read_nifti(shared_file("data/medical/totalsegmentator/example_mr_sm.nii.gz"))
    labels = read_nifti(shared_file("data/medical/totalsegmentator/example_seg_mr.nii.gz"))
    assert image.grid.orientation == "LPS"
    assert image.grid.matches(labels.grid)
    liver = (labels.values == 5).astype(np.uint8)
    assert liver.sum() * labels.grid.voxel_volume / 1000 == pytest.approx(498.96)
    ras, grid = reorient(liver, labels.grid)
    fine = with_spacing(grid, (1.5, 1.5, 2.0))
    back, again = reorient(resample(resample(ras, grid, fine, 0), fine, grid, 0), grid, "LPS")
    assert (back == liver).all()
    np.testing.assert_array_equal(again.affine, labels.grid.affine)


def test_affines_that_are_no_geometry_are_named():
    assert "finite" in valid_affine(np.full((4, 4), np.nan))
    assert "one plane" in valid_affine(np.array([[1, 1, 0, 0], [0, 1e-3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert "mm" in valid_affine(np.diag([1e-6, 1, 1, 1]))
    assert not valid_affine(SHEARED)
