"""Alternative implementations to compare the core with: naive ones, and `nn.MultiheadAttention` applied axially."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention import MultiScaleDeformableAttention
from transect.core.attention.kernel import softmax_attention


def along(x: Tensor, axis: int) -> Tensor:
    """`(batch, *grid, dim)` as `(lines, length, dim)` along a grid axis, in the straightforward way."""
    return x.movedim(axis + 1, -2).flatten(0, -3)


def back(lines: Tensor, x: Tensor, axis: int) -> Tensor:
    """Inverse of `along`."""
    return lines.view(x.movedim(axis + 1, -2).shape).movedim(-2, axis + 1)


class TorchAxial(nn.Module):
    """Sum of `nn.MultiheadAttention` along each axis."""

    def __init__(self, dim: int, heads: int, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes
        self.attentions = nn.ModuleList(nn.MultiheadAttention(dim, heads, batch_first=True) for _ in axes)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `(batch, *grid, dim)`."""
        total = torch.zeros(())
        for axis, attention in zip(self.axes, self.attentions, strict=True):
            lines = along(x, axis)
            total = total + back(attention(lines, lines, lines, need_weights=False)[0], x, axis)
        return total


class EinsumAxial(nn.Module):
    """Sum of attention along each axis, with einsum and an explicit softmax."""

    def __init__(self, dim: int, heads: int, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.heads, self.axes = heads, axes
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * dim, bias=False) for _ in axes)
        self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in axes)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `(batch, *grid, dim)`."""
        total = torch.zeros(())
        for axis, qkv, out in zip(self.axes, self.qkv, self.out, strict=True):
            query, key, value = qkv(along(x, axis)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
            weights = (torch.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5).softmax(-1)
            total = total + back(out(torch.einsum("bhij,bjhd->bihd", weights, value).flatten(-2)), x, axis)
        return total


class EinsumTied(nn.Module):
    """Tied row attention over `(batch, rows, columns, dim)`, with einsum."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `(batch, rows, columns, dim)`."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        scale = (query.shape[-1] * x.shape[1]) ** -0.5
        weights = (torch.einsum("brihd,brjhd->bhij", query, key) * scale).softmax(-1)
        mixed: Tensor = self.out(torch.einsum("bhij,brjhd->brihd", weights, value).flatten(-2))
        return mixed


class ExpandedCross(nn.Module):
    """Cross-attention from rows of `(batch, rows, columns, dim)` to a repeated context, by `nn.MultiheadAttention`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Mix `x` with `context` `(batch, tokens, dim)`."""
        repeated = context.repeat_interleave(x.shape[1], 0)
        return self.attention(x.flatten(0, 1), repeated, repeated, need_weights=False)[0].view(x.shape)


class EinsumWindow(nn.Module):
    """Block-window attention with a relative position bias, with einsum."""

    rows: Tensor

    def __init__(self, dim: int, heads: int, window: tuple[int, ...]) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        places = torch.cartesian_prod(*[torch.arange(length) for length in window])
        offsets = places[:, None] - places + torch.tensor(window) - 1
        rows = torch.zeros(offsets.shape[:-1], dtype=torch.long)
        for axis, length in enumerate(window):
            rows = rows * (2 * length - 1) + offsets[..., axis]
        self.register_buffer("rows", rows)
        self.table = nn.Parameter(torch.zeros(int(rows.max()) + 1, heads))

    def forward(self, x: Tensor) -> Tensor:
        """Mix `(batch, *grid, dim)` with a grid of whole windows."""
        rank = len(self.window)
        split = x
        for axis in reversed(range(rank)):
            split = split.unflatten(axis + 1, (-1, self.window[axis]))
        order = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
        windows = split.permute(order)
        tokens = windows.flatten(rank + 1, 2 * rank).flatten(0, rank)
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        logits = torch.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5
        logits = logits + self.table[self.rows].permute(2, 0, 1)
        mixed = self.out(torch.einsum("bhij,bjhd->bihd", logits.softmax(-1), value).flatten(-2))
        inverse = [order.index(axis) for axis in range(len(order))]
        return mixed.view(windows.shape).permute(inverse).reshape(x.shape)


class EinsumCrossWindow(nn.Module):
    """Cross-attention between corresponding blocks of a query image and all views, with einsum."""

    def __init__(self, dim: int, heads: int, window: tuple[int, int], context_window: tuple[int, int]) -> None:
        super().__init__()
        self.heads, self.window, self.context_window = heads, window, context_window
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Mix `x` `(batch, H, W, dim)` with `context` `(batch, views, h, w, dim)`."""
        (p, q), (r, s) = self.window, self.context_window
        blocks = x.unflatten(1, (-1, p)).unflatten(3, (-1, q)).transpose(2, 3)
        tokens = blocks.flatten(3, 4).flatten(1, 2)
        split = context.unflatten(2, (-1, r)).unflatten(4, (-1, s))
        keys = split.permute(0, 2, 4, 1, 3, 5, 6).flatten(3, 5).flatten(1, 2)
        query, key, value = (
            layer(part).unflatten(-1, (self.heads, -1))
            for layer, part in ((self.query, tokens), (self.key, keys), (self.value, keys))
        )
        weights = (torch.einsum("bwihd,bwjhd->bwhij", query, key) * query.shape[-1] ** -0.5).softmax(-1)
        mixed = self.out(torch.einsum("bwhij,bwjhd->bwihd", weights, value).flatten(-2))
        return mixed.view(blocks.shape).transpose(2, 3).reshape(x.shape)


class GridSamplePyramid(MultiScaleDeformableAttention):
    """Deformable attention that samples each level by `grid_sample`, the usual implementation."""

    def forward(self, query: Tensor, reference: Tensor, value: Tensor, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """As in the core."""
        batch, queries, _ = query.shape
        offsets = self.sampling_offsets(query).view(batch, queries, self.heads, self.levels, self.points, 2)
        weights = self.attention_weights(query).view(batch, queries, self.heads, -1).softmax(-1)
        size = torch.tensor([[width, height] for height, width in shapes], dtype=query.dtype)
        places = 2 * (reference[:, :, None, :, None] + offsets / size[:, None]) - 1
        values = self.value_proj(value).split([height * width for height, width in shapes], 1)
        sampled = []
        for level, (height, width) in enumerate(shapes):
            image = values[level].transpose(1, 2).reshape(batch * self.heads, -1, height, width)
            grid = places[:, :, :, level].transpose(1, 2).flatten(0, 1)
            sampled.append(F.grid_sample(image, grid, align_corners=False))
        read = torch.cat(sampled, -1) * weights.transpose(1, 2).flatten(0, 1)[:, None]
        mixed: Tensor = self.output_proj(read.sum(-1).view(batch, -1, queries).transpose(1, 2))
        return mixed


class LoopScan(nn.Module):
    """Selective recurrence over `(batch, tokens, channels)`, token by token."""

    def forward(self, u: Tensor, delta: Tensor, rates: Tensor, write: Tensor, read: Tensor) -> Tensor:
        """As `transect.core.selective_recurrence`, without a bias."""
        step = F.softplus(delta)[..., None, :]
        decay, update = (step * rates).exp(), step * u[..., None, :] * write[..., None]
        state, out = torch.zeros_like(update[:, 0]), []
        for t in range(u.shape[1]):
            state = decay[:, t] * state + update[:, t]
            out.append((state * read[:, t, :, None]).sum(1))
        return torch.stack(out, 1)


class BareAxial(nn.Module):
    """Lower bound of axial attention: its projections, and its kernel on tensors in the optimal layout."""

    def __init__(self, dim: int, heads: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        tokens = int(torch.tensor(grid).prod())
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * dim, bias=False) for _ in grid)
        self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in grid)
        self.heads = nn.ParameterList(torch.randn(3, tokens // length, heads, length, dim // heads) for length in grid)

    def forward(self, x: Tensor) -> Tensor:
        """Sum of all parts, so that each is computed in forward and backward."""
        total = torch.zeros(())
        for qkv, out, heads in zip(self.qkv, self.out, self.heads, strict=True):
            query, key, value = heads.unbind(0)
            mixed = softmax_attention(query, key, value, scale=query.shape[-1] ** -0.5)
            total = total + out(mixed.view(x.shape)) + qkv(x)[..., : x.shape[-1]]
        return total
