"""Settings of writing masks and phantoms; imports no numpy, so that `--help` stays fast."""

from dataclasses import dataclass

from transect.data_adapters.settings import require


@dataclass(frozen=True)
class WriteConfig:
    """What is written of a prediction besides the NIfTI mask, and for DICOM input the DICOM SEG.

    Args:
        rtstruct: Write contours as a DICOM RTSTRUCT too; for DICOM input.
        empty_frames: Write frames without liver to the DICOM SEG too, for viewers that place frames by their number.
    """

    rtstruct: bool = False
    empty_frames: bool = False


@dataclass(frozen=True)
class PhantomConfig:
    """Synthetic abdomens.

    Args:
        format: "nifti" for nnU-Net's layout, or "dicom" for studies whose liver is a DICOM SEG.
    """

    format: str = "nifti"

    def __post_init__(self) -> None:
        require(self.format in ("nifti", "dicom"), "phantom.format", self.format, "nifti or dicom")
