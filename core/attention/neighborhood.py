"""Neighbourhood attention: every cell reads the k nearest cells along each axis."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.attention.attend import attend
from core.attention.grid import check_mask

# Queries that attend together, along each axis of a grid of one, two or three axes: enough of them for efficient
# products, few enough that most of the keys they share are wanted.
BLOCK = {1: 32, 2: 8, 3: 4}


class NeighborhoodAttention(nn.Module):
    r"""Multi-head self-attention of each cell to its neighbourhood, on a channel-last grid of one to three axes.

    Along an axis of S cells, cell i reads exactly k cells, which near an end are the k at that end::

        s(i) = clamp(i - floor(k / 2), 0, S - k),        i reads s(i), s(i) + 1, ..., s(i) + k - 1

    and on a grid the product of these ranges. With dilation d, the cells whose places leave the same rest modulo d
    make a grid of their own, on which the same holds. k = S is full attention, k = 1 reads the own value alone.

    Neighbours share most of what they read: a block of b cells along each axis attends to the b + k - 1 cells that
    hold all its neighbourhoods, and a mask keeps each query to its own. So keys and values are copied
    `((b + k - 1) / b)^n` times on n axes, b as `BLOCK` has it, in place of `k^n` times.

    A query whose neighbourhood is masked gives zeros before the output projection. No residual, no norm.

    Cost `4 N dim (b + k - 1)^n` floating-point operations for N tokens, beside the projections' `8 N dim^2`, where
    `4 N dim k^n` would do; memory linear in N.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Args:
        dim: channels, a multiple of `heads`.
        heads: attention heads.
        kernel: k along each axis.
        dilation: d along each axis, or one for all.
        bias: of the two projections.

    Source: Hassani et al., "Neighborhood Attention Transformer" (2023), section 3.1; Hassani and Shi, "Dilated
    Neighborhood Attention Transformer" (2022), section 3.1.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        kernel: Sequence[int],
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        if len(kernel) not in BLOCK or any(length < 1 for length in kernel):
            raise ValueError(f"kernel: found {tuple(kernel)}, expected one to three positive lengths")
        steps = (dilation,) * len(kernel) if isinstance(dilation, int) else tuple(dilation)
        if len(steps) != len(kernel) or any(step < 1 for step in steps):
            raise ValueError(f"dilation: found {dilation}, expected a positive step for each of {len(kernel)} axes")
        self.heads, self.kernel, self.dilation = heads, tuple(kernel), steps
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.out = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`; `mask` `(batch | 1, *grid)` is True where a token may be attended to.

        Raises:
            ValueError: the grid has another rank than the kernel or is too small for it, or the mask does not fit.
        """
        batch, grid = x.shape[0], x.shape[1:-1]
        if mask is not None:
            check_mask(mask, x)
        blocks = _blocks(grid, self.kernel, self.dilation, x.device)
        cells = x[0, ..., 0].numel()
        samples = torch.arange(batch, device=x.device)[:, None, None] * cells
        queries, keys = ((samples + part).flatten(0, 1) for part in (blocks.queries, blocks.keys))

        parts = self.qkv(x).unflatten(-1, (self.heads, 3, -1)).flatten(0, -4).unbind(-2)
        query, key, value = (
            part.flatten(1).index_select(0, index.flatten()).view(*index.shape, self.heads, -1)
            for part, index in zip(parts, (queries, keys, keys), strict=True)
        )
        near = blocks.near.expand(batch, -1, -1, -1).flatten(0, 1)
        visible = None if mask is None else mask.expand(batch, *grid).flatten()[keys]
        mixed = attend(query, key, value, (0,), mask=visible, pair_mask=near).flatten(0, 1).flatten(1)

        # A block that reaches over the end repeats its last query: any of the equal results will do.
        places = torch.arange(mixed.shape[0], device=x.device)
        place = torch.zeros(batch * cells, dtype=torch.long, device=x.device).scatter(0, queries.flatten(), places)
        out: Tensor = self.out(mixed.index_select(0, place))
        return out.view(x.shape)


class _Blocks(NamedTuple):
    """Which cells attend to which, by their numbers in row-major order."""

    queries: Tensor  # (blocks, queries): the cells of each block
    keys: Tensor  # (blocks, keys): those that hold the neighbourhoods of them all
    near: Tensor  # (blocks, queries, keys): whether that key is in the neighbourhood of that query


def _blocks(grid: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], device: torch.device) -> _Blocks:
    """The blocks of a grid: every combination of those of its axes."""
    if len(grid) != len(kernel):
        raise ValueError(f"grid: found the axes {tuple(grid)}, expected one for each of the kernel {tuple(kernel)}")
    total: _Blocks | None = None
    for size, length, step in zip(grid, kernel, dilation, strict=True):
        if size < length * step:
            raise ValueError(f"grid: found {size} cells along an axis, expected kernel times dilation, {length * step}")
        axis = _blocks_of_axis(size, length, step, BLOCK[len(grid)], device)
        if total is None:
            total = axis
            continue
        queries, keys = (
            (old[:, None, :, None] * size + new[:, None, :]).flatten(0, 1).flatten(1)
            for old, new in ((total.queries, axis.queries), (total.keys, axis.keys))
        )
        # Bytes, since "and" is twice as slow on booleans.
        near = total.near.byte()[:, None, :, None, :, None] & axis.near.byte()[:, None, :, None, :]
        total = _Blocks(queries, keys, near.flatten(4, 5).flatten(2, 3).flatten(0, 1).view(torch.bool))
    assert total is not None
    return total


def _blocks_of_axis(size: int, kernel: int, dilation: int, block: int, device: torch.device) -> _Blocks:
    """The blocks of one axis, those of each rest modulo the dilation after another."""
    longest = (size + dilation - 1) // dilation
    block = min(block, longest)
    width = min(block + kernel - 1, longest)
    rest = torch.arange(dilation, device=device)[:, None, None]
    length = (size - rest + dilation - 1) // dilation  # of the line of this rest
    first = torch.arange(0, longest, block, device=device)[:, None]
    query = torch.minimum(first + torch.arange(block, device=device), length - 1)
    key = torch.minimum(first - kernel // 2, length - width).clamp_min(0) + torch.arange(width, device=device)
    start = torch.minimum((query - kernel // 2).clamp_min(0), length - kernel)[..., None]
    near = (key[..., None, :] >= start) & (key[..., None, :] < start + kernel)
    queries, keys = ((part * dilation + rest).flatten(0, 1) for part in (query, torch.minimum(key, length - 1)))
    return _Blocks(queries, keys, near.flatten(0, 1))
