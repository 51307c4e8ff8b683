"""Slices judged with their neighbours: ResNet-18 features of each, and axial attention along the study."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.petct.models.resnet import SliceNetwork, Trunk
from transect.core.attention import AxialAttention

EXCLUDED = -30000.0
"""Added to the logits of attention between slices that are too far apart: finite also in half precision."""


class OffsetBias(nn.Module):
    """Bias of the logits of attention by the offset of two slices: a learned value for each head and offset.

    `bias[h, q, k] = table[h, q - k + reach - 1]` for offsets less than `reach`; slices farther apart do not attend to
    each other. Initially `-2 4^-h |q - k|`, so that the first heads see the nearest slices and the last ones all.
    The core's relative biases have no such limit, and start alike for all heads, from which training takes longer.

    Source: the initial slopes are those of Press et al., "Train Short, Test Long" (2022), with other constants.
    """

    def __init__(self, heads: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        slopes = 2 * 0.25 ** torch.arange(heads)
        self.table = nn.Parameter(-slopes[:, None] * torch.arange(1 - reach, reach).abs())

    def forward(self, length: int) -> Tensor:
        """The bias `(heads, length, length)`."""
        place = torch.arange(length, device=self.table.device)
        offset = (place[:, None] - place).clamp(-self.reach, self.reach) + self.reach
        padded = F.pad(self.table, (1, 1), value=EXCLUDED)
        return padded.index_select(1, offset.flatten()).view(-1, length, length)


class Block(nn.Module):
    """Attention along the slices, then an MLP for each; both pre-norm with a residual connection.

    `h = h + A(LN(h));  h = h + W_2 gelu(W_1 LN(h))`, `(batch, slices, dim)` in, the same out.
    """

    def __init__(self, dim: int, heads: int, reach: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = AxialAttention(dim, heads, ndim=1)
        self.bias = OffsetBias(heads, reach)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, h: Tensor, mask: Tensor | None) -> Tensor:
        """Mix `h` `(batch, slices, dim)`; `mask` `(batch, slices)` is True where a slice may be attended to."""
        h = h + self.attention(self.attention_norm(h), mask, [self.bias(h.shape[1])])
        h = h + self.mlp(self.mlp_norm(h))
        return h


class SliceContext(SliceNetwork):
    """A slice is classified with its neighbours: how far uptake extends along the body tells a lesion from an organ.

    `h = W f(slice)`, `depth` blocks of axial attention along the slices, and `logit = v f(slice) + w LN(h)`, where w is
    initially 0: training starts from a ResNet-18, and learns what neighbours add. A slice attends to those less than
    `reach` away, which are the offsets that training sees in a run of `reach` slices; positions enter as offsets in
    slices alone, so that a study may start anywhere in the body. Attention takes `4 S^2 dim` floating-point operations
    for S slices: little compared with their features, so that a study is always seen whole.

    Args:
        channels: Of a slice.
        width: Channels of the first stage of the ResNet-18.
        dim: Channels of a slice in attention.
        heads: Attention heads.
        depth: Attention blocks.
        reach: Offset from which on slices do not attend to each other.

    Shapes: `(batch, slices, channels, H, W)` in, `(batch, slices)` out.
    """

    def __init__(self, channels: int, width: int, dim: int, heads: int, depth: int, reach: int) -> None:
        super().__init__(Trunk(channels, width))
        self.fc = nn.Linear(self.trunk.size, 1)
        self.embed = nn.Linear(self.trunk.size, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, reach) for _ in range(depth))
        self.norm, self.context = nn.LayerNorm(dim), nn.Linear(dim, 1, bias=False)
        nn.init.zeros_(self.context.weight)

    def logits(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits `(batch, slices)`."""
        h = self.embed(features)
        for block in self.blocks:
            h = block(h, mask)
        logits: Tensor = (self.fc(features) + self.context(self.norm(h)))[..., 0]
        return logits
