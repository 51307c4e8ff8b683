"""A sample of a camera rig as an app reads it: prepared images, their calibration and what the ground looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.bev.grid import Grid

INVISIBLE = 255
"""Value of the visibility map where there is no vehicle."""


@dataclass(frozen=True)
class FrameCase(Case):
    """One sample of a drive: the images of all cameras at one time.

    `group` is the drive (a nuScenes scene, a rig), which a split must not cut and a film joins.

    Args:
        token: Of the nuScenes sample; empty for a rig.
        frame: Position in the drive, from 0.
    """

    token: str = ""
    frame: int = 0


@dataclass(frozen=True, eq=False)
class Boxes:
    """The annotated boxes of a sample, in the order of their records.

    Args:
        corners: float64 `(m, 8, 3)` in ego metres: the four corners of the bottom in the order of a polygon, then those
            above them.
        names: The category of each, such as "vehicle.car".
        visibility: uint8 `(m,)`: 1 (0 to 40 % visible) to 4 (80 to 100 %); INVISIBLE where it is not known.
    """

    corners: NDArray[np.float64]
    names: tuple[str, ...]
    visibility: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Labels:
    """The ground truth on the grid of a sample.

    Args:
        masks: uint8 `(H, W)` of 0 and 1 by name: "vehicle", "road", "lane", "road_divider", "lane_divider".
        visibility: uint8 `(H, W)`: 1 to 4 on vehicles as their records say, INVISIBLE elsewhere.
        center: float32 `(H, W)`: exp(-d^2) of the distance in pixels to the centre of a vehicle, on its pixels.
        boxes: The boxes that the vehicles were drawn from.
        refused: Why a mask is missing, by its name.
        notes: What is suspicious or was left out, a sentence each.
    """

    masks: Mapping[str, NDArray[np.uint8]]
    visibility: NDArray[np.uint8]
    center: NDArray[np.float32]
    boxes: Boxes
    refused: Mapping[str, BadInput] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def mask(self, name: str) -> NDArray[np.uint8]:
        """The mask of that name.

        Raises:
            BadInput: it could not be made, such as the road of a nuScenes folder without a map expansion.
        """
        if name in self.refused:
            raise self.refused[name]
        return self.masks[name]


def no_labels() -> None:
    """The labels of a sample without any."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One sample of a rig. Ego axes are x forward, y left, z up, with the origin on the ground.

    Camera axes are x right, y down, z forward; pixel centres lie at whole numbers. Several agents share one sample:
    the first is the ego vehicle, each camera belongs to one.

    Args:
        case: Which one it is.
        names: Of the cameras that are there, `n` of them; "agent/camera" where there are several agents.
        images: uint8 `(n, h, w, 3)`, RGB, undistorted, resized and cropped.
        intrinsics: float64 `(n, 3, 3)` of these images.
        camera_to_ego: float64 `(n, 4, 4)`, to the vehicle of the camera itself, at the reference time.
        grid: Of the map around the ego vehicle.
        ego_pose: float64 `(4, 4)`, world from ego, rotation about z alone. The identity where it is not known.
        epsg: Projected coordinate system of the world; None where there is none.
        timestamp: Reference time in microseconds; None where it is not known.
        offsets: Time of each camera less `timestamp`, milliseconds; empty where it is not known.
        labels: Reads the ground truth; gives None where there is none.
        missing: Names of cameras that this sample lacks.
        agents: Names of the vehicles, the ego vehicle first.
        agent_to_ego: float64 `(A, 4, 4)`.
        agent: int64 `(n,)`: which vehicle each camera belongs to.
        notes: What is suspicious or was left out, a sentence each.
    """

    case: FrameCase
    names: tuple[str, ...]
    images: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    camera_to_ego: NDArray[np.float64]
    grid: Grid
    ego_pose: NDArray[np.float64] = field(default_factory=lambda: np.eye(4))
    epsg: int | None = None
    timestamp: int | None = None
    offsets: tuple[float, ...] = ()
    labels: Callable[[], Labels | None] = no_labels
    missing: tuple[str, ...] = ()
    agents: tuple[str, ...] = ("ego",)
    agent_to_ego: NDArray[np.float64] = field(default_factory=lambda: np.eye(4)[None])
    agent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    notes: tuple[str, ...] = ()
