"""Other forms of the same mathematics to measure the core against: naive ones, and torch's own module used axially."""

import torch
from torch import Tensor, nn


def along(x: Tensor, axis: int) -> Tensor:
    """`(batch, *grid, dim)` as `(lines, length, dim)` along a grid axis, the way a reader would write it."""
    return x.movedim(axis + 1, -2).flatten(0, -3)


def back(lines: Tensor, x: Tensor, axis: int) -> Tensor:
    """The inverse of `along`."""
    return lines.view(x.movedim(axis + 1, -2).shape).movedim(-2, axis + 1)


class TorchAxial(nn.Module):
    """The sum over the axes of `nn.MultiheadAttention` along each."""

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
    """The sum over the axes of attention written with einsum and an explicit softmax."""

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
    """Row attention with one map for all rows of `(batch, rows, columns, dim)`, written with einsum."""

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
    """Every row of `(batch, rows, columns, dim)` reads the context, repeated for each, by `nn.MultiheadAttention`."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Mix `x` with `context` `(batch, tokens, dim)`."""
        repeated = context.repeat_interleave(x.shape[1], 0)
        return self.attention(x.flatten(0, 1), repeated, repeated, need_weights=False)[0].view(x.shape)


class EinsumWindow(nn.Module):
    """Attention in blocks of a grid with a learned bias for each pair of cells, written with einsum."""

    def __init__(self, dim: int, heads: int, window: tuple[int, ...]) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        tokens = int(torch.tensor(window).prod())
        self.bias = nn.Parameter(torch.zeros(heads, tokens, tokens))

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
        logits = torch.einsum("bihd,bjhd->bhij", query, key) * query.shape[-1] ** -0.5 + self.bias
        mixed = self.out(torch.einsum("bhij,bjhd->bihd", logits.softmax(-1), value).flatten(-2))
        inverse = [order.index(axis) for axis in range(len(order))]
        return mixed.view(windows.shape).permute(inverse).reshape(x.shape)
