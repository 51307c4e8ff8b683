"""The mask decoder: learned queries attend to the image and each predicts a class and a mask."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.change_detection.models.pixel_decoder import DecodedPixels
from transect.core.attention import FewQueryAttention, SceneAxialCrossAttention

LEVELS = 4
MASK_THRESHOLD = 0.15  # a query does not attend where its previous mask is below this probability


class MaskPrediction(NamedTuple):
    """Masks with their classes, from before the first layer to after the last (the final prediction).

    `class_logits` is `(layers + 1, n, queries, 2)`, class 0 no object and class 1 change; `masks` is
    `(layers + 1, n, queries, ceil(H / 4), ceil(W / 4))`, logits.
    """

    class_logits: Tensor
    masks: Tensor


def sine_embedding(position: Tensor, dim: int) -> Tensor:
    """`sin(2 pi p / 10000^(2 floor(i / 2) / dim))` for even i, cos for odd: `(...)` to `(..., dim)`.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.5, on positions scaled by 2 pi.
    """
    exponent = torch.arange(0, dim, 2, device=position.device, dtype=position.dtype) / dim
    angle = position[..., None] * (2 * math.pi) / 10000**exponent
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


class MaskedCrossLayer(nn.Module):
    """Masked cross-attention of the queries to one level, with residual and layer norm.

    Source: Cheng et al., "Masked-attention Mask Transformer" (2022), eq. 2.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = FewQueryAttention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, query_position: Tensor, level: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        """Read `level` and `position` `(n, dim, h, w)` where `mask` `(n, queries, h w)` is True."""
        value = level.flatten(2).transpose(1, 2)
        key = value + position.flatten(2).transpose(1, 2)
        out: Tensor = self.norm(queries + self.attention(queries + query_position, key, value, mask))
        return out


class AxialCrossLayer(nn.Module):
    """Scene-guided axial cross-attention of the queries to one level, with residual and layer norm.

    Each query has a learned position; its sine embedding, through an MLP, is added to the query along either axis.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = SceneAxialCrossAttention(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.place = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, queries: Tensor, places: Tensor, key_x: Tensor, key_y: Tensor, value: Tensor) -> Tensor:
        """Read `value` `(n, h, w, dim)` by `key_x` `(n, w, dim)` and `key_y` `(n, h, dim)`.

        `places` `(queries, 2)` are x and y as fractions of the image.
        """
        embedded = self.place(sine_embedding(places, queries.shape[-1]))
        read = self.attention(queries + embedded[:, 0], queries + embedded[:, 1], key_x, key_y, value)
        out: Tensor = self.norm(queries + read)
        return out


def axial_keys(level: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of the axial layers from `level` and `position` `(n, dim, h, w)`: key_x, key_y and value."""
    value, position = level.permute(0, 2, 3, 1), position.permute(0, 2, 3, 1)
    return value.mean(1) + position.mean(1), value.mean(2) + position.mean(2), value


class SelfLayer(nn.Module):
    """Self-attention between the queries, then an MLP, each with residual and layer norm."""

    def __init__(self, dim: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, query_position: Tensor) -> Tensor:
        """Mix the queries."""
        key = queries + query_position
        queries = self.norm1(queries + self.attention(key, key, queries, need_weights=False)[0])
        out: Tensor = self.norm2(queries + self.linear2(F.relu(self.linear1(queries))))
        return out


class MaskDecoder(nn.Module):
    """Queries that attend to the levels in turn, from 1/32 to 1/4, and predict their masks after every layer.

    The layers of the 1/4 level attend along its axes, all others within the queries' previous masks.

    Source: "Rethinking Remote Sensing Change Detection With A Mask View" (2024), after Cheng et al.,
    "Masked-attention Mask Transformer" (2022), section 3.
    """

    def __init__(self, dim: int, heads: int, layers: int, feedforward: int, queries: int, classes: int = 2) -> None:
        super().__init__()
        self.query_feature = nn.Parameter(torch.randn(queries, dim))
        self.query_position = nn.Parameter(torch.randn(queries, dim))
        self.query_place = nn.Parameter(torch.rand(queries, 2))
        self.level_embedding = nn.Parameter(torch.randn(LEVELS, dim))
        self.cross = nn.ModuleList(
            AxialCrossLayer(dim, heads) if i % LEVELS == LEVELS - 1 else MaskedCrossLayer(dim, heads)
            for i in range(layers)
        )
        self.mix = nn.ModuleList(SelfLayer(dim, heads, feedforward) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.classify = nn.Linear(dim, classes)
        self.mask_embedding = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )

    def forward(self, pixels: DecodedPixels, last_only: bool = False) -> MaskPrediction:
        """Decode the masks of every layer, or with `last_only` only those of the last layer."""
        embedding = self.level_embedding[:, :, None, None]
        levels = [level + embedding[i] for i, level in enumerate(pixels.levels)]
        # Resizing is linear, so the features are resized once per level instead of the masks once per layer.
        resized = [
            F.interpolate(pixels.mask_features, size=level.shape[2:], mode="bilinear", align_corners=False).detach()
            for level in levels[:-1]
        ]
        axial = axial_keys(levels[-1], pixels.positions[-1])  # the same for all axial layers
        queries = self.query_feature.expand(len(levels[0]), -1, -1)
        states = [queries]
        for i, (cross, mix) in enumerate(zip(self.cross, self.mix, strict=True)):
            level = i % LEVELS
            if isinstance(cross, AxialCrossLayer):
                queries = cross(queries, self.query_place, *axial)
            else:
                visible = self._visible(queries, resized[level])
                queries = cross(queries, self.query_position, levels[level], pixels.positions[level], visible)
            queries = mix(queries, self.query_position)
            states.append(queries)
        normed = self.norm(torch.stack(states[-1:] if last_only else states))
        masks = torch.einsum("lnqc,nchw->lnqhw", self.mask_embedding(normed), pixels.mask_features)
        return MaskPrediction(self.classify(normed), masks)

    @torch.no_grad()
    def _visible(self, queries: Tensor, features: Tensor) -> Tensor:
        """The attention mask of each query, `(n, queries, h w)`: its previous mask, or everywhere if that is empty."""
        logits: Tensor = self.mask_embedding(self.norm(queries)) @ features.flatten(2)
        visible = logits.sigmoid() >= MASK_THRESHOLD
        nowhere = ~visible.any(-1, keepdim=True)
        return visible | nowhere
