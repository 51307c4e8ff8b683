"""Settings of reading volumes; imports no numpy, so that `--help` stays fast."""

from dataclasses import dataclass

from transect.data_adapters.settings import require


@dataclass(frozen=True)
class VolumeConfig:
    """How volumes and their labels are found and read.

    Args:
        series: Which series of a DICOM study: words of its description, its number, its SeriesInstanceUID, or a trait
            such as "EchoTime 4.6". Empty selects the best match.
        label: Which label: its number in a NIfTI mask, or its name in dataset.json, a SEG or an RTSTRUCT. Empty where
            there is only one.
        channel: Which channel of a data set with several (nnU-Net), from 0.
        index: Which volume of a NIfTI file with four axes, from 0; none refuses such files.
        ids: How patients of DICOM files are shown: "hash", or "path" as their files are called.
    """

    series: str = ""
    label: str = ""
    channel: int = 0
    index: int | None = None
    ids: str = "hash"

    def __post_init__(self) -> None:
        require(0 <= self.channel <= 9999, "read.channel", self.channel, "0 to 9999")
        require(self.index is None or 0 <= self.index <= 1 << 20, "read.index", self.index, f"0 to {1 << 20}")
        require(self.ids in ("hash", "path"), "read.ids", self.ids, "hash or path")
