"""A rig: its cameras with their calibration and images, and where it stands; read from a `rig.yaml`."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.calibration import (
    Matrix,
    Place,
    require_intrinsics,
    require_pose,
    require_quaternion,
)
from transect.data_adapters.bev.geometry import pose, rotation
from transect.data_adapters.bev.rig.distortion import Distortion, read_distortion
from transect.data_adapters.bev.rig.poses import Track, read_track
from transect.data_adapters.bev.rig.yaml_file import read_yaml

MOST_CAMERAS = 8
SMALLEST_SIDE, LARGEST_SIDE = 16, 32768

REQUIRED = ("name", "image", "width", "height", "K")
OPTIONAL = ("distortion", "camera_to_ego", "translation", "rotation", "axes", "timestamps")

CAMERA_AXES = {
    "opencv": np.eye(3),
    "carla": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
}
"""The axes of a camera from x right, y down, z forward; "carla" is x forward, y right, z up."""

EGO_AXES = {"flu": np.eye(3), "fru": np.diag([1.0, -1, 1])}
"""x forward, y left, z up from the axes of a vehicle."""


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera of a rig.

    Args:
        name: Unique in its rig.
        image: A file, a glob or a video, as the rig names it.
        size: Width and height that `intrinsics` belongs to; None for those of its images.
        intrinsics: K, float64 `(3, 3)`.
        camera_to_ego: float64 `(4, 4)`; camera axes x right, y down, z forward, ego axes x forward, y left, z up.
        distortion: Of the lens; None for none.
        timestamps: A table of the times of its images; None for none.
    """

    name: str
    image: Path
    size: tuple[int, int] | None
    intrinsics: Matrix
    camera_to_ego: Matrix
    distortion: Distortion | None = None
    timestamps: Path | None = None


@dataclass(frozen=True, eq=False)
class Rig:
    """The cameras of a vehicle.

    Args:
        file: What it was read from.
        folder: What contains its images.
        cameras: 1 to 8.
        tolerance: Largest time between the cameras of a sample, microseconds.
        track: Where it stands; None where that is not known.
        tables: Files that it was read from beside `file`.
    """

    file: Path
    folder: Path
    cameras: tuple[Camera, ...]
    tolerance: int = 50_000
    track: Track | None = None
    tables: tuple[Path, ...] = ()


def load_rig(path: Path) -> Rig:
    """The rig that a `rig.yaml` describes; kept while the file stays as it is.

    Raises:
        BadInput: names the file, the camera and the field that is wrong.
    """
    try:
        state = os.stat(path)
    except (OSError, ValueError) as error:
        raise BadInput(path, "file", "nothing that can be read", "a rig.yaml") from error
    return _load(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _load(path: Path, modified: int, size: int) -> Rig:
    place, folder = Place(path), path.parent
    given = place.mapping("rig", read_yaml(path), ("cameras",), ("ego", "pose", "tolerance"))
    listed = given["cameras"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_CAMERAS:
        found = f"{len(listed)} cameras" if isinstance(listed, list) else "no list"
        raise place.bad("cameras", found, f"a list of 1 to {MOST_CAMERAS} cameras")
    ego = place.mapping("ego", given.get("ego", {"axes": "flu"}), ("axes",))["axes"]
    ego_axes = _choice(place, "ego, axes", ego, EGO_AXES)
    cameras = tuple(_camera(path, folder, number, item, ego_axes) for number, item in enumerate(listed, 1))
    names = [camera.name for camera in cameras]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise place.bad("cameras", f"{twice} twice", "another name for each")
    with_times = [camera.name for camera in cameras if camera.timestamps]
    if with_times and (without := [name for name in names if name not in with_times]):
        raise place.bad("timestamps", f"none of {', '.join(without)}", f"some for every camera, as for {with_times[0]}")
    tolerance = place.number("tolerance", given.get("tolerance", 50))
    if not 0 <= tolerance <= 10_000:
        raise place.bad("tolerance", f"{tolerance:g}", "0 to 10000 ms")
    track, table = read_track(place, given["pose"], folder) if "pose" in given else (None, None)
    tables = tuple(camera.timestamps for camera in cameras if camera.timestamps) + ((table,) if table else ())
    return Rig(path, folder, cameras, round(tolerance * 1000), track, tables)


def _camera(path: Path, folder: Path, number: int, value: object, ego: str) -> Camera:
    place = Place(path, str(number))
    given = place.mapping("camera", value, REQUIRED, OPTIONAL)
    name = str(given["name"])
    if isinstance(given["name"], list | dict | bool) or not name.strip() or not name.isprintable() or len(name) > 60:
        raise place.bad("name", repr(given["name"])[:80], "a text of 1 to 60 characters")
    place = Place(path, name)
    size = (_side(place, "width", given["width"]), _side(place, "height", given["height"]))
    intrinsics = require_intrinsics(place, "K", given["K"], size)
    distortion = read_distortion(place, given["distortion"]) if "distortion" in given else None
    if distortion and intrinsics[0, 1]:
        raise place.bad("K", f"a skew of {intrinsics[0, 1]:g}", "0, as OpenCV's models of distortion have it")
    timestamps = place.inside("timestamps", given["timestamps"], folder) if "timestamps" in given else None
    image = place.inside("image", given["image"], folder)
    return Camera(name, image, size, intrinsics, _camera_to_ego(place, given, ego), distortion, timestamps)


def _camera_to_ego(place: Place, given: dict[str, object], ego: str) -> Matrix:
    """The pose of a camera whose axes, and those of the vehicle, may be others.

    It is checked in right-handed axes: a matrix from left-handed to right-handed ones has determinant -1 itself.
    """
    axes = _choice(place, "axes", given.get("axes", "opencv"), CAMERA_AXES)
    parts = [key for key in ("camera_to_ego", "translation", "rotation") if key in given]
    if parts not in (["camera_to_ego"], ["translation", "rotation"]):
        found = " and ".join(parts) or "none"
        raise place.bad("camera_to_ego", found, "camera_to_ego, or translation and rotation")
    mixed = (axes == "carla") != (ego == "fru")
    if parts == ["camera_to_ego"]:
        stated = require_pose(place, "camera_to_ego", given["camera_to_ego"], mirrored=mixed)
    else:
        if mixed:
            advice = "give camera_to_ego, or set ego: {axes: fru} where the cameras have carla axes"
            raise place.bad("rotation", f"a quaternion from {axes} to {ego} axes", "axes of one handedness", advice)
        turn = rotation(require_quaternion(place, "rotation", given["rotation"]))
        stated = pose(turn, place.numbers("translation", given["translation"], (3,)))
    turn = EGO_AXES[ego] @ stated[:3, :3] @ CAMERA_AXES[axes]
    return pose(turn, EGO_AXES[ego] @ stated[:3, 3])


def _choice(place: Place, field: str, value: object, choices: dict[str, Matrix]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise place.bad(field, repr(value)[:80], " or ".join(choices))
    return value


def _side(place: Place, field: str, value: object) -> int:
    number = place.number(field, value)
    if number != int(number) or not SMALLEST_SIDE <= number <= LARGEST_SIDE:
        raise place.bad(field, f"{number:g}", f"a whole number of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    return int(number)
