"""Which samples a folder or a file holds, by its layout."""

from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.sample import Frame, FrameCase


def find_cases(*inputs: str, config: ReadConfig) -> list[FrameCase]:
    """The samples of nuScenes folders, `rig.yaml` files and KITTI folders, in order of time."""
    raise NotImplementedError


def read_case(case: FrameCase, config: ReadConfig) -> Frame:
    """The sample of a case."""
    raise NotImplementedError
