"""Convolutional blocks that the networks share."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.conv import ConvBN


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norm, ReLU between and after, and a residual connection.

    Shapes: `(batch, dim, H, W)` in, the same out; `dim / 4` channels between.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), figure 5.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.narrow, self.mix = ConvBN(dim, dim // 4), ConvBN(dim // 4, dim // 4, 3)
        self.widen = ConvBN(dim // 4, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Refine the map."""
        hidden = F.relu(self.mix(F.relu(self.narrow(x), inplace=True)), inplace=True)
        return F.relu(x + self.widen(hidden), inplace=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and ReLU, and a residual connection, projected where the shapes differ.

    Shapes: `(batch, in, H, W)` in, `(batch, out, H / stride, W / stride)` out, rounded up.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), figure 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = ConvBN(in_channels, out_channels, 3, stride=stride)
        self.second = ConvBN(out_channels, out_channels, 3)
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else ConvBN(in_channels, out_channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the map."""
        hidden = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(hidden + self.shortcut(x), inplace=True)


class Downsample(nn.Module):
    """Half as many rows and columns, twice as many channels, by moving pixels into channels.

    `BN(W_3 relu(BN(W_2 unshuffle(W_1 x))))` with 3x3, 3x3 and 1x1 convolutions.

    Shapes: `(batch, dim, H, W)` in, `(batch, 2 dim, H / 2, W / 2)` out.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(dim, dim // 2, 3, padding=1, bias=False)
        self.mix, self.project = ConvBN(2 * dim, 2 * dim, 3), ConvBN(2 * dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Downsample the map."""
        x = F.pixel_unshuffle(self.reduce(x), 2)
        out: Tensor = self.project(F.relu(self.mix(x), inplace=True))
        return out


class UpsampleBlock(nn.Module):
    """Twice as many rows and columns, with a residual connection to the input of the whole decoder.

    `relu(BN(W_2 relu(BN(W_1 up(z)))) + nearest(W_3 x))`, with `up` bilinear between the centres of the corner cells.

    Shapes: z `(batch, in, H, W)` and the decoder's input x `(batch, skip, h, w)` in, `(batch, out, 2 H, 2 W)` out.
    """

    def __init__(self, in_channels: int, out_channels: int, skip: int) -> None:
        super().__init__()
        self.mix, self.widen = ConvBN(in_channels, out_channels // 2, 3), ConvBN(out_channels // 2, out_channels)
        self.skip = nn.Conv2d(skip, out_channels, 1)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Upsample the map."""
        z = F.interpolate(z, scale_factor=2, mode="bilinear", align_corners=True)
        z = self.widen(F.relu(self.mix(z), inplace=True))
        return F.relu(z + F.interpolate(self.skip(x), size=z.shape[-2:]), inplace=True)


class Decoder(nn.Module):
    """From the features of a coarse map to logits on the grid.

    Shapes: `(batch, dim, H, W)` in, `(batch, channels, 2^n H, 2^n W)` out, for `n = len(widths)`.

    Args:
        dim: Channels of the coarse map.
        widths: Channels of each upsampling block.
        channels: Of the logits.

    Source: Xu et al., "CoBEVT: Cooperative Bird's Eye View Semantic Segmentation with Sparse Transformers" (2022).
    """

    def __init__(self, dim: int, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(UpsampleBlock(before, after, dim) for before, after in pairwise([dim, *widths]))
        self.mix = ConvBN(widths[-1], widths[-1], 3)
        self.classify = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        z = x
        for block in self.blocks:
            z = block(z, x)
        logits: Tensor = self.classify(F.relu(self.mix(z), inplace=True))
        return logits
