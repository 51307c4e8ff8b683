"""Settings of writing masks; imports no numpy, so that `--help` stays fast."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WriteConfig:
    """What is written of a prediction besides the NIfTI mask, and for DICOM input the DICOM SEG.

    Args:
        rtstruct: Write contours as a DICOM RTSTRUCT too; for DICOM input.
        empty_frames: Write frames without liver to the DICOM SEG too, for viewers that place frames by their number.
    """

    rtstruct: bool = False
    empty_frames: bool = False
