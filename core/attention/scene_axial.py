"""Scene-guided axial cross-attention: each query attends to an image through a row map and a column map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SceneAxialCrossAttention(nn.Module):
    r"""Cross-attention from Q queries to an image with a rank-one map, the outer product of two axial maps.

    A scene vector `g = sigmoid(W_g mean(V) + b_g)` gates the squeezed keys; per head::

        a_x = softmax(W_qx q_x . (g * W_kx k_x) / sqrt(d)),   a_y = softmax(W_qy q_y . (g * W_ky k_y) / sqrt(d))
        out = W_o sum_{y,x} a_y[y] a_x[x] (W_v V[y, x] + b_v)

    Projecting commutes with the sums, so the image is contracted first and only `heads Q` vectors are projected:
    `heads Q H W dim` multiply-adds where projecting every pixel would take `H W dim^2`: cheaper while
    `heads Q < dim`. Scores cost `Q dim (H + W)`.

    Source: "Rethinking Remote Sensing Change Detection With A Mask View" (2024), scene-guided axial attention; the
    decoupled row and column maps: Wang et al., "Anchor DETR" (2022), row-column decoupled attention.
    """

    def __init__(self, dim: int, heads: int = 8) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        self.heads = heads
        # Stacked: queries of x and y, keys of x and y, value.
        self.in_proj_weight = nn.Parameter(torch.empty(5 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(5 * dim))
        self.scene = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query_x: Tensor, query_y: Tensor, key_x: Tensor, key_y: Tensor, value: Tensor) -> Tensor:
        """Attend from the queries to `value`.

        Args:
            query_x: `(batch, queries, dim)`, with the positions along x.
            query_y: `(batch, queries, dim)`, with the positions along y.
            key_x: `(batch, W, dim)`, keys averaged over the rows.
            key_y: `(batch, H, dim)`, keys averaged over the columns.
            value: `(batch, H, W, dim)`.

        Returns:
            `(batch, queries, dim)`.
        """
        weights = self.in_proj_weight.chunk(5)
        biases = self.in_proj_bias.chunk(5)
        scene = self.scene(value.mean((1, 2))).sigmoid()[:, None]
        attention_x = self._map(
            F.linear(query_x, weights[0], biases[0]), F.linear(key_x, weights[2], biases[2]) * scene
        )
        attention_y = self._map(
            F.linear(query_y, weights[1], biases[1]), F.linear(key_y, weights[3], biases[3]) * scene
        )
        # (batch, 1, heads * queries, W) @ (batch, H, W, dim): along x first, then along y.
        attention_x, attention_y = attention_x.to(value.dtype).flatten(1, 2), attention_y.to(value.dtype).flatten(1, 2)
        along_x = attention_x[:, None] @ value
        read = torch.unflatten((attention_y.transpose(1, 2)[..., None] * along_x).sum(1), 1, (self.heads, -1))
        value_weight = torch.unflatten(weights[4], 0, (self.heads, -1)).transpose(1, 2)
        value_bias = torch.unflatten(biases[4], 0, (self.heads, 1, -1))
        # Both maps sum to one, so the value bias can be added after them.
        projected = (read @ value_weight + value_bias).transpose(1, 2).flatten(2)
        out: Tensor = self.out_proj(projected)
        return out

    def _map(self, query: Tensor, key: Tensor) -> Tensor:
        """Softmax maps `(batch, heads, queries, length)`."""
        query = torch.unflatten(query, -1, (self.heads, -1)).transpose(1, 2)
        key = torch.unflatten(key, -1, (self.heads, -1)).transpose(1, 2)
        logits: Tensor = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        return logits.softmax(-1)
