"""Settings of the PET/CT app, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal

from transect.apps.petct.models.config import ModelConfig
from transect.data_adapters.petct.config import PhantomConfig, ReadConfig, WriteConfig
from transect.data_adapters.settings import require, require_at_most


@dataclass(frozen=True)
class SplitConfig:
    """What training, validation and test must not share.

    Args:
        unit: "patient" keeps all studies of a patient in one split; "centre" those of a hospital, so that the folds are
            leave-one-centre-out with a small train.validation_share; "slice" divides the slices of each study, which
            overestimates how well a model does on new patients.
        centre: Use the studies of this centre alone, for one model a centre (centre-aware). Empty for all
            (centre-agnostic).
    """

    unit: Literal["patient", "centre", "slice"] = "patient"
    centre: str = ""


@dataclass(frozen=True)
class AugmentConfig:
    """Random augmentation of training slices; alike for all slices of a study.

    Args:
        flip: Flip left and right.
        affine: Largest rotation in radians and relative change of scale.
        shift: Largest shift, relative to the slice.
        gain: Largest relative change of SUV.
        noise: Standard deviation of noise, relative to the upper limit of SUV.
    """

    flip: bool = True
    affine: float = 0.1
    shift: float = 0.05
    gain: float = 0.1
    noise: float = 0.005

    def __post_init__(self) -> None:
        for name in ("affine", "shift", "gain", "noise"):
            require(0 <= getattr(self, name) < 1, f"augment.{name}", getattr(self, name), "a share in [0, 1)")


@dataclass(frozen=True)
class Config:
    """Settings of tumour detection in slices of PET/CT. The defaults are this project's: no others are published.

    Args:
        model: Which network classifies slices.
        read: How studies and labels are found and read.
        write: What is written of a prediction.
        phantom: What `transect phantom` writes.
        split: What training, validation and test must not share.
        augment: Random augmentation of training slices.
        size: Side of the slices that the network is given, in pixels; those of the PET are resized bilinearly.
        suv_max: SUV from 0 to this becomes 0 to 1; larger ones are clipped.
        hu: CT values in HU that become 0 and 1; others are clipped.
        slices_per_study: Training slices per study and epoch, half of them with tumour where there are any.
        sensitivity: Share of the lesions of the validation split that the flags must hit, which sets the threshold.
        threshold: Probability from which a slice is flagged. Null takes that of training.
        slices_per_batch: Batch size of prediction, in slices.
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    write: WriteConfig = field(default_factory=WriteConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    size: int = 192
    suv_max: float = 25.0
    hu: tuple[float, float] = (-160.0, 240.0)
    slices_per_study: int = 32
    sensitivity: float = 0.95
    threshold: float | None = None
    slices_per_batch: int = 32
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        require(self.size >= 32 and self.size % 8 == 0, "size", self.size, "a multiple of 8, 32 or more")
        require_at_most(self, size=1024, slices_per_study=4096, slices_per_batch=4096)
        require(0 < self.suv_max <= 1000, "suv_max", self.suv_max, "above 0, at most 1000")
        require(self.hu[0] < self.hu[1], "hu", self.hu, "two growing values")
        for name in ("slices_per_study", "slices_per_batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        require(0 < self.sensitivity <= 1, "sensitivity", self.sensitivity, "a share in (0, 1]")
        require(self.threshold is None or 0 < self.threshold < 1, "threshold", self.threshold, "null, or in (0, 1)")


@dataclass(frozen=True)
class Calibration:
    """Logistic calibration on the validation split: probability = sigmoid(slope * logit + bias).

    Args:
        slope: Of the logit.
        bias: Intercept.
    """

    slope: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True)
class State:
    """What training learns from data; new studies are compared with it.

    Args:
        threshold: Probability from which a slice is flagged, by `sensitivity` on the validation split.
        calibration: Maps logits to probabilities.
        validation_auroc: AUROC of the slices of the validation split; null if unknown.
        tracers: Of the training studies.
        centres: Of the training studies.
        slice_distance: Smallest and largest mean distance of slices, mm; none if unknown.
        field_of_view: Smallest and largest width of the slices, mm; none if unknown.
        patients: Pseudonyms of the training patients.
    """

    threshold: float = 0.5
    calibration: Calibration = field(default_factory=Calibration)
    validation_auroc: float | None = None
    tracers: tuple[str, ...] = ()
    centres: tuple[str, ...] = ()
    slice_distance: tuple[float, ...] = ()
    field_of_view: tuple[float, ...] = ()
    patients: tuple[str, ...] = ()
