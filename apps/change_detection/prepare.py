"""Normalization of stored pixel values to model input, the same in training and in prediction."""

import numpy as np
import torch
from torch import Tensor

from transect.apps.change_detection.config import Limits, Stretch
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.scene import Scene

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def value_limits(scene: Scene, stretch: Stretch, learned: Limits = ()) -> np.ndarray:
    """The values of each date and band that map to 0 and 1, float32 (2, bands, 2).

    They are found in the scene itself (robust, percentile), are the range of its data types (none), or those that the
    training data have `learned` (training).

    Raises:
        BadInput: the training data have limits of other bands, or none.
    """
    bands = len(scene.config.bands)
    if stretch == "training":
        if any(len(date) != bands for date in learned or ((),)):
            found = f"training, with limits of {len(learned[0]) if learned else 0} bands in the model's state"
            raise BadInput(scene.after[0], "stretch", found, f"limits of {bands}", "set stretch robust, or train again")
        return np.array(learned, np.float32)
    if stretch != "none":
        return scene.stretch(stretch)
    limits = np.zeros((2, bands, 2), np.float32)
    for date, dtype in enumerate(scene.dtype):
        limits[date, :, 1] = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return limits


def to_unit(values: np.ndarray, valid: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Scale (..., bands, height, width) so that `limits`, (bands, 2), map to 0 and 1, float32.

    Values are clipped to [-0.5, 1.5]; pixels that are not `valid`, (..., height, width) bool, become 0.5.
    """
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    unit = values * (1 / (high - low)) - low / (high - low)
    np.clip(unit, -0.5, 1.5, out=unit)
    if not valid.all():
        unit[~np.broadcast_to(valid[..., None, :, :], unit.shape)] = 0.5
    return unit


def network_input(values: np.ndarray, valid: np.ndarray, limits: np.ndarray) -> Tensor:
    """`normalise(to_unit(values, valid, limits))` in the channels-last layout, to 1e-6, in one pass over each band."""
    images = torch.empty(values.shape, memory_format=torch.channels_last)
    mean, std = (constants.numpy() for constants in _constants(values.shape[1]))
    low, high = limits.T
    scale, shift = 1 / ((high - low) * std), low / ((high - low) * std) + mean / std
    least, most, missing = ((unit - mean) / std for unit in (-0.5, 1.5, 0.5))
    plane = np.empty(values.shape[2:], np.float32)
    for image, bands, mask in zip(images.numpy(), values, valid, strict=True):
        whole = mask.all()
        for channel, band in enumerate(bands):
            np.multiply(band, scale[channel], out=plane)
            np.subtract(plane, shift[channel], out=plane)
            np.clip(plane, least[channel], most[channel], out=image[channel])
            if not whole:
                image[channel][~mask] = missing[channel]
    return images


def normalise(images: Tensor) -> Tensor:
    """ImageNet-normalise (n, channels, height, width) images in [0, 1]; other channel counts use the mean constants."""
    mean, std = _constants(images.shape[1])
    return (images - mean.to(images)[:, None, None]) / std.to(images)[:, None, None]


def _constants(channels: int) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    return (mean, std) if channels == 3 else (mean.mean().expand(channels), std.mean().expand(channels))
