"""Focal loss of bird's-eye-view segmentation, and the auxiliary loss of the centres of vehicles."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

CENTER_WEIGHT = 0.1
VISIBLE = 2
"""Visibility from which a vehicle counts: those of which less than 40 % is seen are left out."""


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss of each element, without the weights of classes (Lin et al., 2017, with alpha left out).

    BCE * (1 - p_t) ** gamma with p_t = p * y + (1 - p) * (1 - y), which also takes targets between 0 and 1.

    Args:
        logits: Of any shape.
        target: 0 to 1, of the same shape.
        gamma: How much less well-classified elements count.
    """
    p = logits.sigmoid()
    p_t = p * target + (1 - p) * (1 - target)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none") * (1 - p_t) ** gamma


def map_loss(
    logits: Tensor, masks: Tensor, center: Tensor, visibility: Tensor, known: Tensor, classes: Sequence[str]
) -> Tensor:
    """The sum of the mean focal losses of all classes, and 0.1 times that of the centres of vehicles.

    Vehicles and their centres count at pixels with a visibility of 2 or more, which includes those without a vehicle.
    Other classes count everywhere. Source: CoBEVT (Xu et al., 2022), its nuScenes track.

    Args:
        logits: `(B, channels, H, W)`: those of `classes`, then of the centres where "vehicle" is a class.
        masks: `(B, classes, H, W)` of 0 and 1.
        center: `(B, H, W)`, exp(-d^2) of the distance to the centre of a vehicle in pixels.
        visibility: uint8 `(B, H, W)`: 1 to 4 on vehicles, 255 elsewhere.
        known: bool `(B, H, W)`: pixels that have a label.
        classes: Names of the masks.
    """
    logits = logits.float()
    visible = known & (visibility >= VISIBLE)
    total = logits.new_zeros(())
    for index, name in enumerate(classes):
        each = focal(logits[:, index], masks[:, index].float())
        total = total + _mean(each, visible if name == "vehicle" else known)
    if "vehicle" in classes:
        total = total + CENTER_WEIGHT * _mean(focal(logits[:, len(classes)], center.float()), visible)
    return total


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of the values that count; 0 if none does."""
    return (values * counted).sum() / counted.sum().clamp(min=1)
