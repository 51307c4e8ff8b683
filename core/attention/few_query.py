"""Cross-attention from a few queries to many tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention.attend import attend


class FewQueryAttention(nn.Module):
    r"""Multi-head cross-attention for few queries: key and value projections are absorbed into the query side.

    Standard `y = W_o concat_h softmax((W_q,h q + b_q,h)(W_k,h k + b_k,h)^T / sqrt(d)) (W_v,h v + b_v,h)`, with the
    products reassociated::

        scores = ((W_q,h q + b_q,h) W_k,h) k^T + const,      y_h = (softmax(scores / sqrt(d)) v) W_v,h^T + b_v,h

    The key bias shifts all scores of a query equally and cancels in the softmax. Cost `2 heads Q N dim`
    multiply-adds for Q queries and N tokens, where projecting every token takes `2 N dim^2`: cheaper while
    `heads Q < dim`.

    A query shared by the whole batch is absorbed once: the scores then serve as keys with one feature per head, and
    the values are projected as usual, `N dim (heads Q + dim)`. With a single token, the softmax is 1 for any query, so
    only the value projection is computed.

    The parameters are those of `torch.nn.MultiheadAttention` (packed in the order query, key, value), and so are the
    results up to rounding.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2, with the products reassociated.
    """

    def __init__(self, dim: int, heads: int = 8) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from the queries to the tokens.

        Args:
            query: `(batch | 1, queries, dim)`; a query shared by the batch is projected once.
            key: `(batch, tokens, dim)`.
            value: `(batch, tokens, dim)`.
            mask: `(batch, queries, tokens)`, True where a token may be attended to, the same for every head.

        Returns:
            `(batch, queries, dim)`.
        """
        heads, count = self.heads, query.shape[1]
        query_weight, key_weight, value_weight = self.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.in_proj_bias.chunk(3)
        if value.shape[1] == 1 and mask is None:
            single: Tensor = self.out_proj(F.linear(value, value_weight, value_bias))
            return single.expand(-1, count, -1)
        projected = torch.unflatten(F.linear(query, query_weight, query_bias), -1, (heads, -1)).transpose(1, 2)
        absorbed = (projected @ torch.unflatten(key_weight, 0, (heads, -1))).flatten(1, 2)
        if query.shape[0] < key.shape[0]:
            if mask is None:
                return self._shared(absorbed[0], key, F.linear(value, value_weight, value_bias))
            absorbed = absorbed.expand(key.shape[0], -1, -1)
        pairs = None if mask is None else mask[:, None].expand(-1, heads, -1, -1).flatten(1, 2)
        # All heads now share the same keys and values, so their queries form a single head.
        read = attend(
            absorbed[:, :, None],
            key[:, :, None].to(absorbed.dtype),
            value[:, :, None].to(absorbed.dtype),
            (0,),
            pair_mask=pairs,
            scale=projected.shape[-1] ** -0.5,
        )
        read = torch.unflatten(read[:, :, 0], 1, (heads, count))
        values = read @ torch.unflatten(value_weight, 0, (heads, -1)).transpose(1, 2)
        values = values + torch.unflatten(value_bias, 0, (heads, 1, -1))
        out: Tensor = self.out_proj(values.transpose(1, 2).flatten(2))
        return out

    def _shared(self, absorbed: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend to projected values `(batch, tokens, dim)` with absorbed queries `(heads * queries, dim)`."""
        heads = self.heads
        count, size = len(absorbed) // heads, value.shape[-1] // heads
        scores = F.linear(key.to(absorbed.dtype), absorbed)[..., None]
        of_heads = torch.unflatten(value, -1, (heads, 1, size)).expand(-1, -1, -1, count, -1).flatten(2, 3)
        ones = scores.new_ones(1, 1, 1, 1).expand(len(key), 1, scores.shape[2], 1)
        read = attend(ones, scores, of_heads, (0,), scale=size**-0.5)
        out: Tensor = self.out_proj(torch.unflatten(read[:, 0], 1, (heads, count)).transpose(1, 2).flatten(2))
        return out
