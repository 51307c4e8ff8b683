"""Tied attention: the rows of an alignment share one attention map."""

from collections.abc import Sequence

from torch import Tensor, nn

from transect.core.attention.attend import attend


class TiedAttention(nn.Module):
    r"""Multi-head self-attention along grid `axes` with one map shared along the `tied` axes.

    For an alignment of R rows (`axes=(1,)`, `tied=(0,)`), with `q, k, v = W_qkv x` per token::

        P_ij = softmax_j( sum_r q_ri . k_rj / sqrt(head_dim R) ),        y_ri = W_o sum_j P_ij v_rj

    which is attention over one sequence whose features are those of all rows concatenated. Attention along the rows at
    each column is `AxialAttention` with `axes=(0,)`.

    Alignments of different sizes are batched with a mask of the real tokens. Padding adds nothing to any logit (its q,
    k and v are zero), a column is visible if any row has a token there, and R counts the rows with at least one token:
    results do not depend on the amount of padding. Queries without a visible key give zeros before the output
    projection.

    Cost `4 N L dim` floating-point operations for N tokens and L = the product of the attended lengths, plus
    `8 N dim^2` for the projections: the same as untied attention, with R times fewer maps.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Args:
        dim: width of the tokens, a multiple of `heads`.
        heads: number of heads.
        axes: grid axes to attend over, counted from 0 after the batch; negative ones count from the last grid axis.
        tied: grid axes that share the map; all other axes are batch.
        qkv_bias: whether the projections to q, k and v have a bias.

    Raises:
        ValueError: `dim` is not a multiple of `heads`, or an axis is both attended and tied.

    Source: Rao et al., "MSA Transformer" (2021), section 3, eq. 1; applied to candidate peptides in RankNovo,
    "Universal Biological Sequence Reranking for Improved De Novo Peptide Sequencing" (2025), where R is the number of
    rows of the padded batch: pass `scale=(head_dim * rows) ** -0.5` to reproduce it.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        axes: Sequence[int] = (1,),
        tied: Sequence[int] = (0,),
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        if set(axes) & set(tied):
            raise ValueError(f"tied: found {tuple(tied)}, expected axes other than the attended {tuple(axes)}")
        self.heads, self.axes, self.tied = heads, tuple(axes), tuple(tied)
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float | None = None) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`.

        Args:
            x: `(batch, *grid, dim)`.
            mask: `(batch | 1, *grid)`, True for tokens, False for padding.
            scale: of the logits; by default `(head_dim R) ** -0.5` with the R of each sample.
        """
        qkv = self.qkv(x)
        if mask is not None:
            qkv = qkv.masked_fill(~mask[..., None], 0)
        query, key, value = qkv.unflatten(-1, (self.heads, 3, -1)).unbind(-2)
        if mask is not None and scale is None:
            rows = mask.any(_dims(self.axes), keepdim=True).sum(_dims(self.tied), keepdim=True).clamp(min=1)
            # R differs between samples, so the queries are scaled instead of the logits.
            query, scale = query * (query.shape[-1] * rows).to(query.dtype).rsqrt()[..., None, None], 1.0
        mixed = attend(query, key, value, self.axes, tied=self.tied, mask=mask, scale=scale)
        out: Tensor = self.out(mixed.flatten(-2))
        return out


def _dims(axes: Sequence[int]) -> tuple[int, ...]:
    """Grid axes as dimensions of a mask `(batch, *grid)`."""
    return tuple(axis if axis < 0 else axis + 1 for axis in axes)
