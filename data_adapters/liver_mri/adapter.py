"""The adapter of liver MRI: reads volumes from NIfTI and DICOM, writes masks in both."""

from pathlib import Path
from typing import Any

from transect.data_adapters.liver_mri.config import PhantomConfig, WriteConfig
from transect.data_adapters.liver_mri.segmentation import Segmentation
from transect.data_adapters.liver_mri.series import LIVER_MR
from transect.data_adapters.volume.cases import LabelledVolume, VolumeCase, read_case
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.layouts import find_volumes

LABEL = "liver"
"""The label that is read where a data set names several and `read.label` chooses none."""


class LiverAdapter:
    """Reads volumes with the settings of `read`, and writes the liver as those of `write` say."""

    columns: tuple[str, ...] = ("image", "label")
    unit = "volumes"
    descriptions = ("dataset.json", "dataset_description.json", "participants.tsv", "participants.json")

    def __init__(self, read: VolumeConfig, write: WriteConfig, phantom: PhantomConfig | None = None) -> None:
        self.read_config, self.write_config = read, write
        self.phantom_config = phantom or PhantomConfig()

    def cases(self, *inputs: str) -> list[VolumeCase]:
        """The volumes of a folder or of a file, or a volume and its label; see `find_volumes`."""
        return find_volumes(*inputs, config=self.read_config)

    def read(self, case: VolumeCase) -> LabelledVolume:
        """The volume, of a study the MR series that fits best, and its label if there is one."""
        return read_case(case, LIVER_MR, self.read_config, LABEL)

    def write(self, case: VolumeCase, prediction: Segmentation, folder: Path, source: str) -> dict[str, float | str]:
        """Write `mask.nii.gz` and `statistics.json`, and for DICOM input `liver.seg.dcm`; see `write_segmentation`."""
        from transect.data_adapters.liver_mri.write import write_segmentation

        with case.identity.hidden():
            return write_segmentation(prediction, folder, source, self.write_config)

    def check(self, case: VolumeCase, sample: LabelledVolume, folder: Path | None) -> dict[str, Any]:
        """Facts about the volume; see `facts_of`. Writes `volume.nii.gz`, and `label.nii.gz` where there is one."""
        from transect.data_adapters.liver_mri.facts import facts_of, write_as_read

        if folder is not None:
            write_as_read(sample, folder)
        return facts_of(sample)

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` synthetic abdomens with known livers: nnU-Net raw, or DICOM studies with the liver as a SEG."""
        from transect.data_adapters.volume.phantom import write_nnunet, write_studies

        (write_nnunet if self.phantom_config.format == "nifti" else write_studies)(root, count, seed)
