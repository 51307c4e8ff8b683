"""Random augmentation of training tiles: flips, rotations, date swap, pixel size, misregistration, blur, brightness."""

import torch
import torch.nn.functional as F
from torch import Tensor

from transect.apps.change_detection.config import AugmentConfig


def augment(before: Tensor, after: Tensor, label: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Augment a batch at random: images (n, bands, height, width) in [0, 1], label (n, height, width).

    Rotations and flips are the same for both dates and the label; blur is the same for both dates, as in the
    CDMaskFormer recipe; gain and offset differ between the dates, as illumination and season do. The first date is
    shifted against the label, which stays on the second; both are swapped afterwards. Draws from torch's global
    generator.
    """
    if config.flip:
        stack = torch.cat([before, after, label[:, None].to(before)], dim=1)
        stack = torch.stack([_flip_rotate(example) for example in stack])
        before, after, label = (
            stack[:, : before.shape[1]],
            stack[:, before.shape[1] : -1],
            stack[:, -1].round().to(label.dtype),
        )
    if config.scale > 0:
        factors = _uniform(len(before), 1, amount=config.scale, like=before)[:, 0].exp()
        before, after = (resampled(images, factors) for images in (before, after))
        label = resampled(label[:, None].to(before), factors, mode="nearest")[:, 0].to(label.dtype)
    if config.shift > 0:
        before = resampled(before, None, _uniform(len(before), 2, amount=config.shift, like=before))
    if config.swap_dates:
        swapped = (torch.rand(len(before), device=before.device) < 0.5)[:, None, None, None]
        before, after = torch.where(swapped, after, before), torch.where(swapped, before, after)
    if config.blur:
        # Here, not above: torchvision takes seconds to import, and prediction does without it.
        from torchvision.transforms.v2.functional import gaussian_blur

        sigma = float(torch.empty(()).uniform_(0.15, 1.30))
        before, after = (gaussian_blur(images, [5, 5], [sigma, sigma]) for images in (before, after))
    if config.light > 0:
        before, after = _jitter_brightness(before, config.light), _jitter_brightness(after, config.light)
    return before, after, label


def resampled(images: Tensor, factors: Tensor | None, shifts: Tensor | None = None, mode: str = "bicubic") -> Tensor:
    """Images `(n, bands, height, width)` enlarged about their centre and moved, each on its own; edges are repeated.

    Args:
        images: The images.
        factors: `(n,)`, 2 for objects of twice the size; None for 1.
        shifts: `(n, 2)`, by how many pixels content moves to the right and down; None for 0.
        mode: Of `grid_sample`. "bicubic" keeps sharpness and may leave the range of values slightly.
    """
    theta = torch.eye(2, 3).to(images).repeat(len(images), 1, 1)
    if factors is not None:
        theta = theta / factors[:, None, None]
    if shifts is not None:
        # In normalized coordinates an image is 2 wide and high; the place to read at moves against the content.
        theta[:, :, 2] = -2 * shifts / torch.tensor([images.shape[-1], images.shape[-2]]).to(images)
    places = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, places, mode=mode, padding_mode="border", align_corners=False)


def _uniform(*shape: int, amount: float, like: Tensor) -> Tensor:
    return torch.empty(shape, device=like.device).uniform_(-amount, amount)


def _flip_rotate(example: Tensor) -> Tensor:
    quarter_turns, flipped = int(torch.randint(4, ())), bool(torch.rand(()) < 0.5)
    if example.shape[-2] != example.shape[-1]:
        quarter_turns = 2 * (quarter_turns // 2)
    rotated = example.rot90(quarter_turns, (-2, -1))
    return rotated.flip(-1) if flipped else rotated


def _jitter_brightness(images: Tensor, amount: float) -> Tensor:
    shape = (len(images), images.shape[1], 1, 1)
    gain, offset = (torch.empty(shape, device=images.device).uniform_(-amount, amount) for _ in range(2))
    return images * (1 + gain) + offset / 2
