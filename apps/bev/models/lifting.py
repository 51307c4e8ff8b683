"""The parts that both baselines share: image features of one scale, and a convolutional network on the map."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.bev.models.blocks import ResidualBlock
from transect.core.conv import ConvBN


class Neck(nn.Module):
    """Features of several levels merged at the finest one: `sum_l up(BN(W_l F_l))`, then ReLU.

    Shapes: `(P, channels[l], h_l, w_l)` in, `(P, dim, h_0, w_0)` out.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection" (2017), section 3, without the top-down 3x3
    convolutions.
    """

    def __init__(self, channels: Sequence[int], dim: int) -> None:
        super().__init__()
        self.project = nn.ModuleList(ConvBN(width, dim) for width in channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Merge the levels."""
        levels = [project(level) for project, level in zip(self.project, features, strict=True)]
        size = levels[0].shape[-2:]
        merged = levels[0]
        for level in levels[1:]:
            merged = merged + F.interpolate(level, size=size, mode="bilinear", align_corners=False)
        return F.relu(merged)


def map_network(channels: int, dim: int, blocks: int) -> nn.Sequential:
    """A 3x3 convolution and residual blocks on a map: `(B, channels, H, W)` to `(B, dim, H, W)`."""
    first = nn.Sequential(ConvBN(channels, dim, 3), nn.ReLU(inplace=True))
    return nn.Sequential(first, *(ResidualBlock(dim, dim) for _ in range(blocks)))
