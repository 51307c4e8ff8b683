"""What a calibration says about a camera, in numbers that a person can compare with the vehicle."""

from dataclasses import dataclass

import numpy as np

from transect.data_adapters.bev.sample import Frame


@dataclass(frozen=True)
class Optics:
    """Where a camera stands and looks, in ego axes.

    Args:
        name: Of the camera.
        x: Metres forward.
        y: Metres to the left.
        z: Metres above the ground.
        heading: Of the optical axis, degrees counter-clockwise from forward, above -180 and at most 180.
        pitch: Of the optical axis, degrees above the horizontal.
        roll: Degrees that the camera is turned clockwise about its optical axis.
        fov: Horizontal field of view of the prepared image, degrees.
        left: Heading of the left edge of the image at the height of the principal point, degrees left of `heading`.
        middle: Column of the principal point as a share of the width: 0 at the left edge of the image, 1 at the right.
        horizon: Row of the horizon above the principal point as a share of the height: 0 at the top, 1 at the bottom.
        offset: Time less that of the sample, milliseconds; None where it is not known.
    """

    name: str
    x: float
    y: float
    z: float
    heading: float
    pitch: float
    roll: float
    fov: float
    left: float
    middle: float
    horizon: float
    offset: float | None


def optics_of(frame: Frame) -> list[Optics]:
    """The optics of each camera of a sample."""
    height, width = frame.images.shape[1:3]
    found = []
    for index, (name, pose, matrix) in enumerate(zip(frame.names, frame.camera_to_ego, frame.intrinsics, strict=True)):
        right, forward = pose[:3, 0], pose[:3, 2]
        level = np.cross(forward, [0, 0, 1.0])  # to the right of the view
        left = np.degrees(np.arctan((matrix[0, 2] + 0.5) / matrix[0, 0]))
        slope = forward[2] / max(np.hypot(forward[0], forward[1]), 1e-9)
        one = Optics(
            name,
            x=_plain(pose[0, 3]),
            y=_plain(pose[1, 3]),
            z=_plain(pose[2, 3]),
            heading=_plain(np.degrees(np.arctan2(forward[1], forward[0]))),
            pitch=_plain(np.degrees(np.arcsin(np.clip(forward[2], -1, 1)))),
            roll=_plain(np.degrees(np.arctan2(-right[2] * np.linalg.norm(level), right @ level))),
            fov=_plain(left + np.degrees(np.arctan((width - 0.5 - matrix[0, 2]) / matrix[0, 0]))),
            left=_plain(left),
            middle=_plain((matrix[0, 2] + 0.5) / width),
            horizon=_plain((matrix[1, 2] + matrix[1, 1] * slope + 0.5) / height),
            offset=frame.offsets[index] if frame.offsets else None,
        )
        found.append(one)
    return found


def _plain(value: float) -> float:
    """A number to six digits after the point, never -0."""
    return round(float(value), 6) + 0.0
