"""Axial attention: one axis of the grid at a time."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from core.attention.attend import attend


class AxialAttention(nn.Module):
    r"""Multi-head self-attention along each axis of a channel-last grid in turn, for any rank.

    With `A_i(x) = W_o,i attend(q_i, k_i, v_i, axis i)` and `q_i, k_i, v_i = W_qkv,i x`, each axis has its own weights::

        order "sum":         y = sum_i A_i(x)
        order "sequential":  y = A_d(... A_2(A_1(x)))

    No residual and no norm: those belong to the block around it. Cost `4 N dim sum_i S_i` floating-point operations
    for N tokens on a grid `S_1 x ... x S_d` beside the projections, instead of `4 N^2 dim` for full attention.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Source: Ho et al., "Axial Attention in Multidimensional Transformers" (2019), section 3.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        ndim: int = 2,
        axes: Sequence[int] | None = None,
        order: Literal["sum", "sequential"] = "sum",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        if order not in ("sum", "sequential"):
            raise ValueError(f"order: found {order!r}, expected 'sum' or 'sequential'")
        self.heads, self.ndim, self.order, self.causal = heads, ndim, order, causal
        self.axes = tuple(range(ndim)) if axes is None else tuple(axes)
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * dim, bias=False) for _ in self.axes)
        self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in self.axes)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`; `mask` `(batch | 1, *grid)` is True where a token may be attended to."""
        if x.ndim != self.ndim + 2:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, {self.ndim} grid axes, dim)")
        total: Tensor | None = None
        for axis, qkv, out in zip(self.axes, self.qkv, self.out, strict=True):
            # Per token and head q, k and v lie side by side, so folding any axis is a view.
            query, key, value = qkv(x).unflatten(-1, (self.heads, 3, -1)).unbind(-2)
            mixed: Tensor = out(attend(query, key, value, (axis,), mask=mask, causal=self.causal).flatten(-2))
            if self.order == "sequential":
                x = total = mixed
            else:
                total = mixed if total is None else total + mixed
        assert total is not None
        return total
