"""The adapter of camera rigs: reads nuScenes and `rig.yaml`, writes bird's-eye-view maps."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transect.data_adapters.bev.config import PhantomConfig, ReadConfig, WriteConfig
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Frame, FrameCase

RADARS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")


class BevAdapter:
    """Reads samples with the settings of `read`, and writes maps as those of `write` say."""

    columns: tuple[str, ...] = ("rig",)
    unit = "samples"
    descriptions = ("sweeps", "LIDAR_TOP", *(f"RADAR_{place}" for place in RADARS))

    def __init__(self, read: ReadConfig, write: WriteConfig, phantom: PhantomConfig | None = None) -> None:
        self.read_config, self.write_config = read, write
        self.phantom_config = phantom or PhantomConfig()

    def cases(self, *inputs: str) -> list[FrameCase]:
        """The samples of a nuScenes folder, a `rig.yaml`, a folder of these, or a KITTI folder; see `find_cases`."""
        from transect.data_adapters.bev.layouts import find_cases

        return find_cases(*inputs, config=self.read_config)

    def read(self, case: FrameCase) -> Frame:
        """The prepared images and their calibration, and when they are asked for the labels."""
        from transect.data_adapters.bev.layouts import read_case

        return read_case(case, self.read_config)

    def write(self, case: FrameCase, prediction: BevMap, folder: Path, source: str) -> dict[str, float | str]:
        """Write arrays, pictures, and where the pose is projected a GeoTIFF and GeoJSON; see `write_map`."""
        from transect.data_adapters.bev.write import write_map

        return write_map(case, prediction, folder, source, self.write_config)

    def check(self, case: FrameCase, sample: Frame, folder: Path | None) -> dict[str, Any]:
        """Facts about the sample; see `facts_of`. Writes `inputs.npz` and `overlay.png`."""
        from transect.data_adapters.bev.facts import facts_of, write_as_read

        if folder is not None:
            write_as_read(sample, folder)
        return facts_of(sample)

    def example(self, folder: Path) -> dict[str, str]:
        """Write a synthetic sample as a `rig.yaml` with its images; returns the name of that file."""
        from transect.data_adapters.bev.phantom import write_phantom
        from transect.data_adapters.bev.rig.write import write_rig

        with TemporaryDirectory() as drives:
            write_phantom(Path(drives), 1, 0, PhantomConfig(height=72, width=128, samples=1))
            adapter = BevAdapter(replace(self.read_config, version="", cameras=()), self.write_config)
            (case,) = adapter.cases(drives)
            return {"rig": write_rig(adapter.read(case), folder).name}

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` synthetic drives in the layout of nuScenes."""
        from transect.data_adapters.bev.phantom import write_phantom

        write_phantom(root, count, seed, self.phantom_config)
