"""The pixel decoder: a deformable transformer over three scales and a feature pyramid step to the finest."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention import MultiScaleDeformableAttention

GROUPS = 32


class DecodedPixels(NamedTuple):
    """The input of the mask decoder; levels go from coarse to fine: 1/32, 1/16, 1/8 and 1/4 of the image.

    `levels[i]` and `positions[i]` are `(n, dim, h_i, w_i)`, `mask_features` is `(n, dim, h_3, w_3)`, and `memory` is
    the encoder's output before it is split into the three coarser levels, `(n, tokens, dim)`.
    """

    levels: list[Tensor]
    positions: list[Tensor]
    mask_features: Tensor
    memory: Tensor


class DeformableLayer(nn.Module):
    """Deformable self-attention and an MLP, each followed by a layer norm of the sum: `(n, tokens, dim)`.

    Source: Zhu et al., "Deformable DETR" (2021), section 4.1.
    """

    def __init__(self, dim: int, levels: int, heads: int, points: int, feedforward: int) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(dim, levels, heads, points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Mix the tokens of all levels."""
        x = self.norm1(x + self.attention(x + position, reference, x, shapes))
        out: Tensor = self.norm2(x + self.linear2(F.relu(self.linear1(x), inplace=True)))
        return out


def projection(in_channels: int, dim: int, kernel: int = 1) -> nn.Sequential:
    """Convolution with bias and a group norm."""
    return nn.Sequential(nn.Conv2d(in_channels, dim, kernel, padding=kernel // 2), nn.GroupNorm(GROUPS, dim))


def centres(shapes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Pixel centres of all levels one after the other, x then y in fractions: `(1, sum_l H_l W_l, 1, 2)`, float32."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    grids = []
    for height, width in shapes:
        y = (torch.arange(height, device=like.device, dtype=dtype) + 0.5) / height
        x = (torch.arange(width, device=like.device, dtype=dtype) + 0.5) / width
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        grids.append(torch.stack([columns, rows], -1).flatten(0, 1))
    return torch.cat(grids)[None, :, None]


class PixelDecoder(nn.Module):
    """Deformable encoder over 1/32, 1/16 and 1/8, then one feature pyramid step to 1/4.

    Positions are learned from the content, a depthwise 3x3 convolution of each projected level (a conditional
    position encoding).

    Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022), section 4.1, with
    the positions of "Rethinking Remote Sensing Change Detection With A Mask View" (2024).
    """

    def __init__(
        self, channels: Sequence[int], dim: int, heads: int, points: int, layers: int, feedforward: int
    ) -> None:
        super().__init__()
        coarse_first = list(reversed(channels))
        self.project = nn.ModuleList(projection(width, dim) for width in coarse_first)
        self.position = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1, groups=dim) for _ in coarse_first)
        levels = len(coarse_first) - 1
        self.level_embedding = nn.Parameter(torch.randn(levels, dim))
        self.layers = nn.ModuleList(DeformableLayer(dim, levels, heads, points, feedforward) for _ in range(layers))
        self.lateral = projection(channels[0], dim)
        self.smooth = projection(dim, dim, 3)
        self.mask_features = nn.Conv2d(dim, dim, 1)

    def forward(self, features: Sequence[Tensor]) -> DecodedPixels:
        """Decode the change features, given finest first."""
        projected = [project(x) for project, x in zip(self.project, reversed(features), strict=True)]
        positions = [position(x) for position, x in zip(self.position, projected, strict=True)]

        coarse = projected[:-1]
        shapes = [(x.shape[2], x.shape[3]) for x in coarse]
        tokens = torch.cat([_tokens(x) for x in coarse], 1)
        embeddings = zip(positions, self.level_embedding, strict=False)
        position = torch.cat([_tokens(x) + embedding for x, embedding in embeddings], 1)
        reference = centres(shapes, tokens)
        for layer in self.layers:
            tokens = layer(tokens, position, reference, shapes)
        levels = [
            _image(part, shape)
            for part, shape in zip(torch.split(tokens, [h * w for h, w in shapes], 1), shapes, strict=True)
        ]

        lateral = F.relu(self.lateral(features[0]), inplace=True)
        up = F.interpolate(levels[-1], size=lateral.shape[2:], mode="bilinear", align_corners=False)
        finest = F.relu(self.smooth(lateral + up), inplace=True)
        return DecodedPixels([*levels, finest], positions, self.mask_features(finest), tokens)


def _tokens(image: Tensor) -> Tensor:
    """`(n, dim, h, w)` to `(n, h w, dim)`."""
    return image.flatten(2).transpose(1, 2)


def _image(tokens: Tensor, shape: tuple[int, int]) -> Tensor:
    """`(n, h w, dim)` to `(n, dim, h, w)`, a view that is channels-last in memory."""
    return tokens.view(len(tokens), *shape, -1).permute(0, 3, 1, 2)
