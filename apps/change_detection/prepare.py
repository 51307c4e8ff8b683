"""From pixels as they are stored to what a model sees, the same in training and in prediction."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data_adapters.change_detection.scene import Scene

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Range = tuple[np.ndarray, np.ndarray]
"""Lowest and highest value of each band, float32 (bands,), that become 0 and 1."""


def value_ranges(scene: Scene, stretch: Literal["percentile", "none"]) -> tuple[Range, Range]:
    """The value ranges of both dates: of the scene's own percentiles, or of the data type."""
    if stretch == "percentile":
        return scene.stretch()
    before, after = (_full_range(np.dtype(dtype), scene.bands) for dtype in scene.dtype)
    return before, after


def _full_range(dtype: np.dtype, bands: int) -> Range:
    highest = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return np.zeros(bands, np.float32), np.full(bands, highest, np.float32)


def to_unit(values: np.ndarray, valid: np.ndarray, limits: Range) -> np.ndarray:
    """Scale (..., bands, height, width) so that `limits` become 0 and 1, float32.

    Values far outside are cut at -0.5 and 1.5; pixels that are not `valid`, (..., height, width) bool, become 0.5.
    """
    low, high = (limit[:, None, None] for limit in limits)
    unit = (values.astype(np.float32) - low) * (1 / (high - low))
    return np.where(valid[..., None, :, :], np.clip(unit, -0.5, 1.5), np.float32(0.5))


def normalise(images: Tensor) -> Tensor:
    """ImageNet-normalise (n, channels, height, width) images in [0, 1]; other channel counts use the mean constants."""
    channels = images.shape[1]
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    if channels != 3:
        mean, std = mean.mean().expand(channels), std.mean().expand(channels)
    return (images - mean.to(images)[:, None, None]) / std.to(images)[:, None, None]
