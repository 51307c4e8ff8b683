"""What was read of a sample, in numbers and in files that show it."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transect.data_adapters.bev.measures import Optics, optics_of
from transect.data_adapters.bev.overlay import overlay_of
from transect.data_adapters.bev.sample import Frame, Labels
from transect.data_adapters.files import writing

INPUTS, OVERLAY = "inputs.npz", "overlay.png"

HIGHEST, FARTHEST = 5.0, 10.0
"""Metres above the ground and from the origin at which a camera of a road vehicle is suspicious."""

STEEPEST, WIDEST = 45.0, 150.0
"""Degrees of pitch and roll, and of the horizontal field of view, above which a camera is suspicious."""

MIDDLE = 0.15
"""Distance of the principal point from the middle column, as a share of the width, above which K is suspicious."""


def facts_of(frame: Frame) -> dict[str, Any]:
    """Describe a sample.

    Returns:
        The cameras with their size, field of view, height, heading and pitch; `missing` ones, where there are any;
        `time_offset_ms`, the largest, where times are known; `pose`; with labels the pixels of each class, `boxes`, and
        `hidden_pixels`, of vehicles that are at most 40 % visible; and `warnings`.
    """
    optics, labels = optics_of(frame), frame.labels()
    height, width = frame.images.shape[1:3]
    facts: dict[str, Any] = {
        "cameras": [one.name for one in optics],
        "image_size": f"{width} x {height}",
        "view_degrees": [round(one.fov, 2) for one in optics],
        "height_m": [round(one.z, 3) for one in optics],
        "heading_degrees": [round(one.heading, 2) for one in optics],
        "pitch_degrees": [round(one.pitch, 2) for one in optics],
    }
    if frame.missing:
        facts["missing"] = list(frame.missing)
    if frame.offsets:
        facts["time_offset_ms"] = round(float(np.abs(frame.offsets).max()), 3)
    facts["pose"] = "none"
    if not np.array_equal(frame.ego_pose, np.eye(4)):
        facts["pose"] = f"EPSG:{frame.epsg}" if frame.epsg else "coordinates of the data set"
    if len(frame.agents) > 1:
        facts["agents"] = list(frame.agents)
    if labels is not None:
        facts |= {f"{name}_pixels": int(mask.sum(dtype=int)) for name, mask in labels.masks.items()}
        facts |= {"hidden_pixels": int((labels.visibility == 1).sum()), "boxes": len(labels.boxes.names)}
    found = warnings_of(frame, optics, labels)
    return facts | ({"warnings": "; ".join(found)} if found else {})


def warnings_of(frame: Frame, optics: list[Optics], labels: Labels | None) -> list[str]:
    """What is suspicious: notes of the reader, missing cameras and labels, and calibrations unlike a road vehicle's."""
    found = list(frame.notes)
    if absent := [name for name in frame.missing if not any(name in note for note in frame.notes)]:
        found.append(f"no image of {', '.join(absent)}")
    for one in optics:
        found += [f"camera {one.name} {what}" for what in _suspicions(one)]
    places = {(round(one.x, 3), round(one.y, 3), round(one.z, 3)) for one in optics}
    if len(optics) > 1 and len(places) == 1:
        found.append("all cameras stand at one point")
    if len(frame.agents) == 1 and not any(_sees_forward(one) for one in optics):
        found.append("no camera sees what is ahead")
    if labels is not None:
        found += [*labels.notes, *dict.fromkeys(map(str, labels.refused.values()))]
    return found


def _suspicions(one: Optics) -> list[str]:
    found = []
    if one.z <= 0:
        found.append(f"stands {-one.z:.2f} m below the ground: ego axes begin there")
    elif one.z > HIGHEST:
        found.append(f"stands {one.z:.2f} m above the ground: translations are in metres")
    if np.hypot(one.x, one.y) > FARTHEST:
        found.append(f"stands {np.hypot(one.x, one.y):.1f} m from the origin: camera_to_ego maps from the camera")
    if abs(one.pitch) > STEEPEST:
        found.append(f"looks {abs(one.pitch):.0f} degrees {'up' if one.pitch > 0 else 'down'}")
    elif abs(one.roll) > STEEPEST:
        found.append(f"is turned by {one.roll:.0f} degrees about its axis")
    elif one.horizon < 0:
        found.append("has no horizon in its image, whose top is cropped: it sees what is near alone")
    if abs(one.middle - 0.5) > MIDDLE:
        found.append(f"has its principal point at {one.middle:.0%} of the width: K belongs to images of this size")
    if one.fov > WIDEST:
        found.append(f"has a field of view of {one.fov:.0f} degrees without distortion")
    return found


def _sees_forward(one: Optics) -> bool:
    left = (one.heading + one.left + 180) % 360 - 180
    return 0 <= left <= one.fov


def write_as_read(frame: Frame, folder: Path) -> None:
    """Write `inputs.npz`, the arrays as a network gets them, and `overlay.png`, which shows whether they fit together.

    The arrays are `names` `(n,)`, `images` uint8 `(n, h, w, 3)`, `K` `(n, 3, 3)` of these images, `camera_to_ego`
    `(n, 4, 4)`, `view` `(3, 3)`, `ego_pose` `(4, 4)`; with labels each class, uint8 `(H, W)` of 0 and 1, and
    `visibility`; with several agents `agents` `(A,)` and `agent_to_ego` `(A, 4, 4)`.

    Raises:
        OSError: a file cannot be written.
    """
    labels = frame.labels()
    arrays: dict[str, Any] = {
        "names": np.array(frame.names),
        "images": frame.images,
        "K": frame.intrinsics,
        "camera_to_ego": frame.camera_to_ego,
        "view": frame.grid.matrix,
        "ego_pose": frame.ego_pose,
    }
    if labels is not None:
        arrays |= {**labels.masks, "visibility": labels.visibility}
    if len(frame.agents) > 1:
        arrays |= {"agents": np.array(frame.agents), "agent_to_ego": frame.agent_to_ego}
    with writing(folder / INPUTS):
        np.savez_compressed(folder / INPUTS, **arrays)
    remarks = [f"Warning: {words}." for words in warnings_of(frame, optics_of(frame), labels)]
    picture = overlay_of(frame, labels, remarks)
    with writing(folder / OVERLAY):
        Image.fromarray(picture).save(folder / OVERLAY, compress_level=3)
