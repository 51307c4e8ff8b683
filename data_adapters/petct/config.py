"""Settings of reading studies, writing results and phantoms; imports no numpy, so that `--help` stays fast."""

from dataclasses import dataclass
from typing import Literal

from transect.data_adapters.settings import require, require_at_most


@dataclass(frozen=True)
class ReadConfig:
    """How studies and their labels are found and read.

    Args:
        series: Which PET series of a study: words of its description, its number or its SeriesInstanceUID. Empty where
            one series alone is original, corrected and in usable units.
        ct: Which CT series of a study, likewise. Empty selects the series that covers most of the PET.
        label: Which label: the name of a region in an RTSTRUCT or a SEG, or a number in a NIfTI mask. Empty where there
            is one region; in a NIfTI mask it is every value above 0.
        patients: A CSV with the columns study and patient, which says whose each study is where identifiers do not: a
            study is named by its case or its StudyInstanceUID.
        ids: How patients of DICOM files are shown: "hash", or "path" as their files are called.
    """

    series: str = ""
    ct: str = ""
    label: str = ""
    patients: str = ""
    ids: Literal["hash", "path"] = "hash"


@dataclass(frozen=True)
class WriteConfig:
    """What is written of a prediction in addition to the table of slices.

    Args:
        key_images: Write a DICOM Key Object Selection of the flagged slices; for DICOM input.
    """

    key_images: bool = True


@dataclass(frozen=True)
class PhantomConfig:
    """Synthetic studies with known lesions and physiological uptake.

    Args:
        format: "nifti" for the layout of FDG-PET-CT-Lesions (autoPET), or "dicom" for studies whose label is a SEG.
        context: Whether lesions and physiological spots look alike within a slice and differ only in how many slices
            they cover. Otherwise they differ within a slice.
        size: Voxels of a slice along each side.
        slices: Number of slices.
    """

    format: Literal["nifti", "dicom"] = "nifti"
    context: bool = True
    size: int = 48
    slices: int = 48

    def __post_init__(self) -> None:
        require(self.size >= 32, "phantom.size", self.size, "32 or more")
        require(self.slices >= 32, "phantom.slices", self.slices, "32 or more")
        require_at_most(self, size=512, slices=2000)
