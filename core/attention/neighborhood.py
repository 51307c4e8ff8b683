"""Neighborhood attention: every cell attends to the k nearest cells along each axis."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transect.core.attention.attend import attend
from transect.core.attention.grid import check_mask

# Block of queries along each axis of a grid of one, two or three axes: 32 in all, as the fused CPU kernel processes at
# once. Smaller blocks underuse it and copy more keys; larger blocks attend to more keys that are masked out.
BLOCK = {1: (32,), 2: (4, 8), 3: (2, 4, 4)}


class NeighborhoodAttention(nn.Module):
    r"""Multi-head self-attention of each cell to its neighbourhood, on a channel-last grid of one to three axes.

    Along an axis of S cells, cell i attends to exactly k cells; near an end, to the k cells at that end::

        s(i) = clamp(i - floor(k / 2), 0, S - k),        i attends to s(i), s(i) + 1, ..., s(i) + k - 1

    and on a grid the product of these ranges. With dilation d, cells whose indices are equal modulo d form a
    separate grid, to which the same applies. k = S is full attention; with k = 1 a cell attends to itself only.

    Neighborhoods of adjacent cells overlap: a block of b cells along each axis attends to the b + k - 1 cells that
    contain all its neighborhoods, and a mask restricts each query to its own. So keys and values are copied
    `prod((b + k - 1) / b)` times instead of `prod(k)` times (products over the axes, b from `BLOCK`).

    A query whose whole neighborhood is masked gives zeros before the output projection. No residual connection and no
    normalization.

    Cost `4 N dim prod(b + k - 1)` floating-point operations for N tokens, plus `8 N dim^2` for the projections
    (without blocks it would be `4 N dim prod(k)`); memory is linear in N. Axes are rounded up to whole blocks.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Args:
        dim: channels, a multiple of `heads`.
        heads: attention heads.
        kernel: k along each axis.
        dilation: d along each axis, or one value for all axes.
        bias: whether the two projections have a bias.

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
        # A block that extends past the end repeats its last query; all copies give the same result.
        order = torch.arange(queries.numel(), device=x.device)
        place = torch.zeros(batch * cells, dtype=torch.long, device=x.device).scatter(0, queries.flatten(), order)

        # Tokens are gathered into blocks before the projection, so the queries need no separate copy.
        tokens = x.flatten(0, -2).index_select(0, queries.flatten())
        query, key, value = self.qkv(tokens).unflatten(-1, (self.heads, 3, -1)).unbind(-2)
        query = query.view(*queries.shape, self.heads, -1)
        sources = place[keys.flatten()]
        key, value = (
            part.flatten(1).index_select(0, sources).view(*keys.shape, self.heads, -1) for part in (key, value)
        )
        near = blocks.near.expand(batch, -1, -1, -1).flatten(0, 1)
        visible = None if mask is None else mask.expand(batch, *grid).flatten()[keys]
        mixed = attend(query, key, value, (0,), mask=visible, pair_mask=near).flatten(0, 1).flatten(1)
        out: Tensor = self.out(mixed.index_select(0, place))
        return out.view(x.shape)


class _Blocks(NamedTuple):
    """Which cells attend to which, as row-major cell indices."""

    queries: Tensor  # (blocks, queries): the cells of each block
    keys: Tensor  # (blocks, keys): the cells that contain all their neighborhoods
    near: Tensor  # (blocks, queries, keys): whether the key is in the neighborhood of the query


def _blocks(grid: Sequence[int], kernel: Sequence[int], dilation: Sequence[int], device: torch.device) -> _Blocks:
    """The blocks of a grid: the product of the blocks of its axes."""
    if len(grid) != len(kernel):
        raise ValueError(f"grid: found the axes {tuple(grid)}, expected one for each of the kernel {tuple(kernel)}")
    total: _Blocks | None = None
    for size, length, step, block in zip(grid, kernel, dilation, BLOCK[len(grid)], strict=True):
        if size < length * step:
            raise ValueError(f"grid: found {size} cells along an axis, expected kernel times dilation, {length * step}")
        axis = _blocks_of_axis(size, length, step, block, device)
        if total is None:
            total = axis
            continue
        queries, keys = (
            (old[:, None, :, None] * size + new[:, None, :]).flatten(0, 1).flatten(1)
            for old, new in ((total.queries, axis.queries), (total.keys, axis.keys))
        )
        # Expand both to all keys of a block, as bytes: "and" is slow on short rows and on booleans.
        old = total.near.byte().repeat_interleave(axis.near.shape[-1], -1)
        new = axis.near.byte().repeat(1, 1, total.near.shape[-1])
        near = (old[:, None, :, None] & new[:, None]).flatten(0, 1).flatten(1, 2).view(torch.bool)
        total = _Blocks(queries, keys, near)
    assert total is not None
    return total


def _blocks_of_axis(size: int, kernel: int, dilation: int, block: int, device: torch.device) -> _Blocks:
    """The blocks of one axis, grouped by the index modulo the dilation."""
    longest = (size + dilation - 1) // dilation
    count = (longest + block - 1) // block
    block = (longest + count - 1) // count  # as equal as possible; the last one is filled with repetitions
    width = min(block + kernel - 1, longest)
    remainder = torch.arange(dilation, device=device)[:, None, None]
    length = (size - remainder + dilation - 1) // dilation  # of the subgrid with this remainder
    first = torch.arange(count, device=device)[:, None] * block
    query = torch.minimum(first + torch.arange(block, device=device), length - 1)
    key = torch.minimum(first - kernel // 2, length - width).clamp_min(0) + torch.arange(width, device=device)
    start = torch.minimum((query - kernel // 2).clamp_min(0), length - kernel)[..., None]
    near = (key[..., None, :] >= start) & (key[..., None, :] < start + kernel)
    queries, keys = ((part * dilation + remainder).flatten(0, 1) for part in (query, torch.minimum(key, length - 1)))
    return _Blocks(queries, keys, near.flatten(0, 1))
