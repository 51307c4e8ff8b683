"""Faults of a rig, to measure what they cost: lost views, errors of the calibration, errors of the pose."""

import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from transect.apps.bev.config import FaultConfig
from transect.data_adapters.bev.sample import Frame

Matrix = NDArray[np.float64]


def faulty(frame: Frame, config: FaultConfig) -> Frame:
    """The sample with faults, drawn from its identifier: the same each time, and no more than `frame` without faults.

    With one more missing view, the others stay lost. Larger deviations scale the same errors.
    """
    if config == FaultConfig(missing_as=config.missing_as):
        return frame
    seed = zlib.crc32(frame.case.id.encode())
    count = len(frame.names)
    turns, pose = np.random.default_rng([seed, 1]).normal(size=(count, 2)), np.random.default_rng([seed, 2])
    x, y, heading = pose.normal(size=3) * [config.position, config.position, config.heading]
    moved = rotation_z(heading)
    moved[:2, 3] = x, y
    yaw, pitch = config.rotation * turns.T
    wrong = [
        moved @ each @ rotation_y(first) @ rotation_x(second)
        for each, first, second in zip(frame.camera_to_ego, yaw, pitch, strict=True)
    ]
    frame = replace(frame, camera_to_ego=np.stack(wrong) if wrong else frame.camera_to_ego)
    lost = np.random.default_rng([seed, 3]).permutation(count)[: min(config.missing, count - 1)]
    return without(frame, lost, config.missing_as == "black")


def without(frame: Frame, lost: NDArray[np.int64], black: bool) -> Frame:
    """The sample without the views of these indices, or with black images in their place."""
    if black:
        images = frame.images.copy()
        images[lost] = 0
        return replace(frame, images=images)
    kept = np.setdiff1d(np.arange(len(frame.names)), lost)
    return replace(
        frame,
        names=tuple(frame.names[index] for index in kept),
        images=frame.images[kept],
        intrinsics=frame.intrinsics[kept],
        camera_to_ego=frame.camera_to_ego[kept],
        agent=frame.agent[kept] if len(frame.agent) else frame.agent,
        missing=(*frame.missing, *(frame.names[index] for index in sorted(lost))),
    )


def rotation_x(degrees: float) -> Matrix:
    """Homogeneous rotation about x; in camera axes, a pitch."""
    return _rotation(degrees, 1, 2)


def rotation_y(degrees: float) -> Matrix:
    """Homogeneous rotation about y; in camera axes, a yaw."""
    return _rotation(degrees, 2, 0)


def rotation_z(degrees: float) -> Matrix:
    """Homogeneous rotation about z; in ego axes, a heading."""
    return _rotation(degrees, 0, 1)


def _rotation(degrees: float, first: int, second: int) -> Matrix:
    """The rotation that turns the axis `first` towards the axis `second`."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.eye(4)
    turn[first, first] = turn[second, second] = cos
    turn[second, first], turn[first, second] = sin, -sin
    return turn
