"""Folded cross-attention: every token of a grid attends to one sequence, projected to keys and values once."""

from torch import Tensor, nn

from transect.core.attention.attend import attend


class FoldedCrossAttention(nn.Module):
    r"""Multi-head cross-attention from all tokens of a grid to the context of their sample.

    With `q_n = W_q x_n`, `k_m = W_k c_m`, `v_m = W_v c_m` for the N tokens x of the grid and the M tokens c of the
    context::

        y_n = W_o concat_h sum_m softmax_m(q_n . k_m / sqrt(head_dim)) v_m

    All axes of the query grid are folded into one. For a grid of R rows with a common context, the context would
    otherwise be repeated, projected and stored R times; here its projections cost `4 M dim context_dim` floating-point
    operations per sample, independent of R, plus `4 N dim^2` for the queries and the output and `4 N M dim` for the
    attention itself. Memory is linear in N + M.

    Shapes: x `(batch, *grid, dim)` and context `(batch, *context_grid, context_dim)` in, `(batch, *grid, dim)` out,
    for grids of any rank from 1.

    Args:
        dim: width of the queries and of the output, a multiple of `heads`.
        heads: number of heads.
        context_dim: width of the context, `dim` by default.
        qkv_bias: whether the projections to q, k and v have a bias.

    Raises:
        ValueError: `dim` is not a multiple of `heads`.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2; used in the decoder of RankNovo,
    "Universal Biological Sequence Reranking for Improved De Novo Peptide Sequencing" (2025), where all candidates
    attend to one spectrum.
    """

    def __init__(self, dim: int, heads: int = 8, *, context_dim: int | None = None, qkv_bias: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=qkv_bias)
        self.key_value = nn.Linear(dim if context_dim is None else context_dim, 2 * dim, bias=qkv_bias)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from `x` `(batch, *grid, dim)` to `context` `(batch, *context_grid, context_dim)`.

        `mask` `(batch | 1, *context_grid)` is True where a context token may be attended to; a sample without a
        visible token gives zeros before the output projection.

        Raises:
            ValueError: the batch sizes differ.
        """
        if x.shape[0] != context.shape[0]:
            raise ValueError(f"context: found a batch of {context.shape[0]}, expected {x.shape[0]} as x has")
        query = self.query(x).flatten(1, -2).unflatten(-1, (self.heads, -1))
        key, value = self.key_value(context).flatten(1, -2).unflatten(-1, (self.heads, 2, -1)).unbind(-2)
        read = attend(query, key, value, (0,), mask=None if mask is None else mask.flatten(1))
        out: Tensor = self.out(read.reshape(x.shape))
        return out
