"""Space-time axial attention: time first, then depth, height and width in parallel."""

from collections.abc import Sequence

from torch import Tensor, nn

from transect.core.attention.axial import AxialAttention


class SpaceTimeAxialAttention(nn.Module):
    r"""Axial attention over a sequence of volumes: along time, then along the three spatial axes in parallel.

    With `A_a` the multi-head attention along axis a, each with separate weights and biases::

        u = x + A_time(x)                          if there is more than one time step, else u = x
        y = u + A_depth(u) + A_height(u) + A_width(u)

    Both residual connections are part of the mechanism: the spatial axes take the output of `A_time`. The published
    block adds another around the whole, `h + y(LayerNorm(h))`.

    The same weights apply to 1-D, 2-D and 3-D fields: images have depth one, lines have depth and height one. Along an
    axis of length one each token attends to itself only, so `A_a` reduces to the linear map `W_o v` without q and k. A
    single time step skips `A_time` entirely: its weights get no gradient and are neither trained nor decayed.

    Cost `4 N dim (T + D + H + W)` floating-point operations for N = T D H W tokens, plus `8 N dim^2` per
    axis for the projections; memory is linear in N.

    Shapes: `(batch, times, depth, height, width, dim)` in, the same out.

    Args:
        dim: width of the tokens, a multiple of `heads`.
        heads: number of heads.
        dropout: probability of dropping an attention weight in training.

    Raises:
        ValueError: `dim` is not a multiple of `heads`.

    Source: Rautela et al., "MORPH: Shape-agnostic PDE Foundation Models" (2025), the 4-D axial attention.
    """

    def __init__(self, dim: int, heads: int = 8, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.time = AxialAttention(dim, heads, ndim=4, axes=(0,), qkv_bias=True, dropout=dropout)
        self.space = AxialAttention(dim, heads, ndim=4, axes=(1, 2, 3), order="sum", qkv_bias=True, dropout=dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, bias: Sequence[Tensor | None] = (None, None, None, None)
    ) -> Tensor:
        """Mix `x` `(batch, times, depth, height, width, dim)`.

        Args:
            x: the tokens.
            mask: `(batch | 1, times, depth, height, width)`, True where a token may be attended to.
            bias: added to the logits along time, depth, height and width: `(heads | 1, length, length)` each, or None.

        Raises:
            ValueError: x has the wrong rank.
        """
        if x.ndim != 6:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, times, depth, height, width, dim)")
        if x.shape[1] > 1:
            x = x + self.time(x, mask, bias[:1])
        out: Tensor = x + self.space(x, mask, bias[1:])
        return out
