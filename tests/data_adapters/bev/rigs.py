"""Rigs for the tests: YAML with small images of coloured discs at known landmarks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.geometry import from_parent, pose, project
from transect.data_adapters.bev.rig.cases import find_rig_cases
from transect.data_adapters.bev.rig.read import read_rig
from transect.data_adapters.bev.sample import Frame

SIZE = (320, 180)
K = [[160.0, 0, 159.5], [0, 160.0, 89.5], [0, 0, 1]]
FORWARD = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
"""Ego axes from the camera axes of a camera that looks forward."""

AT = (1.5, 0.2, 1.6)
MARKS = {"red": (9.0, 4.8, 2.5), "green": (10.0, -6.0, 0.4), "blue": (6.0, -0.5, 2.2)}
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}

SAME = ReadConfig(height=180, width=320)
"""Settings that leave the images of these rigs as they are."""

Bend = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def camera(name: str = "front", **changes: Any) -> dict[str, Any]:
    """A camera that looks forward, as a rig states it; a change to None leaves a key out."""
    given = {"name": name, "image": f"{name}.png", "width": SIZE[0], "height": SIZE[1], "K": K}
    given["camera_to_ego"] = pose(FORWARD, AT).tolist()
    return {key: value for key, value in (given | changes).items() if value is not None}


def write_rig(folder: Path, *cameras: Mapping[str, Any], name: str = "rig.yaml", **others: Any) -> Path:
    """Write a rig, and a grey image for each camera that lacks the one of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(yaml.safe_dump({"cameras": [dict(each) for each in cameras], **others}))
    for each in cameras:
        image = folder / f"{each['name']}.png"
        if each.get("image") == image.name and not image.exists():
            save(image)
    return path


def save(path: Path, image: ArrayLike | None = None) -> Path:
    """Write an image; a grey one by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIZE[1], SIZE[0], 3), 90, np.uint8) if image is None else np.asarray(image)).save(path)
    return path


def frames(path: Path, config: ReadConfig = SAME) -> list[Frame]:
    """All samples of a rig."""
    return [read_rig(case, config) for case in find_rig_cases(path)]


def frame(path: Path, config: ReadConfig = SAME) -> Frame:
    """The sample of a rig that has one."""
    (one,) = frames(path, config)
    return one


def discs(camera_to_ego: ArrayLike, intrinsics: ArrayLike, bend: Bend | None = None) -> NDArray[np.uint8]:
    """An image with a disc at each landmark; `bend` distorts coordinates `(2,)` on the plane at depth 1."""
    image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    for name, mark in MARKS.items():
        seen = from_parent(mark, np.asarray(camera_to_ego))
        flat = seen[:2] / seen[2]
        matrix = np.asarray(intrinsics)
        column, row = matrix[:2, :2] @ (bend(flat) if bend else flat) + matrix[:2, 2]
        image[(columns - column) ** 2 + (rows - row) ** 2 <= 5**2] = COLOURS[name]
    return image


def misses(sample: Frame, index: int = 0) -> dict[str, float]:
    """How far the middle of each disc lies from where the calibration of a sample puts its landmark, in pixels."""
    found = {}
    for name, mark in MARKS.items():
        near = np.abs(sample.images[index].astype(int) - COLOURS[name]).sum(-1) < 160
        assert near.sum() > 20, f"{name} is out of sight"
        rows, columns = np.nonzero(near)
        pixel, _ = project(mark, sample.camera_to_ego[index], sample.intrinsics[index])
        found[name] = float(np.hypot(columns.mean() - pixel[0], rows.mean() - pixel[1]))
    return found
