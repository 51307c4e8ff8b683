"""MONAI's UNet, SegResNet and SwinUNETR behind the interface of this app's networks."""

import torch
import torch.nn.functional as F
from monai.networks.nets import SegResNet, SwinUNETR, UNet
from torch import Tensor, nn

from transect.apps.liver_mri.models.config import ModelConfig

MULTIPLE = {"unet": 16, "segresnet": 8, "swinunetr": 32}
"""What each axis of the input must be a multiple of."""


class Baseline(nn.Module):
    """A network of MONAI for volumes of any size, which are padded with zeros for it.

    Shapes: `(batch, 1, X, Y, Z)` in; a tuple of one `(batch, 1, X, Y, Z)` of logits out.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.multiple = MULTIPLE[config.name]
        width = config.width
        self.network: nn.Module
        with torch.device("cpu"):  # SwinUNETR computes its stochastic depth from tensors, which fails on meta
            if config.name == "unet":
                channels = [width * 2**level for level in range(5)]
                self.network = UNet(3, 1, 1, channels, (2, 2, 2, 2), num_res_units=2)
            elif config.name == "segresnet":
                self.network = SegResNet(3, width, 1, 1)
            else:
                self.network = SwinUNETR(1, 1, feature_size=width)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The logits."""
        size = x.shape[2:]
        padded = [n + -n % self.multiple for n in size]
        if max(padded) == self.multiple:  # else the coarsest level is one voxel, which instance norm refuses
            padded[0] *= 2
        padding = [end for n, side in zip(reversed(size), reversed(padded), strict=True) for end in (0, side - n)]
        logits: Tensor = self.network(F.pad(x, padding))
        return (logits[..., : size[0], : size[1], : size[2]],)
