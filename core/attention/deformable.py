"""Multi-scale deformable attention: each query samples a few learned positions on each level of a feature pyramid."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sample_pyramid(value: Tensor, shapes: Sequence[tuple[int, int]], x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    r"""Weighted sum of bilinear samples, `sum_{l,p} w_{l,p} V_l(x_{l,p}, y_{l,p})` for each query and head.

    A bilinear sample is itself a weighted sum of four pixels, so the whole sum over levels, points and corners is
    one weighted bag of rows of `value`, which PyTorch computes without materializing the samples: on a CPU about ten
    times faster than a `grid_sample` for each level.

    Args:
        value: `(batch, sum_l H_l W_l, heads, channels)`, the levels concatenated, each in row-major order;
            fewer than 2^31 vectors in all.
        shapes: `(H_l, W_l)` of each level.
        x: `(batch, queries, heads, levels * points)`, column positions in pixels of their level, 0 at the centre of
            the first column. Samples outside the map are zero.
        y: row positions, likewise.
        weights: `(batch, queries, heads, levels * points)` of the samples.

    Returns:
        `(batch, queries, heads, channels)`.
    """
    batch, tokens, heads, channels = value.shape
    height, width, start = _levels(shapes, x.shape[-1] // len(shapes), value.device)
    image = tokens * torch.arange(batch, device=value.device, dtype=torch.int32).view(batch, 1, 1, 1)
    head = torch.arange(heads, device=value.device, dtype=torch.int32).view(heads, 1)
    columns, column_weights = _corners(x, width)
    rows, row_weights = _corners(y, height)
    # Row of (image, pixel, head) in the table: ((image + start + row * width) + column) * heads + head.
    row_part = [row * (width * heads) + ((image + start) * heads + head) for row in rows]
    column_part = [column * heads for column in columns]
    row_weights = [weight * weights for weight in row_weights]
    members = x.numel() // x.shape[-1], 4 * x.shape[-1]
    sampled = F.embedding_bag(
        torch.cat([row + column for row in row_part for column in column_part], -1).view(members),
        value.reshape(-1, channels),
        per_sample_weights=torch.cat([row * column for row in row_weights for column in column_weights], -1).view(
            members
        ),
        mode="sum",
    )
    return sampled.view(*x.shape[:-1], channels)


def _levels(shapes: Sequence[tuple[int, int]], points: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Height, width and first token of the level that each of the `levels * points` samples reads, int32."""
    starts, tokens = [], 0
    for height, width in shapes:
        starts.append(tokens)
        tokens += height * width
    rows = [[height for height, _ in shapes], [width for _, width in shapes], starts]
    table = torch.tensor(rows, dtype=torch.int32, device=device).repeat_interleave(points, dim=1)
    return table[0], table[1], table[2]


def _corners(place: Tensor, size: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The two pixels around a position along one axis and their linear weights, zero for pixels outside the map."""
    below = place.detach().floor()
    above_weight = place - below
    # Clamp positions far outside so that they do not overflow int32; their weight is zero in any case.
    low = below.clamp(-2, 2**24).to(torch.int32)
    high = low + 1
    last = size - 1
    weights = [(1 - above_weight) * ((low >= 0) & (low <= last)), above_weight * ((high >= 0) & (high <= last))]
    return [low.clamp(min=0).minimum(last), high.clamp(min=0).minimum(last)], weights


class MultiScaleDeformableAttention(nn.Module):
    r"""Attention of tokens to `points` learned positions in each of `levels` feature maps.

    For query `i` with reference point `r_i`, head `h`, level `l` and point `p`::

        y_i = W_o concat_h sum_{l,p} a_{ihlp} V_{lh}(r_i + o_{ihlp} / (W_l, H_l)),    V = W_v x

    with offsets `o = W_off q` in pixels of the level, weights `a = softmax_{l,p}(W_a q)` and bilinear sampling of
    `V` (zero outside). Cost `N (4 heads levels points dim/heads)` multiply-adds for N queries plus the projections,
    independent of the size of the maps.

    Source: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object Detection" (2021), eq. 3.
    """

    def __init__(self, dim: int, levels: int, heads: int = 8, points: int = 4) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        self.levels, self.heads, self.points = levels, heads, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform weights over positions 1 to `points` pixels away, each head in its own direction."""
        nn.init.zeros_(self.sampling_offsets.weight)
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        angle = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        distance = torch.arange(1, self.points + 1, dtype=torch.float32)
        bias = direction.view(-1, 1, 1, 2) * distance.view(1, 1, -1, 1).expand(-1, self.levels, -1, 1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(bias.flatten())

    def forward(self, query: Tensor, reference: Tensor, value: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """Attend from `query` to the pyramid `value`.

        Args:
            query: `(batch, queries, dim)`.
            reference: `(batch | 1, queries, levels | 1, 2)`, x then y as fractions of the map.
            value: `(batch, sum_l H_l W_l, dim)`.
            shapes: `(H_l, W_l)` of each level.

        Returns:
            `(batch, queries, dim)`.
        """
        # Positions need more precision than 16-bit floats have: only the projections follow autocast.
        precision = reference.dtype
        offsets = self.sampling_offsets(query).to(precision).unflatten(-1, (self.heads, -1, 2))
        weights = self.attention_weights(query).to(precision).unflatten(-1, (self.heads, -1)).softmax(-1)
        size = torch.tensor([[width, height] for height, width in shapes], dtype=precision, device=query.device)
        centre = (reference * size - 0.5).repeat_interleave(self.points, dim=2)[:, :, None]
        values = self.value_proj(value).to(precision).unflatten(-1, (self.heads, -1))
        x, y = (centre[..., axis] + offsets[..., axis] for axis in (0, 1))
        out: Tensor = self.output_proj(sample_pyramid(values, shapes, x, y, weights).flatten(-2))
        return out
