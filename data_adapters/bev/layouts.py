"""Which samples a folder or a file holds, by its layout."""

import os
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.nuscenes.cases import VERSION, NuScenesCase, find_samples, versions_in
from transect.data_adapters.bev.nuscenes.read import read_sample
from transect.data_adapters.bev.rig.cases import SUFFIXES, RigCase, find_rig_cases
from transect.data_adapters.bev.rig.read import read_rig
from transect.data_adapters.bev.sample import Frame, FrameCase
from transect.data_adapters.listing import contents, identifiers

EXPECTED = (
    "a nuScenes folder, in which there is one such as v1.0-mini; a rig.yaml, or a folder of these, also further below;"
    " or KITTI calibrations with images: calib.txt beside image_2.png, or training/calib and training/image_2"
)


def find_cases(*inputs: str, config: ReadConfig) -> list[FrameCase]:
    """The samples of all inputs, drive by drive, in the order of time.

    Args:
        inputs: Each a nuScenes folder, a `rig.yaml`, a KITTI calibration, or a folder with any number of the latter two
            at any depth.
        config: Gives the version of nuScenes.

    Raises:
        BadInput: an input holds no sample (what is looked for is listed), or its tables are missing or damaged.
    """
    if not inputs:
        raise BadInput("inputs", "number", 0, EXPECTED)
    found = [(path, case) for path in dict.fromkeys(inputs) for case in _cases_in(Path(path), config)]
    drives = list(dict.fromkeys((path, case.group) for path, case in found))
    names = identifiers([group for _, group in drives], ["\0".join(drive) for drive in drives])
    groups = dict(zip(drives, names, strict=True))
    ids = identifiers([case.id for _, case in found], [f"{path}\0{case.id}\0{case.token}" for path, case in found])
    return [replace(case, id=id_, group=groups[path, case.group]) for id_, (path, case) in zip(ids, found, strict=True)]


def read_case(case: FrameCase, config: ReadConfig) -> Frame:
    """The sample of a case.

    Raises:
        BadInput: as `read_sample` and `read_rig`.
    """
    if isinstance(case, NuScenesCase):
        return read_sample(case, config)
    if isinstance(case, RigCase):
        return read_rig(case, config)
    raise TypeError(f"found a {type(case).__name__}, expected a case from `find_cases`")


def _cases_in(path: Path, config: ReadConfig) -> list[FrameCase]:
    if os.path.isfile(path) and path.suffix.lower() in (*SUFFIXES, ".txt"):
        return [*find_rig_cases(path)]
    if not os.path.isdir(path):
        raise BadInput(path, "input", "another file" if os.path.exists(path) else "no such file or folder", EXPECTED)
    folders, files = contents(path)
    if versions_in(folders):
        return [*find_samples(path, config.version)]
    if VERSION.fullmatch(path.name) and any(file.name == "sample.json" for file in files):
        return [*find_samples(path.parent, path.name)]
    cases: list[FrameCase] = [*find_rig_cases(path)]
    if not cases:
        names = ", ".join(each.name for each in [*folders, *files][:8])
        raise BadInput(path, "layout", names or "an empty folder", EXPECTED)
    return cases
