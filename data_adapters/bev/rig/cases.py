"""The samples of a rig, or of a folder of rigs, as cases."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.rig.kitti import find_calibrations, load_kitti
from transect.data_adapters.bev.rig.rig import Rig, load_rig
from transect.data_adapters.bev.rig.sources import View, samples_of
from transect.data_adapters.bev.rig.yaml_file import read_text
from transect.data_adapters.bev.sample import FrameCase
from transect.data_adapters.listing import identifiers, walk

SUFFIXES = (".yaml", ".yml")

CAMERAS = re.compile(r"""(^|[{,])\s*["']?cameras["']?\s*:""", re.M)
"""What tells a rig from another YAML file."""


@dataclass(frozen=True)
class RigCase(FrameCase):
    """One sample of a rig.

    Args:
        rig: Path of its `rig.yaml`, or of a KITTI calibration.
        views: The image of each camera, in the order of the rig; none where the rig cannot be used, which `read_rig`
            reports.
        time: Of the sample, microseconds; None where it is not known.
    """

    rig: str = ""
    views: tuple[View, ...] = ()
    time: int | None = None


def open_rig(path: Path) -> Rig:
    """The rig of a `rig.yaml`, or of a KITTI calibration, which is a `.txt`.

    Raises:
        BadInput: names the file, the camera and the field that is wrong.
    """
    return load_kitti(path) if path.suffix.lower() == ".txt" else load_rig(path)


def find_rig_cases(path: Path) -> list[RigCase]:
    """The samples of a `rig.yaml`, or of those and the KITTI calibrations in a folder and below; decodes no image.

    Identifiers are the name of the YAML file, or of its folders where several have that name, and the number of the
    sample. A rig that cannot be used has one case, which fails when it is read.

    Raises:
        BadInput: a folder cannot be listed.
    """
    root, files = (path, _rigs_in(path)) if path.is_dir() else (path.parent, [path])
    stems = Counter(file.stem.casefold() for file in files)
    names = []
    for file in files:
        folders = "_".join(file.parent.relative_to(root).parts)
        alone = stems[file.stem.casefold()] == 1 or not folders
        names.append(file.stem if alone else folders if file.stem in ("rig", "calib") else f"{folders}_{file.stem}")
    unique = identifiers(names, [file.relative_to(root).as_posix() for file in files])
    return [case for name, file in zip(unique, files, strict=True) for case in _cases(name, file)]


def _rigs_in(root: Path) -> list[Path]:
    found = []
    for folder, folders, files in walk(root):
        found += [file for file in files if file.suffix.lower() in SUFFIXES and _is_rig(file)]
        found += find_calibrations(folder, folders, files)
    return found


def _is_rig(file: Path) -> bool:
    """Whether a YAML file describes a rig; one that is called so and cannot be read is to fail by name."""
    try:
        return bool(CAMERAS.search(read_text(file)))
    except BadInput:
        return file.stem.lower().startswith("rig")


def _cases(name: str, file: Path) -> list[RigCase]:
    try:
        rig = open_rig(file)
        samples = samples_of(rig)
    except BadInput:
        return [RigCase(f"{name}_00000", name, (str(file),), rig=str(file))]
    described = tuple(map(str, (file, *rig.tables)))
    return [
        RigCase(
            f"{name}_{number:05}",
            name,
            tuple(dict.fromkeys((*described, *(view.file for view in views if view.file)))),
            frame=number,
            rig=str(file),
            views=views,
            time=time,
        )
        for number, (time, views) in enumerate(samples)
    ]
