"""Calibrations: what is refused, by file, camera and field, and how K follows the size of a file."""

from typing import Any

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import calibration
from transect.data_adapters.bev.calibration import Place, scaled_intrinsics
from transect.data_adapters.bev.geometry import rotation

PLACE = Place("drive/rig.yaml", "left")
SIZE = (1600, 900)
K = [[1000.0, 0, 799.5], [0, 1000.0, 449.5], [0, 0, 1]]
TURN = rotation([0.9, 0.1, -0.3, 0.2])


def changed(row: int, column: int, value: Any, matrix: Any = K) -> list[list[Any]]:
    copy = [list(line) for line in np.array(matrix).tolist()]
    copy[row][column] = value
    return copy


def pose_with(turn: Any, last: Any = (0, 0, 0, 1)) -> list[list[float]]:
    return [*np.c_[turn, [1, 2, 3]].tolist(), list(last)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (changed(0, 0, 0), "fx 0, expected fx above 0"),
        (changed(0, 0, -1000), "fx -1000"),
        (changed(0, 0, float("nan")), "nan, expected a finite number"),
        (changed(1, 2, float("inf")), "inf, expected a finite number"),
        (changed(1, 1, 499), "fx 1000 and fy 499, expected fx / fy between 0.5 and 2"),
        (changed(1, 1, 2001), "fx 1000 and fy 2001"),
        (changed(1, 1, -1000), "fy -1000"),
        (changed(0, 2, 1600), r"a principal point at \(1600, 449.5\)"),
        (changed(1, 2, -3), r"a principal point at \(799.5, -3\)"),
        (changed(2, 0, 799.5), "a last row 799.5, 0, 1"),
        (changed(0, 0, "1000 px"), "'1000 px', expected a number"),
        (changed(0, 0, True), "True, expected a number"),
        (changed(0, 0, 10**400), "a finite number"),
        (K[:2], "3 x 3 numbers"),
        ([1000, 1000, 800, 450], "3 x 3 numbers"),
        ("K", "3 x 3 numbers"),
        (None, "3 x 3 numbers"),
    ],
)
def test_an_impossible_k_is_refused(value: Any, words: str) -> None:
    with pytest.raises(BadInput, match=f"^drive/rig.yaml: camera left, K: found .*{words}"):
        calibration.require_intrinsics(PLACE, "K", value, SIZE)


@pytest.mark.parametrize("value", [K, changed(1, 1, 500), changed(1, 1, 2000), changed(0, 2, 0), changed(0, 1, 3.0)])
def test_a_possible_k_is_kept(value: Any) -> None:
    assert np.array_equal(calibration.require_intrinsics(PLACE, "K", value, SIZE), value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pose_with(TURN * 1.001), r"\|R R\^T - I\| of 0.002"),
        (pose_with(np.zeros((3, 3))), r"\|R R\^T - I\| of 1"),
        (pose_with(TURN @ np.diag([1, -1, 1])), r"determinant -1, expected \+1"),
        (pose_with(TURN, (0, 0, 0, 2)), "a last row 0, 0, 0, 2"),
        (np.transpose(pose_with(TURN)).tolist(), "is it transposed"),
        (pose_with(TURN)[:3], "4 x 4 numbers"),
        (changed(0, 3, float("nan"), pose_with(TURN)), "nan"),
    ],
)
def test_a_pose_that_is_no_rigid_motion_is_refused(value: Any, words: str) -> None:
    with pytest.raises(BadInput, match=f"camera left, camera_to_ego: .*{words}"):
        calibration.require_pose(PLACE, "camera_to_ego", value)


def test_between_axes_of_two_handednesses_the_determinant_is_negative() -> None:
    mirrored = TURN @ np.diag([1, -1, 1])
    assert np.array_equal(calibration.require_rotation(PLACE, "R", mirrored, mirrored=True), mirrored)
    with pytest.raises(BadInput, match=r"determinant \+1, expected -1 between left-handed and right-handed axes"):
        calibration.require_rotation(PLACE, "R", TURN, mirrored=True)


@pytest.mark.parametrize("length", [0.991, 1.0, 1.009])
def test_a_quaternion_near_unit_length_is_normalised(length: float) -> None:
    unit = np.array([0.5, -0.5, 0.5, 0.5])
    assert np.allclose(calibration.require_quaternion(PLACE, "rotation", (unit * length).tolist()), unit, atol=1e-15)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([0, 0, 0, 0], "a zero quaternion"),
        ([1.011, 0, 0, 0], "length 1.011"),
        ([0.98, 0, 0, 0], "length 0.98"),
        ([1, 0, 0], "4 numbers"),
        ([float("nan"), 0, 0, 1], "nan"),
    ],
)
def test_other_quaternions_are_refused(value: Any, words: str) -> None:
    with pytest.raises(BadInput, match=f"camera left, rotation: found .*{words}"):
        calibration.require_quaternion(PLACE, "rotation", value)


def test_k_is_scaled_about_the_corner_of_the_image() -> None:
    scaled = scaled_intrinsics(PLACE, np.array(K), SIZE, (800, 450))
    assert np.allclose(scaled, [[500, 0, 399.5], [0, 500, 224.5], [0, 0, 1]], atol=1e-12)
    odd = scaled_intrinsics(PLACE, np.array(K), SIZE, (1605, 900))  # per axis, as the aspect allows
    assert np.allclose(odd, [[1003.125, 0, 800 * 1605 / 1600 - 0.5], [0, 1000, 449.5], [0, 0, 1]], atol=1e-12)


@pytest.mark.parametrize(("width", "fits"), [(1607, True), (1593, True), (1609, False), (1591, False)])
def test_an_aspect_may_differ_by_half_a_percent(width: int, fits: bool) -> None:
    if fits:
        scaled_intrinsics(PLACE, np.array(K), SIZE, (width, 900))
    else:
        with pytest.raises(BadInput, match=f"camera left, image size: found {width} x 900, expected 1600 x 900"):
            scaled_intrinsics(PLACE, np.array(K), SIZE, (width, 900))
