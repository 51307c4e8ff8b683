"""Cross-attention between the corresponding windows of two grids."""

from collections.abc import Sequence

from torch import Tensor, nn

from transect.core.attention.attend import attend
from transect.core.attention.grid import Partition, counts, fit, from_windows, to_windows


class CrossWindowAttention(nn.Module):
    r"""Cross-attention in which each window of a query grid attends to the window of the same index in a context grid.

    With the tokens X_i of query window i and K_i, V_i of context window i::

        y_i = W_o attend(W_q X_i + b_q, W_k K_i + b_k, W_v V_i + b_v) + b_o

    Both grids have the same number of windows along each axis; window and grid sizes may differ. Either side is
    partitioned by "block" or "grid" (see `grid.split`). An axis of `None` (views or frames) is included whole in every
    window and takes no part in the pairing, on either side. So with bird's-eye queries
    `(batch, views, H, W, dim)` or `(batch, H, W, dim)` and images `(batch, cameras, h, w, dim)`, the windows
    `(None, 10, 10)` or `(10, 10)` and `(None, 6, 12)` are fused axial cross-attention (FAX-CA), local with block
    against block, global with block against grid.

    A grid that is not a multiple of its window is padded at the end; padding is never attended to. A query without a
    visible key gives zeros before the output projection. No residual connection and no normalization.

    CoBEVT differs in two ways: its padding is attended to (to reproduce it, pad the context to whole windows before
    the normalization) and it averages over the query's views (`y.mean(1)`). Copies of one query over the views all
    give the same result, so one copy is enough.

    Cost `4 N M dim` floating-point operations for N queries and windows of M context tokens, plus the projections;
    memory is linear in both grids.

    Args:
        dim: channels of the queries, a multiple of `heads`.
        heads: attention heads.
        window: lengths along each axis of the query grid; `None` for a whole axis.
        context_window: the same for the context grid.
        partition: "block" or "grid", of the query grid.
        context_partition: the same for the context grid.
        context_dim: channels of the context, `dim` by default.
        bias: whether the four projections have a bias.

    Source: Xu et al., "CoBEVT: Cooperative Bird's Eye View Semantic Segmentation with Sparse Transformers" (2022),
    section 3.3.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        window: Sequence[int | None],
        context_window: Sequence[int | None],
        partition: Partition = "block",
        context_partition: Partition = "block",
        context_dim: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        for name, lengths in (("window", window), ("context_window", context_window)):
            if not lengths or any(length is not None and length < 1 for length in lengths):
                raise ValueError(f"{name}: found {tuple(lengths)}, expected a positive length or None for each axis")
        for name, kind in (("partition", partition), ("context_partition", context_partition)):
            if kind not in ("block", "grid"):
                raise ValueError(f"{name}: found {kind!r}, expected 'block' or 'grid'")
        self.heads = heads
        self.window, self.context_window = tuple(window), tuple(context_window)
        self.partition, self.context_partition = partition, context_partition
        context_dim = dim if context_dim is None else context_dim
        self.query = nn.Linear(dim, dim, bias=bias)
        self.key = nn.Linear(context_dim, dim, bias=bias)
        self.value = nn.Linear(context_dim, dim, bias=bias)
        self.out = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, context: Tensor, value: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Attend from the queries to the context.

        Args:
            x: `(batch, *grid, dim)`.
            context: `(batch, *context_grid, context_dim)`, the keys.
            value: input of the value projection, of the same shape; by default `context`.
            mask: `(batch | 1, *context_grid)`, True where a token may be attended to.

        Returns:
            `(batch, *grid, dim)`.

        Raises:
            ValueError: the ranks, the numbers of windows or the shapes of context, value and mask disagree.
        """
        grid, context_grid = x.shape[1:-1], context.shape[1:-1]
        window, context_window = fit(self.window, grid), fit(self.context_window, context_grid)
        paired = _paired(self.window, counts(window, grid))
        context_paired = _paired(self.context_window, counts(context_window, context_grid))
        if paired != context_paired:
            raise ValueError(f"context: found {context_paired} windows, expected {paired} as the queries have")
        if context.shape[0] != x.shape[0]:
            raise ValueError(f"context: found a batch of {context.shape[0]}, expected {x.shape[0]} as the queries have")
        if value is not None and value.shape[:-1] != context.shape[:-1]:
            raise ValueError(f"value: found shape {tuple(value.shape)}, expected the grid of {tuple(context.shape)}")

        tokens, _ = to_windows(x, window, self.partition)
        keys, visible = to_windows(context, context_window, self.context_partition, mask)
        values = keys if value is None else to_windows(value, context_window, self.context_partition)[0]
        query, key, read = (
            layer(part).unflatten(-1, (self.heads, -1))
            for layer, part in ((self.query, tokens), (self.key, keys), (self.value, values))
        )
        mixed = attend(query, key, read, (1,), mask=visible)
        return from_windows(self.out(mixed.flatten(-2)), window, grid, self.partition)


def _paired(window: Sequence[int | None], numbers: Sequence[int]) -> list[int]:
    """Numbers of windows along the axes that are partitioned."""
    return [number for length, number in zip(window, numbers, strict=True) if length is not None]
