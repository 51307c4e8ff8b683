"""Settings of the change detection app, free of torch so that the command line's help is quick."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from transect.apps.change_detection.models.config import ModelConfig
from transect.data_adapters.change_detection.config import PhantomConfig, PolygonsConfig, ReadConfig
from transect.data_adapters.settings import require, require_at_most

Stretch = Literal["robust", "percentile", "training", "none"]
Limits = tuple[tuple[tuple[float, float], ...], ...]
"""By date and band: the values that map to 0 and 1."""


@dataclass(frozen=True)
class AugmentConfig:
    """Random augmentation of training tiles.

    Args:
        flip: Flip and rotate by multiples of 90 degrees.
        swap_dates: Exchange the two dates in half of the examples: what appeared becomes what vanished.
        blur: Blur both dates alike, as the CDMaskFormer recipe does.
        light: Largest relative change of gain, drawn per date and band; offsets change by up to half of it.
        scale: Largest relative change of the pixel size of both dates and the label.
        shift: Largest shift of one date along each axis, in pixels, as dates that are not registered exactly have.
    """

    flip: bool = True
    swap_dates: bool = True
    blur: bool = True
    light: float = 0.1
    scale: float = 0.0
    shift: float = 1.0

    def __post_init__(self) -> None:
        for name in ("light", "scale"):
            require(0 <= getattr(self, name) < 1, f"augment.{name}", getattr(self, name), "a share in [0, 1)")
        require(0 <= self.shift <= 16, "augment.shift", self.shift, "0 to 16 pixels")


@dataclass(frozen=True)
class FaultConfig:
    """Faults that are put into each pair before it is predicted, to measure what they cost.

    Args:
        shift: Number of pixels by which the first date is moved to the right.
    """

    shift: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.shift <= 64, "faults.shift", self.shift, "0 to 64 pixels")


@dataclass(frozen=True)
class Config:
    """Settings of change detection.

    Args:
        model: Which model maps a pair of images to a change score.
        read: How rasters are read.
        phantom: What `transect phantom` writes.
        polygons: How the polygons of changes are generalized.
        augment: Random augmentation of training tiles.
        faults: Faults that are put into pairs before they are predicted.
        stretch: How pixel values become 0..1. robust maps the median +- 3.5 robust standard deviations of each band
            and date, which also evens out illumination and season; dates of one sensor share their limits, so that
            clouds or clearings in one of them do not change the rest. training takes the limits of the training data,
            percentile the 2nd and 98th percentile of each band and date, none the range of the data type, as for 8-bit
            benchmark images.
        tile: Side of the square tiles of training and prediction in pixels; attention spans a whole tile, so
            predict at the training size.
        tiles_per_epoch: Smallest number of training tiles of an epoch; those of a small data set are repeated.
        overlap: Pixels that neighbouring tiles share and blend in prediction.
        tiles_per_batch: Batch size of prediction, in tiles.
        threshold: Score from which a pixel counts as changed, in steps of 0.005; null takes the one that training
            chose on validation.
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
        write_score: Write the score as a raster too, next to the mask.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    polygons: PolygonsConfig = field(default_factory=PolygonsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    stretch: Stretch = "robust"
    tile: int = 256
    tiles_per_epoch: int = 1
    overlap: int = 32
    tiles_per_batch: int = 4
    threshold: float | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    write_score: bool = False

    def __post_init__(self) -> None:
        require(self.tile >= 32 and self.tile % 32 == 0, "tile", self.tile, "a multiple of 32")
        require(0 <= self.overlap <= min(self.tile // 2, 128), "overlap", self.overlap, "0 to half a tile, at most 128")
        require(self.tiles_per_batch > 0, "tiles_per_batch", self.tiles_per_batch, "a positive number")
        require(self.tiles_per_epoch > 0, "tiles_per_epoch", self.tiles_per_epoch, "a positive number")
        require_at_most(self, tile=8192, tiles_per_batch=4096, tiles_per_epoch=1 << 24)
        pixels = self.tile**2 * self.tiles_per_batch
        require(pixels <= 1 << 28, "tiles_per_batch", self.tiles_per_batch, f"at most {(1 << 28) // self.tile**2}")
        if self.threshold is not None:
            _require_threshold(self.threshold)


@dataclass(frozen=True)
class State:
    """What training learns from data.

    Args:
        threshold: Score from which a pixel counts as changed, chosen on validation.
        pixel_sizes: Smallest and largest pixel size of the training pairs, in metres; empty if unknown.
        dtypes: Data types of the training pairs.
        limits: Robust limits of the stretch over the training pairs, by date and band; empty if unknown.
        sensors: Sensors of the training pairs, of those that are satellite products.
        bands: Names of the channels of each sensor, joined by commas, in the same way.
        units: Whether values were reflectance, raw, or both; empty if unknown.
        probabilities: Probability of change at each score in steps of 0.005, fitted on validation; empty if unknown.
    """

    threshold: float = 0.5
    pixel_sizes: tuple[float, ...] = field(default=(), metadata={"since": 2})
    dtypes: tuple[str, ...] = field(default=(), metadata={"since": 2})
    limits: Limits = field(default=(), metadata={"since": 3})
    sensors: tuple[str, ...] = field(default=(), metadata={"since": 3})
    bands: tuple[str, ...] = field(default=(), metadata={"since": 3})
    units: tuple[str, ...] = field(default=(), metadata={"since": 3})
    probabilities: tuple[float, ...] = field(default=(), metadata={"since": 3})

    def __post_init__(self) -> None:
        _require_threshold(self.threshold)
        is_range = len(self.pixel_sizes) in (0, 2) and all(0 < size < math.inf for size in self.pixel_sizes)
        require(is_range, "pixel_sizes", self.pixel_sizes, "none, or the smallest and the largest")
        bands = [limits for date in self.limits for limits in date]
        ordered = len(self.limits) in (0, 2) and all(-math.inf < low < high < math.inf for low, high in bands)
        require(ordered, "limits", self.limits, "none, or a low and a high value of each date and band")
        known = len(self.probabilities) in (0, 201) and all(0 <= each <= 1 for each in self.probabilities)
        require(known, "probabilities", f"{len(self.probabilities)} values", "none, or 201 of 0 to 1")


def split_state(settings: dict[str, Any]) -> dict[str, Any]:
    """Move the state out of the settings of a model made before there was `state.json`."""
    return {"threshold": settings.pop("threshold")} if settings.get("threshold") is not None else {}


def _require_threshold(threshold: float) -> None:
    require(0.005 <= threshold <= 1, "threshold", threshold, "0.005 to 1")
