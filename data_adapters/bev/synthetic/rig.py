"""The sensors of the synthetic vehicle: six cameras all around and a lidar, mounted a little differently each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.synthetic.raycast import Array, Solid, cast
from transect.data_adapters.bev.synthetic.tables import quaternion, times

LIDAR = "LIDAR_TOP"
CAMERA_AXES = [0.5, -0.5, 0.5, -0.5]
"""Quaternion of camera axes (right, down, forward) in the vehicle's (forward, left, up)."""

CHANNELS = {
    "CAM_FRONT": (0, 70, (1.70, 0.0, 1.51), 0),
    "CAM_FRONT_RIGHT": (-55, 70, (1.55, -0.49, 1.50), 8),
    "CAM_BACK_RIGHT": (-110, 70, (1.01, -0.48, 1.56), 17),
    "CAM_BACK": (180, 110, (0.05, 0.0, 1.57), -33),
    "CAM_BACK_LEFT": (110, 70, (1.04, 0.48, 1.57), -24),
    "CAM_FRONT_LEFT": (55, 70, (1.52, 0.49, 1.51), -9),
}
"""Of each camera its heading and field of view (degrees), its place (m) and its delay after the lidar's time (ms)."""


@dataclass(frozen=True, eq=False)
class Mount:
    """A sensor on the vehicle.

    Args:
        channel: Its name.
        translation: float64 `(3,)` in ego metres.
        rotation: Quaternion (w, x, y, z) of its axes in the ego's.
        intrinsics: float64 `(3, 3)`; `(0, 0)` for the lidar.
        delay: Seconds from the lidar's time to its own.
    """

    channel: str
    translation: Array
    rotation: list[float]
    intrinsics: Array
    delay: float


def mounts(rng: np.random.Generator, height: int, width: int) -> list[Mount]:
    """The cameras of one vehicle in the order of CHANNELS, then the lidar.

    Args:
        rng: Draws how each camera differs from its place and heading: 4 degrees, 0.15 m and 2 degrees of view at most.
        height: Rows of the images.
        width: Their columns.
    """
    out = []
    for channel, (yaw, view, place, delay) in CHANNELS.items():
        focal = width / 2 / np.tan(np.radians(view + rng.uniform(-2, 2)) / 2)
        middle = (np.array([width, height]) - 1) / 2 + np.array([width, height]) * rng.uniform(-0.012, 0.012, 2)
        intrinsics = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])
        turn = np.radians([yaw, 1.0, 0.0] + rng.uniform(-1, 1, 3) * (4, 2, 1))
        at = np.array(place) + rng.uniform(-1, 1, 3) * (0.1, 0.05, 0.15)
        out.append(Mount(channel, at, times(quaternion(*turn), CAMERA_AXES), intrinsics, delay / 1000))
    top = Mount(LIDAR, np.array((0.94, 0.0, 1.84)), quaternion(-np.pi / 2), np.zeros((0, 0)), 0.0)
    return [*out, top]


def scan(to_world: Array, solids: Sequence[Solid], beams: int = 24, steps: int = 180, reach: float = 70.0) -> tuple[
    NDArray[np.float32], NDArray[np.int64]
]:  # fmt: skip
    """One turn of a lidar.

    Args:
        to_world: float64 `(4, 4)` of its pose.
        solids: What it may hit, apart from the ground z = 0.
        beams: Rays above each other.
        steps: Rays around.
        reach: Largest distance, m.

    Returns:
        float32 `(points, 5)` of x, y, z in its own axes, intensity and beam; and how many points lie on each solid.
    """
    tilt, turn = np.meshgrid(np.radians(np.linspace(-28, 8, beams)), np.linspace(-np.pi, np.pi, steps, endpoint=False))
    own = np.stack([np.cos(tilt) * np.cos(turn), np.cos(tilt) * np.sin(turn), np.sin(tilt)]).reshape(3, -1)
    rays, origin = to_world[:3, :3] @ own, to_world[:3, 3]
    with np.errstate(divide="ignore"):
        distance = np.where(rays[2] < 0, -origin[2] / rays[2], np.inf)
    owner = np.full(rays.shape[1], -1)
    for index, solid in enumerate(solids):
        if np.hypot(*(solid.centre - origin)[:2]) > reach + 15:
            continue
        turned = solid.rotation.T
        hit, _ = cast(solid, turned @ (origin - solid.centre)[:, None], turned @ rays)
        owner[hit < distance] = index
        distance = np.minimum(hit, distance)
    seen = distance < reach
    beam = np.broadcast_to(np.arange(beams), (steps, beams)).reshape(-1)
    intensity = np.where(owner < 0, 12.0, 40.0)
    points = np.stack([*(own * np.where(seen, distance, 0.0)), intensity, beam], axis=-1)[seen]
    return points.astype(np.float32), np.bincount(owner[seen] + 1, minlength=len(solids) + 1)[1:]
