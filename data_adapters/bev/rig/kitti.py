"""KITTI calibrations as rigs: the object, tracking and odometry files, and one `calib.txt` beside its images.

A row P (3 x 4) is K [R | t] with R the identity: K is its first three columns, and the camera stands at -K^-1 t of the
rectified axes. R0_rect and Tr_velo_to_cam lead there from the velodyne, whose axes are x forward, y left, z up, and
which stands 1.73 m above the ground.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.calibration import Matrix, Place, require_intrinsics, require_rotation
from transect.data_adapters.bev.geometry import pose
from transect.data_adapters.bev.images import SUFFIXES
from transect.data_adapters.bev.rig.rig import Camera, Rig
from transect.data_adapters.bev.rig.yaml_file import read_text

VELODYNE_HEIGHT = 1.73

IMAGES = ("image_0", "image_1", "image_2", "image_3")
"""Left and right grey, left and right colour."""

RECTIFY = ("R0_rect", "R_rect")
VELODYNE = ("Tr_velo_to_cam", "Tr_velo_cam")
TO_RECTIFIED = "Tr"
"""From the velodyne to rectified axes, in odometry files, which need no rotation between."""


def find_calibrations(folder: Path, folders: Iterable[Path], files: Iterable[Path]) -> list[Path]:
    """The calibration files of a folder that have images: `calib.txt` beside them, or `calib/NNNNNN.txt`."""
    if folder.name == "calib":
        return [file for file in files if file.suffix == ".txt" and _images(file)]
    return [file for file in files if file.name == "calib.txt" and _images(file)]


def load_kitti(path: Path) -> Rig:
    """The rig of a calibration, with the cameras that have images.

    Raises:
        BadInput: a row is missing, has a wrong number of values, or is no camera matrix or rotation.
    """
    rows, place = _rows(path), Place(path)
    if TO_RECTIFIED in rows and not any(name in rows for name in VELODYNE):
        rectified_from_velodyne = _rigid(place, TO_RECTIFIED, rows)
    else:
        velodyne = next((name for name in VELODYNE if name in rows), VELODYNE[0])
        rectify = next((name for name in RECTIFY if name in rows), RECTIFY[0])
        turn = require_rotation(place, rectify, _matrix(place, rectify, rows, (3, 3)))
        rectified_from_velodyne = pose(turn, [0, 0, 0]) @ _rigid(place, velodyne, rows)
    ego_from_rectified = pose(np.eye(3), [0, 0, VELODYNE_HEIGHT]) @ np.linalg.inv(rectified_from_velodyne)
    images = _images(path)
    if not images:
        raise BadInput(path, "images", "none", f"an image beside it, such as {IMAGES[2]}.png")
    cameras = []
    for name, image in images.items():
        row = f"P{name[-1]}"
        projection = _matrix(place, row, rows, (3, 4))
        intrinsics = require_intrinsics(Place(path, name), row, projection[:, :3], None)
        at = -np.linalg.solve(intrinsics, projection[:, 3])
        cameras.append(Camera(name, image, None, intrinsics, ego_from_rectified @ pose(np.eye(3), at)))
    return Rig(path, _root(path), tuple(cameras))


def _root(path: Path) -> Path:
    return path.parent.parent if path.parent.name == "calib" else path.parent


def _images(path: Path) -> dict[str, Path]:
    """The image or the glob of each camera that belongs to a calibration."""
    root, found = _root(path), {}
    for name in IMAGES:
        for suffix in SUFFIXES:
            one = root / name / f"{path.stem}{suffix}" if root != path.parent else root / f"{name}{suffix}"
            if one.is_file():
                found[name] = one
                break
            if root == path.parent and next((root / name).glob(f"*{suffix}"), None):
                found[name] = root / name / f"*{suffix}"
                break
    return found


def _rows(path: Path) -> dict[str, list[str]]:
    """The values of each row by its name; some files have a colon after it, and some none."""
    rows: dict[str, list[str]] = {}
    for line in read_text(path).splitlines():
        if match := re.fullmatch(r"\s*([A-Za-z]\w*)\s*:?\s+(.*)", line):
            if match[1] in rows:
                raise BadInput(path, match[1], "two rows", "one")
            rows[match[1]] = match[2].split()
    return rows


def _matrix(place: Place, name: str, rows: dict[str, list[str]], shape: tuple[int, int]) -> Matrix:
    count = shape[0] * shape[1]
    if len(rows.get(name, ())) != count:
        found = f"{len(rows[name])} numbers" if name in rows else "no such row"
        raise place.bad(name, found, f"{count} numbers")
    try:
        numbers = [float(text) for text in rows[name]]
    except ValueError as error:
        raise place.bad(name, str(error)[:120], f"{count} numbers") from error
    return place.numbers(name, numbers, (count,)).reshape(shape)


def _rigid(place: Place, name: str, rows: dict[str, list[str]]) -> Matrix:
    matrix = _matrix(place, name, rows, (3, 4))
    return pose(require_rotation(place, name, matrix[:, :3]), matrix[:, 3])
