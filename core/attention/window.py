"""Window attention: joint attention within the blocks of a grid, or over a dilated grid of cells."""

from collections.abc import Sequence

from torch import Tensor, nn

from transect.core.attention.attend import attend
from transect.core.attention.grid import Partition, fit, from_windows, to_windows
from transect.core.attention.relative_bias import RelativeBias


class WindowAttention(nn.Module):
    r"""Multi-head self-attention within windows of a channel-last grid of any rank.

    The tokens X of one window (`(L, dim)`, L = the product of its lengths) attend to each other only::

        q, k, v = W_qkv X + b,      y = W_o attend(q, k, v, bias = B) + b_o

    `partition` says which cells form a window of lengths p (see `grid.split`): "block" takes p
    adjacent cells along each axis, "grid" takes p evenly spaced cells, so one layer of each mixes the whole grid. B is
    the optional relative position bias.

    Views, agents or frames share a window when it spans their axis: with x `(batch, agents, H, W, dim)` the
    window `(5, 8, 8)` joins up to five agents (fused axial attention, FAX-SA) and `(None, 8, 8)` any number, without
    relative bias. An axis shorter than its window is taken whole.

    A grid that is not a multiple of the window is padded at the end; padding is never attended to and does not affect
    the result. A query without a visible key gives zeros before the output projection. No residual connection and no
    normalization.

    Cost `4 N L dim` floating-point operations for N tokens, plus `8 N dim^2` for the projections; memory is linear
    in N. Windowing takes one copy of x, before the projections.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Args:
        dim: channels, a multiple of `heads`.
        heads: attention heads.
        window: length along each grid axis; `None` for the whole axis.
        partition: "block" or "grid".
        relative_bias: whether to learn a `RelativeBias` of the window.
        bias: whether the two projections have a bias.

    Source: Tu et al., "MaxViT: Multi-Axis Vision Transformer" (2022), section 3.2; Xu et al., "CoBEVT" (2022),
    section 3.2 (fused axial attention).
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        window: Sequence[int | None],
        partition: Partition = "block",
        relative_bias: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        if not window or any(length is not None and length < 1 for length in window):
            raise ValueError(f"window: found {tuple(window)}, expected a positive length or None for each axis")
        if partition not in ("block", "grid"):
            raise ValueError(f"partition: found {partition!r}, expected 'block' or 'grid'")
        self.heads, self.window, self.partition = heads, tuple(window), partition
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.out = nn.Linear(dim, dim, bias=bias)
        self.relative_bias: RelativeBias | None = None
        if relative_bias:
            lengths = [length for length in window if length is not None]
            if len(lengths) < len(window):
                raise ValueError(f"window: found {tuple(window)}, expected a length for each axis with relative_bias")
            self.relative_bias = RelativeBias(lengths, heads)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`; `mask` `(batch | 1, *grid)` is True where a token may be attended to.

        Raises:
            ValueError: the grid has another rank than the window, or the mask does not fit it.
        """
        grid = x.shape[1:-1]
        window = fit(self.window, grid)
        tokens, visible = to_windows(x, window, self.partition, mask)
        query, key, value = self.qkv(tokens).unflatten(-1, (self.heads, 3, -1)).unbind(-2)
        bias = None if self.relative_bias is None else self.relative_bias(window)
        mixed = attend(query, key, value, (1,), bias=bias, mask=visible)
        return from_windows(self.out(mixed.flatten(-2)), window, grid, self.partition)
