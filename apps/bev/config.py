"""Settings of the bird's-eye-view app, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal

from transect.apps.bev.models.config import ModelConfig
from transect.data_adapters.bev.config import CLASSES, PhantomConfig, ReadConfig, WriteConfig
from transect.data_adapters.settings import require


@dataclass(frozen=True)
class AugmentConfig:
    """Random augmentation of training samples.

    Args:
        drop_views: Share of the views that a network does not get; each sample keeps at least one.
        mirror: Exchange left and right of the world in half of the samples.
        light: Largest relative change of brightness and contrast, drawn for each view.
    """

    drop_views: float = 0.1
    mirror: bool = True
    light: float = 0.2

    def __post_init__(self) -> None:
        for name in ("drop_views", "light"):
            require(0 <= getattr(self, name) < 1, f"augment.{name}", getattr(self, name), "a share in [0, 1)")


@dataclass(frozen=True)
class FaultConfig:
    """Faults that are put into each sample before it is predicted, to measure what they cost.

    They are random, but the same for a sample each time. Errors are normally distributed.

    Args:
        missing: How many views are lost; one always remains.
        missing_as: A lost view is dropped, as Transect treats a missing camera, or replaced by a black image.
        rotation: Standard deviation of the yaw and pitch of each camera's calibration, degrees.
        position: Standard deviation of a shift along x and y of all cameras of a sample together, metres.
        heading: Standard deviation of a rotation of all cameras of a sample together around the vehicle, degrees.
    """

    missing: int = 0
    missing_as: Literal["dropped", "black"] = "dropped"
    rotation: float = 0.0
    position: float = 0.0
    heading: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.missing <= 7, "faults.missing", self.missing, "0 to 7")
        for name in ("rotation", "position", "heading"):
            require(0 <= getattr(self, name) <= 180, f"faults.{name}", getattr(self, name), "0 to 180")


@dataclass(frozen=True)
class Config:
    """Settings of bird's-eye-view maps.

    Args:
        model: Which network maps images and their calibration to a map.
        read: How samples and labels are read.
        write: What is written of a prediction.
        phantom: What `transect phantom` writes.
        augment: Random augmentation of training samples.
        faults: Faults that are put into samples before they are predicted.
        classes: What the map shows: any of "vehicle", "road" and "lane".
        thresholds: Probability from which a pixel is of a class, one for each class, in steps of 0.01. Null takes those
            that training chose on validation.
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    write: WriteConfig = field(default_factory=WriteConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    classes: tuple[str, ...] = ("vehicle",)
    thresholds: tuple[float, ...] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        known = bool(self.classes) and set(self.classes) <= set(CLASSES) and len(set(self.classes)) == len(self.classes)
        require(known, "classes", self.classes, f"some of {', '.join(CLASSES)}, each once")
        if self.thresholds is not None:
            _require_thresholds(self.thresholds)
            count = len(self.thresholds) == len(self.classes)
            require(count, "thresholds", self.thresholds, f"one for each of {', '.join(self.classes)}")
        self.model.check(self.read)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the channels of the network show: the classes, then the centres of vehicles, which help in training."""
        return (*self.classes, "center") if "vehicle" in self.classes else self.classes


@dataclass(frozen=True)
class State:
    """What training learns from data; new rigs are compared with it. Pairs are the smallest and the largest.

    Args:
        thresholds: Probability from which a pixel is of a class, by the IoU on validation; none: 0.5.
        cameras: Number of cameras of the training samples.
        field_of_view: Horizontal, of each camera, degrees.
        camera_height: Above the ground, metres.
        tilt: Of the optical axes above the horizon, degrees.
        coverage: How much of the horizon the cameras of a sample see together, degrees.
    """

    thresholds: tuple[float, ...] = ()
    cameras: tuple[int, ...] = ()
    field_of_view: tuple[float, ...] = ()
    camera_height: tuple[float, ...] = ()
    tilt: tuple[float, ...] = ()
    coverage: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _require_thresholds(self.thresholds)
        for name in ("cameras", "field_of_view", "camera_height", "tilt", "coverage"):
            pair = getattr(self, name)
            require(not pair or (len(pair) == 2 and pair[0] <= pair[1]), name, pair, "none, or two growing values")


def _require_thresholds(thresholds: tuple[float, ...]) -> None:
    whole = all(0.01 <= value <= 1 and abs(value * 100 - round(value * 100)) < 1e-9 for value in thresholds)
    require(whole, "thresholds", thresholds, "values from 0.01 to 1 in steps of 0.01")
