"""Training losses: mask classification for CDMaskFormer, cross-entropy and Dice for the U-Nets.

The Dice losses are written here because segmentation-models-pytorch's is zero for a batch without change, where false
positives must still cost, and has no form per image and query.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transect.apps.change_detection.models.mask_decoder import MaskPrediction

CHANGED, IGNORED = 1, 255
MASK_WEIGHT, DICE_WEIGHT, CLASS_WEIGHT = 10.0, 10.0, 1.0
NO_OBJECT_WEIGHT = 0.1  # of a query without an object, in the classification
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


class Target(NamedTuple):
    """Binary masks of the labels, float `(n, H W)` each: `changed` and `valid` (not ignored)."""

    changed: Tensor
    valid: Tensor


def change_loss(output: Tensor | MaskPrediction, labels: Tensor) -> Tensor:
    """The scalar loss of a model's output against `labels` `(n, H, W)` uint8: 0 unchanged, 1 changed, 255 ignored.

    `pixel_loss` for logits `(n, H, W)`, `mask_loss` for a `MaskPrediction`.
    """
    target = Target((labels == CHANGED).flatten(1).float(), (labels != IGNORED).flatten(1).float())
    if isinstance(output, MaskPrediction):
        return mask_loss(output, target, (labels.shape[1], labels.shape[2]))
    return pixel_loss(output, target)


def pixel_loss(logits: Tensor, target: Target) -> Tensor:
    """Binary cross-entropy, averaged over the valid pixels, plus the Dice loss over all valid pixels of the batch."""
    logits = logits.float().flatten(1)
    entropy = F.binary_cross_entropy_with_logits(logits, target.changed, weight=target.valid, reduction="sum")
    probability = logits.sigmoid() * target.valid
    overlap = (probability * target.changed).sum()
    dice = 1 - (2 * overlap + 1) / (probability.sum() + target.changed.sum() + 1)
    return entropy / target.valid.sum().clamp(min=1) + dice


def mask_loss(output: MaskPrediction, target: Target, size: tuple[int, int]) -> Tensor:
    r"""Mask classification loss, summed over the outputs of all decoder layers, each with its own matching.

    An image holds one object, the changed area, or none. Per output: cross-entropy of the classes, with weight 0.1 for
    queries without an object, plus 10 times the binary cross-entropy and 10 times the Dice loss of the matched masks,
    summed over the images and divided by the number of those that hold an object.

    An image that changed everywhere keeps its object. Ignored pixels contribute to no term, and an image whose pixels
    are all ignored does not contribute to the classification either.

    Source: Cheng et al., "Masked-attention Mask Transformer" (2022), section 3.3, with the weights of "Rethinking
    Remote Sensing Change Detection With A Mask View" (2024).
    """
    images = target.changed.any(1).nonzero()[:, 0]
    objects = Target(target.changed[images], target.valid[images])
    weights = torch.tensor([NO_OBJECT_WEIGHT, 1.0], device=output.masks.device)
    known = target.valid.any(1)
    total = torch.zeros((), device=output.masks.device)
    for class_logits, masks in zip(output.class_logits.float(), output.masks.float(), strict=True):
        queries = match(class_logits[images], masks[images], objects, size)
        classes = torch.zeros(class_logits.shape[:2], dtype=torch.long, device=masks.device)
        classes[images, queries] = 1
        entropies = F.cross_entropy(class_logits.transpose(1, 2), classes, weight=weights, reduction="none")
        entropy = entropies[known].sum() / weights[classes[known]].sum().clamp(min=NO_OBJECT_WEIGHT)

        matched = _resized(masks[images, queries, None], size)[:, 0]
        pixels = objects.valid.sum(1)
        mask_entropy = F.binary_cross_entropy_with_logits(
            matched, objects.changed, objects.valid, reduction="none"
        ).sum(1)
        dice = _dice(matched.sigmoid()[:, None] * objects.valid[:, None], objects.changed)
        mask_terms = MASK_WEIGHT * (mask_entropy / pixels).sum() + DICE_WEIGHT * dice.sum()
        total = total + CLASS_WEIGHT * entropy + mask_terms / max(len(images), 1)
    return total


@torch.no_grad()
def match(class_logits: Tensor, masks: Tensor, objects: Target, size: tuple[int, int]) -> Tensor:
    r"""The query that each object is matched to, `(images,)`.

    The query of least cost `10 focal - softmax(class_logits)[change] + 10 dice`; with a single object per image
    this is the Hungarian assignment.

    Args:
        class_logits: `(images, queries, 2)`.
        masks: `(images, queries, h, w)`, logits at a quarter of the resolution.
        objects: the changed and the valid pixels of each image, `(images, H W)`.
        size: `(H, W)`.
    """
    # Here, not above: torchvision takes seconds to import, and prediction does without it.
    from torchvision.ops import sigmoid_focal_loss

    logits = _resized(masks, size)
    changed, valid = objects.changed[:, None].expand_as(logits), objects.valid[:, None]
    focal = (sigmoid_focal_loss(logits, changed, FOCAL_ALPHA, FOCAL_GAMMA) * valid).sum(2) / valid.sum(2)
    dice = _dice(logits.sigmoid() * valid, objects.changed)
    cost = MASK_WEIGHT * focal + DICE_WEIGHT * dice - CLASS_WEIGHT * class_logits.softmax(-1)[..., CHANGED]
    return cost.argmin(1)


def _dice(probability: Tensor, changed: Tensor) -> Tensor:
    """`1 - (2 sum p t + 1) / (sum p + sum t + 1)` of `(images, queries, pixels)` against `(images, pixels)`."""
    overlap = (probability @ changed[..., None])[..., 0]
    return 1 - (2 * overlap + 1) / (probability.sum(2) + changed.sum(1, keepdim=True) + 1)


def _resized(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks `(n, queries, h, w)` at full resolution, cropped to `size`: `(n, queries, H W)`."""
    full = F.interpolate(masks, scale_factor=4, mode="bilinear", align_corners=False)
    return full[:, :, : size[0], : size[1]].flatten(2)
