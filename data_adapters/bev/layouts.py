"""Which samples a folder or a file holds, by its layout."""

from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.nuscenes.cases import NuScenesCase, find_samples
from transect.data_adapters.bev.nuscenes.read import read_sample
from transect.data_adapters.bev.sample import Frame, FrameCase


def find_cases(*inputs: str, config: ReadConfig) -> list[FrameCase]:
    """The samples of nuScenes folders, `rig.yaml` files and KITTI folders, in order of time."""
    return [case for path in inputs for case in find_samples(Path(path), config.version)]


def read_case(case: FrameCase, config: ReadConfig) -> Frame:
    """The sample of a case."""
    if isinstance(case, NuScenesCase):
        return read_sample(case, config)
    raise BadInput(case.files[0], "layout", "none", "a nuScenes folder")
