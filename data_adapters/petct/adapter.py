"""The adapter of PET/CT: reads studies from NIfTI and DICOM, writes a table of slices."""

from pathlib import Path
from typing import Any

from transect.data_adapters.petct.config import PhantomConfig, ReadConfig, WriteConfig
from transect.data_adapters.petct.layouts import find_cases
from transect.data_adapters.petct.read import read_study
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study, StudyCase


class PetctAdapter:
    """Reads studies with the settings of `read`, and writes the scores of their slices as those of `write` say."""

    columns: tuple[str, ...] = ("pet", "ct", "label")
    unit = "studies"
    descriptions = ("dataset.json", "fdg_metadata.csv", "psma_metadata.csv", "splits_final.json", "threshold.json")

    def __init__(self, read: ReadConfig, write: WriteConfig, phantom: PhantomConfig | None = None) -> None:
        self.read_config, self.write_config = read, write
        self.phantom_config = phantom or PhantomConfig()

    def cases(self, *inputs: str) -> list[StudyCase]:
        """The studies of a folder, a table or files; see `find_cases`."""
        return find_cases(*inputs, config=self.read_config)

    def read(self, case: StudyCase) -> Study:
        """The SUV, and when they are asked for the CT and the label."""
        return read_study(case, self.read_config)

    def write(self, case: StudyCase, prediction: SliceScores, folder: Path, source: str) -> dict[str, float | str]:
        """Write the table of slices, a summary, and for DICOM input a Key Object Selection; see `write_scores`."""
        from transect.data_adapters.petct.write import write_scores

        with case.identity.hidden():
            return write_scores(case, prediction, folder, source, self.write_config)

    def check(self, case: StudyCase, sample: Study, folder: Path | None) -> dict[str, Any]:
        """Facts about the study; see `facts_of`. Writes SUV, CT and label as they were read."""
        from transect.data_adapters.petct.facts import facts_of, write_as_read

        if folder is not None:
            write_as_read(sample, folder)
        return facts_of(sample)

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` synthetic studies with known lesions."""
        from transect.data_adapters.petct.phantom import write_phantom

        write_phantom(root, count, seed, self.phantom_config)
