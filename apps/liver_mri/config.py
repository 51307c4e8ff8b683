"""Settings of the liver MRI app, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal

from transect.apps.liver_mri.models.config import ModelConfig
from transect.data_adapters.liver_mri.config import PhantomConfig, WriteConfig
from transect.data_adapters.settings import require, require_at_most
from transect.data_adapters.volume.config import VolumeConfig

AXES = "xyz"


@dataclass(frozen=True)
class AugmentConfig:
    """Random augmentation of training windows.

    Args:
        flip: Axes to flip: x is right-left, y front-back, z head-foot. Without x the network can tell the side of the
            liver from that of the spleen.
        affine: Largest rotation in radians and relative change of scale.
        contrast: Largest relative change of the contrast curve.
        gain: Largest relative change of gain, and of offset in standard deviations.
        bias: Largest coefficient of a smooth bias field.
        noise: Standard deviation of noise, relative to that of the image.
    """

    flip: str = "yz"
    affine: float = 0.1
    contrast: float = 0.5
    gain: float = 0.5
    bias: float = 0.5
    noise: float = 0.1

    def __post_init__(self) -> None:
        letters = set(self.flip) <= set(AXES) and len(set(self.flip)) == len(self.flip)
        require(letters, "augment.flip", self.flip, 'letters of "xyz", each once, or none')
        for name in ("affine", "contrast", "gain", "bias", "noise"):
            require(0 <= getattr(self, name) < 1, f"augment.{name}", getattr(self, name), "a share in [0, 1)")


@dataclass(frozen=True)
class Config:
    """Settings of liver segmentation in MRI.

    Args:
        model: Which network segments a window.
        read: How volumes and labels are found and read.
        write: What is written of a prediction.
        phantom: What `transect phantom` writes.
        augment: Random augmentation of training windows.
        spacing: Voxel size in mm that volumes are resampled to, right-left, front-back and head-foot. Null takes that
            of training: the median of the training volumes, at least 1.5 mm.
        fast: Halve the resolution of the two axes with the finest, for prediction in a quarter of the time.
        window: Size in voxels of the windows of training and prediction; at most that of the training volumes.
        windows_per_volume: Training windows per volume and epoch; half of them are centred on liver.
        windows_per_batch: Batch size of prediction, in windows.
        overlap: Share of a window that neighbouring windows have in common in prediction.
        flip: Average predictions over all flips along the axes that training flips, and report how they differ.
        threshold: Probability from which a voxel is liver.
        largest_component: Keep the largest connected component alone.
        fill_holes: Fill holes inside the liver.
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    read: VolumeConfig = field(default_factory=VolumeConfig)
    write: WriteConfig = field(default_factory=WriteConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    spacing: tuple[float, float, float] | None = None
    fast: bool = False
    window: tuple[int, int, int] = (96, 96, 64)
    windows_per_volume: int = 4
    windows_per_batch: int = 1
    overlap: float = 0.25
    flip: bool = False
    threshold: float = 0.5
    largest_component: bool = False
    fill_holes: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        if self.spacing is not None:
            require(all(0.1 <= step <= 50 for step in self.spacing), "spacing", self.spacing, "0.1 to 50 mm each")
        multiples = all(side >= 16 and side % 16 == 0 for side in self.window) and max(self.window) > 16
        require(multiples, "window", self.window, "multiples of 16, not all of them 16")
        require_at_most(self, window=1024)
        voxels = self.window[0] * self.window[1] * self.window[2]
        require(voxels <= 1 << 26, "window", self.window, f"at most {1 << 26:,} voxels")
        require(self.windows_per_volume > 0, "windows_per_volume", self.windows_per_volume, "a positive number")
        require(self.windows_per_batch > 0, "windows_per_batch", self.windows_per_batch, "a positive number")
        require_at_most(self, windows_per_volume=1024, windows_per_batch=1024)
        require(0 <= self.overlap <= 0.75, "overlap", self.overlap, "a share in [0, 0.75]")
        require(0 < self.threshold < 1, "threshold", self.threshold, "a probability between 0 and 1")
        require(not self.flip or bool(self.augment.flip), "flip", self.flip, "false: training does not flip")


@dataclass(frozen=True)
class State:
    """What training learns from data; new volumes are compared with it. Empty for published weights.

    Args:
        spacing: Voxel size in mm of the resampled volumes, right-left, front-back and head-foot; none for their own.
        shape: Largest size of the resampled volumes, in voxels; none if unknown.
        resolution: "full" or "fast"; empty if unknown.
        modalities: DICOM modalities of the training volumes.
        body_parts: DICOM body parts of the training volumes.
        thickest: Largest distance of slices in mm; 0 if unknown.
        extent: Largest extent from head to foot in mm; 0 if unknown.
        negative: Whether a tenth of the values of any volume is below zero, as the air of CT is.
    """

    spacing: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    resolution: Literal["full", "fast", ""] = ""
    modalities: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    thickest: float = 0.0
    extent: float = 0.0
    negative: bool = False

    def __post_init__(self) -> None:
        for name in ("spacing", "shape"):
            values = getattr(self, name)
            require(len(values) in (0, 3), name, values, "none, or three numbers")
            require(all(0 < value < 1e5 for value in values), name, values, "positive numbers")
