import numpy as np
import pytest

from transect.data_adapters.bev import geometry

HALF = np.sqrt(0.5)


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll), degrees."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    return z @ y @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])


@pytest.mark.parametrize(
    ("quaternion", "forward", "left"),
    [
        ([1, 0, 0, 0], [1, 0, 0], [0, 1, 0]),
        ([HALF, 0, 0, HALF], [0, 1, 0], [-1, 0, 0]),  # a quarter turn to the left
        ([HALF, HALF, 0, 0], [1, 0, 0], [0, 0, 1]),  # about x
        ([2, 0, 2, 0], [0, 0, -1], [0, 1, 0]),  # about y, not of unit length
    ],
)
def test_quaternions_start_with_their_real_part(quaternion, forward, left) -> None:
    np.testing.assert_allclose(geometry.rotation(quaternion).T[:2], [forward, left], atol=1e-15)


def test_quaternions_of_many_frames_at_once() -> None:
    quaternions = np.random.default_rng(0).normal(size=(5, 4))
    matrices = geometry.rotation(quaternions)
    np.testing.assert_allclose(matrices @ np.swapaxes(matrices, -1, -2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    np.testing.assert_array_equal(matrices[3], geometry.rotation(quaternions[3]))


def test_a_relative_pose_undoes_its_reference() -> None:
    reference = geometry.pose(turned(30, 4, -3), [1000, 2000, 3])
    inner = geometry.pose(turned(-100, 2, 5), [1.5, -0.5, 1.6])
    np.testing.assert_allclose(geometry.relative(reference, reference @ inner), inner, atol=1e-12)


def test_coordinates_of_utm_keep_their_precision() -> None:
    far = np.array([500_000.25, 5_400_000.5, 400])
    near = far + np.array([3, 4, 0])
    moved = geometry.pose(turned(30, 0, 0), near)
    small = geometry.relative(geometry.pose(turned(10, 0, 0), far), moved)
    assert np.linalg.norm(small[:3, 3]) == pytest.approx(5, abs=1e-9)
    np.testing.assert_allclose(geometry.from_parent(near, geometry.pose(np.eye(3), far)), [3, 4, 0], rtol=1e-9)


def test_a_levelled_pose_keeps_heading_and_height() -> None:
    full = geometry.pose(turned(125, 6, -4), [10, 20, 1.5])
    flat = geometry.level(full)
    assert np.degrees(geometry.heading(full)) == pytest.approx(125)
    np.testing.assert_allclose(flat, geometry.pose(turned(125, 0, 0), [10, 20, 1.5]), atol=1e-12)


def test_points_of_the_parent_in_a_frame() -> None:
    frame = geometry.pose(turned(90, 0, 0), [10, 20, 1])
    found = geometry.from_parent([[10, 22, 1], [9, 20, 2]], frame)
    np.testing.assert_allclose(found, [[2, 0, 0], [0, 1, 1]], atol=1e-12)
    np.testing.assert_allclose(geometry.from_parent([10, 22, 1], frame), [2, 0, 0], atol=1e-12)


def test_box_corners_go_round_the_bottom_first() -> None:
    (corners,) = geometry.box_corners([[10, 0, 1]], [[4, 2, 2]], [turned(90, 0, 0)])
    bottom = [[11, 2], [11, -2], [9, -2], [9, 2]]  # length along y after the turn
    front_left, *_ = corners
    np.testing.assert_allclose(front_left, [9, 2, 0], atol=1e-12)
    assert sorted(corners[:4, :2].round(9).tolist()) == sorted(map(lambda xy: [float(v) for v in xy], bottom))
    np.testing.assert_allclose(corners[4:] - corners[:4], np.tile([0, 0, 2.0], (4, 1)), atol=1e-12)
    steps = np.linalg.norm(np.roll(corners[:4], -1, 0) - corners[:4], axis=1)
    np.testing.assert_allclose(steps, [2, 4, 2, 4])


def test_projection_of_a_camera_that_looks_forward() -> None:
    axes = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    camera = geometry.pose(axes, [1.5, 0, 1.6])
    intrinsics = np.array([[500, 0, 320], [0, 400, 240], [0, 0, 1.0]])
    pixels, depth = geometry.project([[11.5, 1, 0.6], [-5, 0, 1]], camera, intrinsics)
    np.testing.assert_allclose(pixels[0], [320 - 50, 240 + 40])
    np.testing.assert_allclose(depth, [10, -6.5])
    assert np.isnan(pixels[1]).all()
