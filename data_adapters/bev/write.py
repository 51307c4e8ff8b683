"""Write a predicted map: arrays, pictures, and files of geographic information systems."""

from pathlib import Path

from transect.data_adapters.bev.config import WriteConfig
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import FrameCase


def write_map(
    case: FrameCase, prediction: BevMap, folder: Path, source: str, config: WriteConfig
) -> dict[str, float | str]:
    """Write the files of one sample; returns facts about it."""
    raise NotImplementedError
