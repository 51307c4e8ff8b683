"""Selective state-space scan: input-dependent linear recurrences over several raster orders of a grid."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.selective_recurrence import selective_recurrence


class SelectiveScan(nn.Module):
    r"""Linear-time token mixing by recurrences whose coefficients depend on the token, along several scan orders.

    With `E = expansion dim` channels, N states, rank R and tokens visited in the order of direction k::

        u = silu(DepthwiseConv3(W_in x))
        [r_k, B_k, C_k] = W_x,k u                        R, N and N values per token
        s_k = softplus(W_dt,k r_k + b_dt,k)              the step, per channel
        h_t = exp(s_t A) h_{t-1} + s_t B_t u_t           (E, N), A = -exp(A_log), from h = 0
        y_k,t = h_t C_t + D_k u_t
        out = W_out LayerNorm(sum_k y_k)

    Every order of the axes is scanned forwards, then every order backwards. By default the orders are the rotations of
    the axes, so that each axis is innermost once: two directions in 1-D, and for images the four of SS2D
    (row by row, column by column, both reversed). Orders only permute the tokens, so all directions share one
    projection in the original layout, without permuted or flipped copies; see `selective_recurrence` for the scan.

    For T tokens and K directions, cost `2 T E (2 dim + K (2 R + 2 N) + 3^d)` floating-point operations in the
    projections and `11 T E N K` in the scans; memory is linear in T: about `(K + 5) T E` values are saved for the
    backward pass, independent of N. Under autocast the scan stays in float32.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), section 3; Liu et
    al., "VMamba: Visual State Space Model" (2024), section 4 (SS2D, here without the gate branch).
    """

    def __init__(
        self,
        dim: int,
        *,
        ndim: int = 2,
        orders: Sequence[Sequence[int]] | None = None,
        states: int = 1,
        expansion: float = 2,
        rank: int | None = None,
    ) -> None:
        super().__init__()
        axes = list(range(ndim))
        self.orders = [axes[i:] + axes[:i] for i in axes] if orders is None else [list(order) for order in orders]
        if any(sorted(order) != axes for order in self.orders) or not self.orders:
            raise ValueError(f"orders: found {orders}, expected permutations of the axes {axes}")
        if ndim < 1 or states < 1:
            raise ValueError(f"ndim, states: found {ndim} and {states}, expected at least 1")
        channels, rank = int(expansion * dim), math.ceil(dim / 16) if rank is None else rank
        self.ndim, self.splits = ndim, [rank, states, states]
        directions = 2 * len(self.orders)

        self.in_proj = nn.Linear(dim, channels, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(channels, 1, *[3] * ndim))
        self.x_proj_weight = nn.Parameter(torch.empty(directions, sum(self.splits), channels))
        self.dt_proj_weight = nn.Parameter(torch.empty(directions, channels, rank))
        self.dt_proj_bias = nn.Parameter(torch.empty(directions, channels))
        self.A_log = nn.Parameter(torch.empty(directions, channels, states))
        self.D = nn.Parameter(torch.empty(directions, channels))
        self.out_norm = nn.LayerNorm(channels)
        self.out_proj = nn.Linear(channels, dim, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the steps log-uniformly in 0.001 to 0.1 and the decay rates to 1, 2, ... N."""
        for weight, inputs in (
            (self.conv_weight, 3**self.ndim),
            (self.x_proj_weight, self.x_proj_weight.shape[-1]),
            (self.dt_proj_weight, self.dt_proj_weight.shape[-1]),
        ):
            nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5)
        with torch.no_grad():
            step = torch.empty_like(self.dt_proj_bias).uniform_(math.log(1e-3), math.log(1e-1)).exp()
            self.dt_proj_bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus
            self.A_log.copy_(torch.arange(1.0, self.A_log.shape[-1] + 1).log().expand_as(self.A_log))
        nn.init.ones_(self.D)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`."""
        if x.ndim != self.ndim + 2:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, {self.ndim} grid axes, dim)")
        u = F.silu(_depthwise_conv(self.in_proj(x), self.conv_weight))
        out: Tensor = self.out_proj(self.out_norm(self._scan(u).to(u.dtype)))
        return out

    def _scan(self, u: Tensor) -> Tensor:
        """Sum of the directions' outputs `y_k`: `(batch, *grid, channels)` in and out, float32 or above."""
        projected = F.linear(u, self.x_proj_weight.flatten(0, 1))
        projected = torch.unflatten(projected, -1, (-1, sum(self.splits)))
        rates = -self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32)).exp().transpose(1, 2)
        total = u * self.D.to(rates.dtype).sum(0)
        directions = [(order, reverse) for reverse in (False, True) for order in self.orders]
        for k, (order, reverse) in enumerate(directions):
            low_rank, write, read = torch.split(projected[..., k, :], self.splits, -1)
            delta = F.linear(low_rank, self.dt_proj_weight[k])
            total += selective_recurrence(u, delta, self.dt_proj_bias[k], rates[k], write, read, order, reverse=reverse)
        return total


def _depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Zero-padded depthwise convolution by `(channels, 1, 3, ...)`: `(batch, *grid, channels)` of any rank."""
    if x.ndim > 5:  # torch has no such rank: sum three convolutions along the first axis
        size = x.shape[1]
        padded = F.pad(x, [0, 0] * (x.ndim - 2) + [1, 1])
        slices = [padded.narrow(1, k, size).flatten(0, 1) for k in range(3)]
        parts = [_depthwise_conv(part, weight[:, :, k]) for k, part in enumerate(slices)]
        return torch.unflatten(parts[0] + parts[1] + parts[2], 0, (-1, size))
    conv = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return conv(x.movedim(-1, 1), weight, padding=1, groups=weight.shape[0]).movedim(1, -1)


class TriPlaneScan(nn.Module):
    r"""Sum of three 2-D scans of a volume, each of which keeps one axis and flattens the other two.

    `y = S_H(x as H x (W D)) + S_W(x as W x (H D)) + S_D(x as D x (H W))` with three separate `SelectiveScan` modules.

    As published, the 3x3 convolution of each scan runs on the flattened image, where the last voxel of one line is
    adjacent to the first of the next.

    Shapes: `(batch, H, W, D, dim)` in, the same out. Cost: three times that of `SelectiveScan`.

    Source: Zeng et al., "SRMA-Mamba: Spatial Reverse Mamba Attention Network for Pathological Liver Segmentation in
    MRI Volumes" (2025), the spatial anatomy-based scan.
    """

    def __init__(self, dim: int, *, states: int = 1, expansion: float = 2, rank: int | None = None) -> None:
        super().__init__()
        self.scans = nn.ModuleList(SelectiveScan(dim, states=states, expansion=expansion, rank=rank) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x` `(batch, H, W, D, dim)`."""
        if x.ndim != 5:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, H, W, D, dim)")
        total: Tensor | None = None
        for axis, scan in enumerate(self.scans):
            volume = x.movedim(axis + 1, 1)
            mixed = scan(volume.flatten(2, 3)).reshape(volume.shape).movedim(1, axis + 1)
            total = mixed if total is None else total + mixed
        assert total is not None
        return total
