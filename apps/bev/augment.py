"""Random augmentation of training batches that keeps images, calibrations and labels consistent."""

import torch
from torch import Tensor

from transect.apps.bev.config import AugmentConfig

Batch = dict[str, Tensor]


def augment(batch: Batch, config: AugmentConfig) -> Batch:
    """Augment the samples of a batch at random, from torch's global generator.

    Args:
        batch: `images` `(B, n, 3, h, w)` in [0, 1], `intrinsics` `(B, n, 3, 3)`, `camera_to_ego` `(B, n, 4, 4)`,
            `present` bool `(B, n)`, `masks` `(B, classes, H, W)`, `center` and `visibility` `(B, H, W)`, and `known`
            bool `(B, H, W)`: pixels that have a label.
        config: Settings.
    """
    count, views = batch["present"].shape
    if config.mirror:
        chosen = (torch.rand(count) < 0.5).to(batch["images"].device)
        other = mirrored(batch)
        batch = {
            name: torch.where(chosen.view(-1, *[1] * (values.ndim - 1)), other[name], values)
            for name, values in batch.items()
        }
    if config.light:
        batch = batch | {"images": relit(batch["images"], config.light)}
    if config.drop_views:
        kept = torch.rand(count, views).to(batch["present"].device)
        batch = batch | {"present": with_dropped(batch["present"], kept, config.drop_views)}
    return batch


def mirrored(batch: Batch) -> Batch:
    """The batch in a world whose left and right are exchanged.

    A point (x, y, z) of the world moves to (x, -y, z), the column u of an image to w - 1 - u, and the column j of a map
    to W - j: maps have the vehicle at the index W / 2, not between two columns. Column 0 then shows what lay beyond the
    map, and has no label. Poses are conjugated with both mirrors, so that rotations stay rotations.
    """
    images, intrinsics, pose = batch["images"], batch["intrinsics"].clone(), batch["camera_to_ego"]
    intrinsics[..., 0, 2] = images.shape[-1] - 1 - intrinsics[..., 0, 2]
    intrinsics[..., 0, 1] *= -1
    camera, world = pose.new_tensor([-1, 1, 1, 1]), pose.new_tensor([1, -1, 1, 1])
    maps = {name: batch[name].flip(-1).roll(1, -1) for name in ("masks", "center", "visibility", "known")}
    maps["known"] = maps["known"].clone()
    maps["known"][..., 0] = False
    return {
        **batch,
        "images": images.flip(-1),
        "intrinsics": intrinsics,
        "camera_to_ego": world[:, None] * pose * camera,
        **maps,
    }


def relit(images: Tensor, light: float) -> Tensor:
    """Images `(B, n, 3, h, w)` with another brightness and contrast of each view, both changed by at most `light`."""
    gain, contrast = 1 + light * (2 * torch.rand(2, *images.shape[:2], 1, 1, 1).to(images) - 1)
    mean = images.mean(dim=(-3, -2, -1), keepdim=True)
    return ((images - mean) * contrast + mean).mul(gain).clamp(0, 1)


def with_dropped(present: Tensor, kept: Tensor, share: float) -> Tensor:
    """The views that remain, bool `(B, n)`: those with a value of at least `share`, and always the one of the largest.

    Args:
        present: bool `(B, n)`, the views of each sample.
        kept: `(B, n)` in [0, 1).
        share: Of the views to drop.
    """
    ranked = kept.masked_fill(~present, -1)
    return present & ((ranked >= share) | (ranked == ranked.amax(dim=1, keepdim=True)))
