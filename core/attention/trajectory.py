"""Axial-trajectory attention: per-frame attention along one axis, then attention over the resulting trajectory."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transect.core.attention.attend import attend


class TrajectoryAttention(nn.Module):
    r"""Trajectory attention within lines: `(lines, frames, length, dim)` in, the same out.

    For the token at position i of frame t, with `q, k, v = W_qkv x` and `q', (k', v') = W_q y, W_kv y`::

        y_{t,i,s} = sum_j softmax_j(q_{t,i} . k_{s,j} / sqrt(head_dim)) v_{s,j}      trajectory point in frame s
        z_{t,i}   = sum_s softmax_s(q'_{t,i,t} . k'_{t,i,s} / sqrt(head_dim)) v'_{t,i,s}
        out       = W_o z

    The first softmax runs within each frame s, so the y of a token form a trajectory with one point per frame; the
    second attends along it, with the point in the token's own frame as the query.
    """

    def __init__(self, dim: int, heads: int = 8, *, qkv_bias: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.trajectory_query = nn.Linear(dim, dim, bias=qkv_bias)
        self.trajectory_key_value = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix `x` `(lines, frames, length, dim)`; `mask` `(lines, frames, length)`, True = may be attended to."""
        frames, length = x.shape[1:3]
        query, key, value = self.qkv(x).unflatten(-1, (self.heads, 3, -1)).unbind(-2)
        # Tokens of all frames t attend to each frame s: the query grid is (s, t * length), the key grid (s, j).
        expanded = query.flatten(1, 2)[:, None].expand(-1, frames, -1, -1, -1)
        points = torch.unflatten(attend(expanded, key, value, (1,), mask=mask).flatten(-2), 2, (frames, length))

        own = points.diagonal(dim1=1, dim2=2).movedim(-1, 1)
        query = self.trajectory_query(own).unflatten(-1, (self.heads, -1))[:, None]
        key, value = self.trajectory_key_value(points).unflatten(-1, (self.heads, 2, -1)).unbind(-2)
        # A frame without a visible token on the line contributes no trajectory point.
        visible = None if mask is None else mask.any(-1)[:, :, None, None].expand(-1, -1, frames, length)
        out: Tensor = self.out(attend(query, key, value, (0,), mask=visible)[:, 0].flatten(-2))
        return out


class AxialTrajectoryAttention(nn.Module):
    r"""Trajectory attention over a video clip, along one spatial axis after the other: first height, then width.

    With `T_a` the trajectory attention of every line along the spatial axis a, with separate weights per axis::

        y = T_width(T_height(x))

    and likewise for any number of spatial axes. Residual connection and normalization are left to the enclosing block.
    The published layer has a residual connection around each axis: for it, build one module per axis, with `axes=(0,)`
    and `axes=(1,)`.

    Cost for N = T prod_a S_a tokens of a clip of T frames: `4 N dim T (S_a + 1)` floating-point operations for axis a,
    plus `10 N dim^2` for the projections of tokens and `4 N T dim^2` for those of points; memory `O(N T)`.
    Joint attention over space and time would take `4 N^2 dim`.

    Shapes: `(batch, frames, *grid, dim)` in, the same out.

    Args:
        dim: width of the tokens, a multiple of `heads`.
        heads: number of heads.
        ndim: number of spatial axes.
        axes: the spatial axes to attend along, in this order, counted from 0 after the frames; by default all.
        qkv_bias: whether the projections to queries, keys and values have a bias.

    Raises:
        ValueError: `dim` is not a multiple of `heads`, or an axis is out of range.

    Source: He et al., "A Simple Video Segmenter by Tracking Objects Along Axial Trajectories" (2024), section 3.2; the
    trajectory attention: Patrick et al., "Keeping Your Eye on the Ball" (2021), section 3.
    """

    def __init__(
        self, dim: int, heads: int = 8, *, ndim: int = 2, axes: Sequence[int] | None = None, qkv_bias: bool = False
    ) -> None:
        super().__init__()
        self.ndim = ndim
        self.axes = tuple(range(ndim)) if axes is None else tuple(axes)
        if not self.axes or min(self.axes) < 0 or max(self.axes) >= ndim:
            raise ValueError(f"axes: found {self.axes}, expected spatial axes of a grid of rank {ndim}, from 0")
        self.along = nn.ModuleList(TrajectoryAttention(dim, heads, qkv_bias=qkv_bias) for _ in self.axes)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix `x` `(batch, frames, *grid, dim)`.

        `mask` `(batch | 1, frames, *grid)` is True where a token may be attended to. Fully masked frames do
        not affect the others.
        """
        if x.ndim != self.ndim + 3:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, frames, {self.ndim} spatial axes, dim)")
        if mask is not None:
            mask = mask.expand(x.shape[:-1])
        for axis, attention in zip(self.axes, self.along, strict=True):
            # (batch, *other axes, frames, line, dim): one copy before the projections instead of several after them.
            others = [other + 2 for other in range(self.ndim) if other != axis]
            order = [0, *others, 1, axis + 2]
            lines = x.permute(*order, -1)
            visible = None if mask is None else mask.permute(order).flatten(0, -3)
            mixed = attention(lines.flatten(0, -4), visible).reshape(lines.shape)
            x = mixed.permute(*(order.index(dim) for dim in range(len(order))), -1)
        return x
