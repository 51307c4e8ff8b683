"""The Axial Transformer: an autoregressive model of N-dimensional tensors of discrete values."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention.axial import AxialAttention
from transect.core.positions import AxialPositions


class Block(nn.Module):
    """Attention along one axis, then a two-layer MLP per token; both pre-norm with a residual connection.

    `h = h + A(LN(h));  h = h + W_2 gelu(W_1 LN(h))`, `(batch, *grid, dim)` in, the same out.
    """

    def __init__(self, dim: int, heads: int, ndim: int, axis: int, *, causal: bool, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = AxialAttention(dim, heads, ndim=ndim, axes=(axis,), causal=causal)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Mix `h` `(batch, *grid, dim)` along the axis."""
        h = h + self.dropout(self.attention(self.attention_norm(h)))
        h = h + self.dropout(self.mlp(self.mlp_norm(h)))
        return h


def shift(h: Tensor, axis: int) -> Tensor:
    """Shift `h` by one slice along grid `axis`: zeros enter at the start, the last slice is dropped."""
    slices = h.narrow(axis + 1, 0, h.shape[axis + 1] - 1)
    first = torch.zeros_like(h.narrow(axis + 1, 0, 1))
    return torch.cat((first, slices), axis + 1)


class AxialTransformer(nn.Module):
    r"""Exact autoregressive density of a tensor with values `0 .. levels - 1`, in raster order.

    `log p(x) = sum_n log p(x_n | x_1 .. x_{n-1})`. Each attention spans a single axis, yet every element is
    conditioned on all earlier ones. For an image, with `e` the embedded values and `p` the axial positions::

        u = outer(e + p)                               unmasked attention in rows, masked attention in columns
        h = inner(shift_right(e) + shift_down(u) + p)  masked attention in rows
        logits = W LN(h)

    `u` of row i depends on all rows up to i; shifted down it is the *upper context* of row i + 1. The inner decoder
    adds the elements to the left in the row. An image is thus a sequence of rows that are sequences of elements, and
    further axes nest in the same way: with `c_0 = p`, for each axis a but the last ::

        u_a = outer_a(e + c_{a-1})          unmasked attention along the axes after a, masked attention along a
        c_a = c_{a-1} + shift_a(u_a)        context from the earlier slices of axis a
        h = inner(shift_d(e) + c_{d-1})     masked attention along the last axis

    Channels are modelled one after the other, by one decoder for all: `c_0` of channel c also gets
    `encoder(sum_{b<c} e_b + k_c + p)`, unmasked axial attention along every axis of the earlier channels, with a
    learned embedding `k_c` of the current channel.

    Cost: the attention of `N = prod_a S_a` elements takes time `O(N sum_a S_a)` instead of `O(N^2)`; memory `O(N)`.
    Sampling is semi-parallel: an outer decoder runs once per slice of its axis, only the inner one once per element.

    Args:
        levels: number of values an element can take.
        grid: lengths of the axes, slowest first.
        channels: length of a trailing channel axis of the data; None without one.
        dim: channels of a token; a multiple of `heads`.
        heads: number of heads of every attention.
        outer_layers: layers of each outer decoder, each one block per later axis, then a masked one along its own.
        inner_layers: blocks of the inner decoder.
        encoder_layers: layers of the encoder of earlier channels, each with one block per axis.
        dropout: rate after every attention and MLP, in training mode.

    Raises:
        ValueError: the data have the wrong shape or are not integers, `dim` is not a multiple of `heads`, the grid has
            no axis, or a number of layers is below one.

    Source: Ho et al., "Axial Attention in Multidimensional Transformers" (2019), section 3.
    """

    def __init__(
        self,
        levels: int,
        grid: Sequence[int],
        *,
        channels: int | None = None,
        dim: int = 64,
        heads: int = 4,
        outer_layers: int = 2,
        inner_layers: int = 2,
        encoder_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(outer_layers, inner_layers, encoder_layers) < 1:
            found = (outer_layers, inner_layers, encoder_layers)
            raise ValueError(f"layers: found {found}, expected at least one of each: without it elements go unseen")
        self.grid, self.channels = tuple(grid), channels
        axes = range(len(grid))

        def block(axis: int, causal: bool) -> Block:
            return Block(dim, heads, len(grid), axis, causal=causal, dropout=dropout)

        def outer(axis: int) -> nn.Sequential:
            layer = [*((later, False) for later in axes[axis + 1 :]), (axis, True)]
            return nn.Sequential(*(block(*each) for each in layer * outer_layers))

        self.embed = nn.ModuleList(nn.Embedding(levels, dim) for _ in range(channels or 1))
        self.positions = AxialPositions(dim, grid, std=1.0)  # same scale as the embedded values
        self.outer = nn.ModuleList(outer(axis) for axis in axes[:-1])
        self.inner = nn.Sequential(*(block(axes[-1], True) for _ in range(inner_layers)))
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, levels))
        if channels is not None:
            self.due = nn.Embedding(channels, dim)
            self.encoder = nn.Sequential(*(block(axis, False) for _ in range(encoder_layers) for axis in axes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each element given the earlier ones: integers `(batch, *grid[, channels])` to `(..., levels)`."""
        expected = (*self.grid, *(() if self.channels is None else (self.channels,)))
        if tuple(x.shape[1:]) != expected or x.is_floating_point():
            raise ValueError(f"x: found {x.dtype} of shape {tuple(x.shape)}, expected integers (batch, *{expected})")
        values = x.long().unbind(-1) if self.channels is not None else (x.long(),)
        embedded = [embed(own) for embed, own in zip(self.embed, values, strict=True)]
        earlier = torch.zeros_like(embedded[0])
        logits = []
        for channel, own in enumerate(embedded):
            logits.append(self._decode(own, self._context(earlier, channel)))
            earlier = earlier + own
        return torch.stack(logits, -2) if self.channels is not None else logits[0]

    def log_likelihood(self, x: Tensor) -> Tensor:
        """`log p(x)` of each sample in nats, `(batch,)`, in one parallel pass over `x` `(batch, *grid[, channels])`."""
        logits = self(x)
        return -F.cross_entropy(logits.movedim(-1, 1), x.long(), reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw samples: int64 `(count, *grid[, channels])`, and their log-likelihood `(count,)` in nats.

        For a grid `S_1 x ... x S_d` the encoder runs once per channel, the outer decoder of axis a `S_1 .. S_a` times
        on the slices drawn so far, the inner decoder once per element on the line drawn so far. Call `eval()` first.
        """
        positions = self.positions.table(self.grid)
        values = positions.new_zeros(self.channels or 1, count, *self.grid, dtype=torch.long)
        log_likelihood = positions.new_zeros(count)
        earlier = positions.new_zeros(count, *positions.shape)
        for channel, (own, embed) in enumerate(zip(values, self.embed, strict=True)):
            context = self._context(earlier, channel).expand_as(earlier)
            log_likelihood += self._draw(own, embed, context, 0, generator)
            earlier = earlier + embed(own)
        return (values[0] if self.channels is None else values.movedim(0, -1)), log_likelihood

    def _context(self, earlier: Tensor, channel: int) -> Tensor:
        """Initial context `c_0` of a channel: positions, and the encoding of the earlier channels."""
        context = self.positions.table(self.grid)
        if self.channels is not None:
            context = context + self.encoder(earlier + self.due.weight[channel] + context)
        return context

    def _decode(self, embedded: Tensor, context: Tensor) -> Tensor:
        """All logits of a channel at once, from its embedded values `(batch, *grid, dim)`."""
        for axis, outer in enumerate(self.outer):
            context = context + shift(outer(embedded + context), axis)
        logits: Tensor = self.head(self.inner(shift(embedded, len(self.outer)) + context))
        return logits

    def _draw(
        self, values: Tensor, embed: nn.Module, context: Tensor, axis: int, generator: torch.Generator | None
    ) -> Tensor:
        """Sample into `values` `(batch, *grid)`, of length 1 along axes before `axis`; return the log-likelihood."""
        total = context.new_zeros(len(values))
        dim = axis + 1
        for place in range(values.shape[dim]):
            here = values.narrow(dim, place, 1)
            if axis < len(self.outer):
                context_here = context.narrow(dim, place, 1)
                if place > 0:
                    u = self.outer[axis](embed(values.narrow(dim, 0, place)) + context.narrow(dim, 0, place))
                    context_here = context_here + u.narrow(dim, place - 1, 1)
                total += self._draw(here, embed, context_here, axis + 1, generator)
            else:
                # The value at `place` has not been drawn yet; the shift discards it.
                embedded = embed(values.narrow(dim, 0, place + 1))
                h = self.inner(shift(embedded, axis) + context.narrow(dim, 0, place + 1))
                logits = self.head(h.narrow(dim, place, 1)).flatten(1)
                level = torch.multinomial(logits.softmax(-1), 1, generator=generator)
                here.copy_(level.view_as(here))
                total += logits.log_softmax(-1).gather(1, level)[:, 0]
        return total
