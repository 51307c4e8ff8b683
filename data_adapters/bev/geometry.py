"""Poses in float64: rotations from quaternions, frames relative to each other, headings, and projection into cameras.

A pose is a `(4, 4)` matrix that maps points of its own frame to a parent frame, such as world from ego.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def rotation(quaternion: ArrayLike) -> Array:
    """The rotation matrices `(..., 3, 3)` of quaternions `(..., 4)` in the order w, x, y, z, of any length but 0."""
    quaternion = np.asarray(quaternion, np.float64)
    w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def pose(turn: ArrayLike, translation: ArrayLike) -> Array:
    """The pose `(4, 4)` of a rotation matrix and a translation."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, translation
    return matrix


def relative(reference: Array, other: Array) -> Array:
    """The pose of the frame `other` in the frame `reference`, both given in one parent frame.

    The translations are subtracted first, so that a parent frame with coordinates of millions of metres, such as UTM,
    costs no precision.
    """
    back = reference[:3, :3].T
    return pose(back @ other[:3, :3], back @ (other[:3, 3] - reference[:3, 3]))


def heading(full: Array) -> float:
    """The angle of the forward axis of a pose in the parent's ground plane, counter-clockwise from x, radians."""
    return float(np.arctan2(full[1, 0], full[0, 0]))


def level(full: Array) -> Array:
    """A pose with its heading and whole translation kept, roll and pitch removed: the frame of labels and cameras."""
    yaw = heading(full)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return pose([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], full[:3, 3])


def from_parent(points: ArrayLike, frame: Array) -> Array:
    """Points `(..., 3)` of the parent frame in the frame itself."""
    return (np.asarray(points, np.float64) - frame[:3, 3]) @ frame[:3, :3]


def box_corners(centers: ArrayLike, sizes: ArrayLike, turns: ArrayLike) -> Array:
    """The corners of boxes.

    Args:
        centers: `(m, 3)`.
        sizes: Length, width and height `(m, 3)`, along x, y and z of the box.
        turns: Rotation matrices `(m, 3, 3)`.

    Returns:
        `(m, 8, 3)`: the four corners of the bottom in the order of a polygon (front left, front right, back right, back
        left), then those above them.
    """
    across = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2
    signs = np.concatenate([np.c_[across, np.full(4, -0.5)], np.c_[across, np.full(4, 0.5)]])
    local = np.asarray(sizes, np.float64)[:, None] * signs
    return local @ np.swapaxes(np.asarray(turns, np.float64), -1, -2) + np.asarray(centers, np.float64)[:, None]


def project(points: ArrayLike, camera: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Where a camera sees points.

    Args:
        points: `(..., 3)` in the parent frame of the camera's pose.
        camera: Pose `(4, 4)`; axes x right, y down, z forward.
        intrinsics: `(3, 3)`, pixels; the centre of the first pixel is at (0, 0).

    Returns:
        Pixels `(..., 2)` as column and row, NaN where the depth is not above 0; depths `(...)` in metres.
    """
    seen = from_parent(points, camera)
    depth = seen[..., 2]
    in_front = np.where(depth > 0, depth, np.nan)
    return (seen / in_front[..., None]) @ intrinsics[:2].T, depth
