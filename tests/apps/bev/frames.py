"""Samples of a rig made by hand: cameras in a ring, and labels that are rectangles of ground."""

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.sample import INVISIBLE, Boxes, Frame, FrameCase, Labels

GRID = Grid(height=40, width=40, resolution=1.0)
CASE = FrameCase("drive_0", "drive", ("images/front.png",))


def camera_pose(heading: float, tilt: float = 0.0, height: float = 1.5, forward: float = 0.5) -> NDArray[np.float64]:
    """Ego from camera: the optical axis at these degrees to the left of forward and above the horizon."""
    a, t = np.radians([heading, tilt])
    axis = np.array([np.cos(a) * np.cos(t), np.sin(a) * np.cos(t), np.sin(t)])
    right = np.array([np.sin(a), -np.cos(a), 0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(axis, right), axis], axis=1)
    pose[:3, 3] = forward * np.cos(a), forward * np.sin(a), height
    return pose


def labels(vehicles: dict[tuple[int, int, int, int], int] | None = None, grid: Grid = GRID, **masks: object) -> Labels:
    """Labels with vehicles on (first row, last row, first column, last column), each with its visibility."""
    shape = (grid.height, grid.width)
    vehicle, visibility, center = np.zeros(shape, np.uint8), np.full(shape, INVISIBLE, np.uint8), np.zeros(shape)
    for (top, bottom, left, right), seen in (vehicles or {}).items():
        place = slice(top, bottom + 1), slice(left, right + 1)
        vehicle[place], visibility[place] = 1, seen
        center[(top + bottom) // 2, (left + right) // 2] = 1
    refused = {name: mask for name, mask in masks.items() if isinstance(mask, BadInput)}
    given = {name: np.asarray(mask, np.uint8) for name, mask in masks.items() if name not in refused}
    boxes = Boxes(np.zeros((0, 8, 3)), (), np.zeros(0, np.uint8))
    return Labels({"vehicle": vehicle, **given}, visibility, center.astype(np.float32), boxes, refused)


def frame(
    cameras: int = 3,
    found: Labels | None = None,
    case: FrameCase = CASE,
    size: tuple[int, int] = (32, 48),
    seed: int = 0,
    grid: Grid = GRID,
) -> Frame:
    """A sample with cameras that look in all directions, noise as images and these labels."""
    h, w = size
    k = np.array([[0.6 * w, 0, 0.48 * w], [0, 0.6 * w, 0.45 * h], [0, 0, 1]])
    return Frame(
        case=case,
        names=tuple(f"camera{number}" for number in range(cameras)),
        images=np.random.default_rng(seed).integers(0, 256, (cameras, h, w, 3), dtype=np.uint8),
        intrinsics=np.repeat(k[None], cameras, axis=0),
        camera_to_ego=np.stack([camera_pose(360 * number / cameras) for number in range(cameras)]),
        grid=grid,
        labels=lambda: found,
    )
