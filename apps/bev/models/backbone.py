"""Convolutional features of each image at several scales: the trunk of EfficientNet-B4, or a small residual network."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from transect.apps.bev.models.blocks import ResidualBlock
from transect.apps.bev.models.config import BackboneConfig
from transect.core.conv import ConvBN
from transect.core.drop_path import DropPath

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, red, green and blue."""
STEM = 48
"""Channels of the stem of EfficientNet-B4."""
TRUNK = (
    ((24, 3, 1, 1), (24, 3, 1, 1), (32, 3, 2, 6)),
    ((32, 3, 1, 6), (32, 3, 1, 6), (32, 3, 1, 6), (56, 5, 2, 6)),
    ((56, 5, 1, 6), (56, 5, 1, 6), (56, 5, 1, 6), (112, 3, 2, 6)),
)
"""Output channels, kernel, stride and expansion of the first blocks of EfficientNet-B4, up to 1/4, 1/8 and 1/16."""
DROP, BLOCKS = 0.2, 32
"""EfficientNet-B4 drops the residual branch of block i of all its 32 with probability 0.2 i / 32."""
EPS = 1e-3
"""Added to the variance in the batch norms of EfficientNet."""


class SqueezeExcite(nn.Module):
    """Channel gates from the mean of each: `x sigmoid(W_2 silu(W_1 mean(x)))`, `(P, channels, h, w)` to the same.

    Source: Hu et al., "Squeeze-and-Excitation Networks" (2018), section 3.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels."""
        return x * self.expand(F.silu(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class MBConv(nn.Module):
    """Inverted residual block of EfficientNet: `(P, in, h, w)` to `(P, out, h / stride, w / stride)`, rounded up.

    1x1 expansion, depthwise convolution, squeeze-and-excitation and linear 1x1 projection; residual where the shapes
    agree, dropped in training with probability `drop`. Padding is that of TensorFlow, which EfficientNet was trained
    with: strided 3x3 kernels have one pixel at the end of an even size. The strided 5x5 kernel has 2 on each side, as
    in the reference implementation, which computes the padding for images of 380 pixels.

    Source: Tan and Le, "EfficientNet" (2019), table 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int, drop: float):
        super().__init__()
        hidden = in_channels * expansion
        self.padded = stride == 2 and kernel == 3
        self.expand = ConvBN(in_channels, hidden, eps=EPS) if expansion != 1 else None
        padding = 0 if self.padded else kernel // 2
        self.depthwise = ConvBN(hidden, hidden, kernel, stride=stride, groups=hidden, padding=padding, eps=EPS)
        self.gate = SqueezeExcite(hidden, in_channels // 4)
        self.project = ConvBN(hidden, out_channels, eps=EPS)
        self.residual = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the features."""
        hidden = x if self.expand is None else F.silu(self.expand(x), inplace=True)
        hidden = F.silu(self.depthwise(pad_to_even(hidden) if self.padded else hidden), inplace=True)
        out: Tensor = self.project(self.gate(hidden))
        return x + self.drop_path(out) if self.residual else out


class PaddedStem(nn.Module):
    """The first convolution of EfficientNet-B4, 3x3 of stride 2, with batch norm and SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvBN(3, STEM, 3, stride=2, padding=0, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Features at 1/2 of the image."""
        return F.silu(self.conv(pad_to_even(x)), inplace=True)


def pad_to_even(x: Tensor) -> Tensor:
    """Zero padding of a 3x3 convolution of stride 2 so that sizes halve, rounded up: one pixel at the end, and if a
    size is odd one at the start.
    """  # noqa: D205
    height, width = x.shape[-2:]
    return F.pad(x, (width % 2, 1, height % 2, 1))


class Backbone(nn.Module):
    """A pyramid of features of images `(P, 3, h, w)` with values in [0, 1].

    Level i has the channels and sizes that `BackboneConfig` says: strides 4, 8 and so on.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.checkpointing = config.checkpointing
        self.stem, self.stages = _efficientnet() if config.name == "efficientnet_b4" else _residual(config.widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features, finest first."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        x = self.stem((images - mean) / std)
        features = []
        for stage in self.stages:
            x = checkpoint(stage, x, use_reentrant=False) if self.checkpointing and self.training else stage(x)
            features.append(x)
        return features


def _efficientnet() -> tuple[nn.Module, nn.ModuleList]:
    stages, channels, number = nn.ModuleList(), STEM, 0
    for stage in TRUNK:
        blocks: list[nn.Module] = []
        for out, kernel, stride, expansion in stage:
            blocks.append(MBConv(channels, out, kernel, stride, expansion, DROP * number / BLOCKS))
            channels, number = out, number + 1
        stages.append(nn.Sequential(*blocks))
    return PaddedStem(), stages


def _residual(widths: tuple[int, ...]) -> tuple[nn.Module, nn.ModuleList]:
    stem = nn.Sequential(ConvBN(3, widths[0], 3, stride=2), nn.ReLU(inplace=True))
    return stem, nn.ModuleList(ResidualBlock(before, after, stride=2) for before, after in pairwise(widths))
