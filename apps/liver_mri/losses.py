"""Dice and cross-entropy on every map of the network, and random augmentation with MONAI's transforms."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandFlipd,
    RandGaussianNoised,
    RandHistogramShiftd,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from torch import Tensor

from transect.apps.liver_mri.config import AXES, AugmentConfig

KEYS = ("image", "label")


def segmentation_loss(maps: Sequence[Tensor], label: Tensor) -> Tensor:
    """The sum over all maps of soft Dice loss and binary cross-entropy, as SRMA-Mamba is trained.

    Args:
        maps: logits `(batch, 1, X, Y, Z)` each.
        label: `(batch, 1, X, Y, Z)` of 0 and 1.
    """
    loss = DiceCELoss(sigmoid=True)
    total: Tensor = sum((loss(logits.float(), label.float()) for logits in maps), torch.zeros(()))
    return total


def augment(image: Tensor, label: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Augment each window of a batch `(batch, 1, X, Y, Z)` at random, from torch's global generator."""
    transforms = _transforms(config)
    transforms.set_random_state(int(torch.randint(2**31, ())))
    done = [transforms({"image": one, "label": two}) for one, two in zip(image, label, strict=True)]
    images, labels = (torch.stack([torch.as_tensor(item[key]) for item in done]) for key in KEYS)
    return images, labels


@cache
def _transforms(config: AugmentConfig) -> Compose:
    steps: list[Callable[..., Any]] = [RandFlipd(KEYS, 0.5, AXES.index(axis)) for axis in config.flip]
    if config.affine:
        turn, scale = (config.affine,) * 3, (config.affine,) * 3
        modes = ("bilinear", "nearest")
        steps.append(
            RandAffined(KEYS, prob=0.5, rotate_range=turn, scale_range=scale, mode=modes, padding_mode="zeros")
        )
    if config.bias:
        steps.append(RandBiasFieldd("image", degree=2, coeff_range=(0, config.bias), prob=0.5))
    if config.contrast:
        change = config.contrast
        steps += [
            RandHistogramShiftd("image", num_control_points=(4, 8), prob=0.5),
            RandAdjustContrastd("image", prob=0.5, gamma=(1 - change, 1 + 2 * change), retain_stats=True),
        ]
    if config.gain:
        steps += [
            RandScaleIntensityd("image", config.gain, prob=1.0),
            RandShiftIntensityd("image", config.gain, prob=1.0),
        ]
    if config.noise:
        steps.append(RandGaussianNoised("image", prob=0.5, std=config.noise))
    return Compose(steps)
