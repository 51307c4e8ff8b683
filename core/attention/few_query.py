"""Cross-attention of a few queries to many tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.attention.attend import attend


class FewQueryAttention(nn.Module):
    r"""Multi-head cross-attention arranged for few queries: the key and value projections move to the queries' side.

    The usual `y = W_o concat_h softmax((W_q,h q + b_q,h)(W_k,h k + b_k,h)^T / sqrt(d)) (W_v,h v + b_v,h)`, with the
    products regrouped::

        scores = ((W_q,h q + b_q,h) W_k,h) k^T + const,      y_h = (softmax(scores / sqrt(d)) v) W_v,h^T + b_v,h

    The key's bias shifts all scores of a query alike and drops out. Cost `2 heads Q N dim` multiply-adds for Q queries
    and N tokens, where projecting every token takes `2 N dim^2`: cheaper while `heads Q < dim`.

    The parameters are those of `torch.nn.MultiheadAttention` (packed in the order query, key, value), and so are the
    results up to rounding.

    Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.2, regrouped.
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
        """Let the queries read the tokens.

        Args:
            query: `(batch, queries, dim)`.
            key: `(batch, tokens, dim)`.
            value: `(batch, tokens, dim)`.
            mask: `(batch, queries, tokens)`, True where a token may be attended, the same for every head.

        Returns:
            `(batch, queries, dim)`.
        """
        heads, count = self.heads, query.shape[1]
        query_weight, key_weight, value_weight = self.in_proj_weight.chunk(3)
        query_bias, _, value_bias = self.in_proj_bias.chunk(3)
        projected = torch.unflatten(F.linear(query, query_weight, query_bias), -1, (heads, -1)).transpose(1, 2)
        absorbed = (projected @ torch.unflatten(key_weight, 0, (heads, -1))).flatten(1, 2)
        pairs = None if mask is None else mask[:, None].expand(-1, heads, -1, -1).flatten(1, 2)
        # One head of all the heads' queries: their keys and values are the same tokens now.
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
