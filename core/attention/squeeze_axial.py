"""Squeeze-enhanced axial attention: attention between row and column means, with a convolutional detail branch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention.attend import attend
from transect.core.conv import ConvBN


class SqueezedAxis(nn.Module):
    """Attention between the lines of an image, each averaged along the other axis, with learned positions.

    `(batch, lines, 2 heads key_dim + value_dim)` in (q, k and v concatenated), `(batch, value_dim, lines)` out.
    """

    def __init__(self, heads: int, key_dim: int, value_dim: int, positions: int = 16) -> None:
        super().__init__()
        self.heads, self.splits = heads, [heads * key_dim, heads * key_dim, value_dim]
        self.query_position = nn.Parameter(torch.randn(1, heads * key_dim, positions))
        self.key_position = nn.Parameter(torch.randn(1, heads * key_dim, positions))
        self.encode = ConvBN(value_dim, value_dim, gamma=0.0)

    def forward(self, lines: Tensor) -> Tensor:
        """Attend between the squeezed lines."""
        query, key, value = torch.split(lines, self.splits, dim=-1)
        query = query + _resized(self.query_position, lines.shape[1])
        key = key + _resized(self.key_position, lines.shape[1])
        query, key, value = (
            torch.unflatten(tensor, -1, (self.heads, -1)) for tensor in (query, key, value.to(query.dtype))
        )
        mixed = attend(query, key, value, (0,)).flatten(-2).transpose(1, 2)
        encoded: Tensor = self.encode(F.relu6(mixed)[..., None])
        return encoded[..., 0]


def _resized(position: Tensor, length: int) -> Tensor:
    """Interpolate learned positions `(1, channels, positions)` to `(1, length, channels)`."""
    return F.interpolate(position, size=length, mode="linear", align_corners=False).transpose(1, 2)


class SqueezeAxialAttention(nn.Module):
    r"""Self-attention over an image in `O(H^2 + W^2)`: each axis attends after averaging over the other one.

    With `q, k, v = ConvBN_1x1(x)` of `heads key_dim`, `heads key_dim` and `value_dim = value_ratio heads key_dim`
    channels and learned positions `P` resized to the length of the axis::

        Y_r = ConvBN(relu6(softmax((mean_W q + P_q)(mean_W k + P_k)^T / sqrt(key_dim)) mean_W v)),   Y_c likewise
        detail = ConvBN_1x1(relu6(ConvBN_dw3x3([q; k; v])))
        y = hard_sigmoid(ConvBN(relu6(v + Y_r + Y_c))) * detail

    Cost `2 heads key_dim (1 + value_ratio) (H^2 + W^2)` floating-point operations plus the convolutions.

    Shapes: `(batch, H, W, dim)` in, the same out; the convolutions use a channel-first view.

    Source: Wan et al., "SeaFormer: Squeeze-enhanced Axial Transformer for Mobile Semantic Segmentation" (2023),
    eq. 3 to 6.
    """

    def __init__(self, dim: int, key_dim: int, heads: int = 8, value_ratio: int = 2) -> None:
        super().__init__()
        keys, value_dim = heads * key_dim, value_ratio * heads * key_dim
        self.value_dim = value_dim
        # One projection for q, k and v; its concatenated output is also the input of the detail branch.
        self.qkv = ConvBN(dim, 2 * keys + value_dim)
        self.row = SqueezedAxis(heads, key_dim, value_dim)
        self.column = SqueezedAxis(heads, key_dim, value_dim)
        self.project = ConvBN(value_dim, dim, gamma=0.0)
        self.detail_depthwise = ConvBN(2 * keys + value_dim, 2 * keys + value_dim, 3, groups=2 * keys + value_dim)
        self.detail_pointwise = ConvBN(2 * keys + value_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix `x` `(batch, H, W, dim)`."""
        qkv: Tensor = self.qkv(x.permute(0, 3, 1, 2))
        grid = qkv.permute(0, 2, 3, 1)
        rows, columns = self.row(grid.mean(2)), self.column(grid.mean(1))
        value = qkv[:, -self.value_dim :]
        gate: Tensor = self.project(F.relu6(value + rows[..., None] + columns[..., None, :]))
        detail: Tensor = self.detail_pointwise(F.relu6(self.detail_depthwise(qkv)))
        return (F.hardsigmoid(gate) * detail).permute(0, 2, 3, 1)
