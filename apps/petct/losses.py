"""Binary cross-entropy over slices, and random augmentation that is alike for all slices of a run."""

import torch
import torch.nn.functional as F
from torch import Tensor

from transect.apps.petct.config import AugmentConfig


def classification_loss(logits: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over the slices that count; 0 if none does.

    Args:
        logits: `(batch, slices)`.
        positive: `(batch, slices)` of 0 and 1.
        counted: bool `(batch, slices)`.
    """
    each = F.binary_cross_entropy_with_logits(logits.float(), positive, reduction="none")
    return (each * counted).sum() / counted.sum().clamp(min=1)


def augment(images: Tensor, config: AugmentConfig, pet: slice) -> Tensor:
    """Augment each run of a batch at random, from torch's global generator.

    Flip, affine map and gain are those of the run; noise is drawn for each pixel. MONAI and torchvision draw for each
    image by itself.

    Args:
        images: `(batch, slices, channels, H, W)`, 0 to 1.
        config: Settings.
        pet: The channels of PET, whose gain and noise change.
    """
    runs = len(images)
    turn, size, *shift = (2 * torch.rand(4, runs) - 1) * torch.tensor([[1.0]] * 2 + [[2.0]] * 2)
    angle, scale = config.affine * turn, 1 + config.affine * size
    side = torch.where(torch.rand(runs) < 0.5, -1.0, 1.0) if config.flip else torch.ones(runs)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = (side * cos, -sin, config.shift * shift[0]), (side * sin, cos, config.shift * shift[1])
    maps = torch.stack([torch.stack(row, -1) for row in rows], 1)
    if config.affine or config.shift or config.flip:
        flat = images.flatten(1, 2)
        grid = F.affine_grid(maps.to(flat), list(flat.shape), align_corners=False)
        images = F.grid_sample(flat, grid, align_corners=False).view_as(images)
    gain = 1 + config.gain * (2 * torch.rand(runs, 1, 1, 1, 1) - 1)
    noise = config.noise * torch.randn(images[:, :, pet].shape)
    changed = images.clone()
    changed[:, :, pet] = (changed[:, :, pet] * gain.to(images) + noise.to(images)).clamp(0, 1)
    return changed
