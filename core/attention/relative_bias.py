"""Relative position bias: a learned table over the offsets within a window, or a network of the offset."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RelativeBias(nn.Module):
    r"""Bias of the logits that depends only on the offset between query and key, for windows of any rank.

    `bias[h, q, k] = table[q_1 - k_1 + w_1 - 1, ..., q_n - k_n + w_n - 1, h]`, with the cells q and k of a window
    `w_1 x ... x w_n` in row-major order.

    The table is `((2 w_1 - 1), ..., (2 w_n - 1), heads)`. Flattened in row-major order, it is the table of Swin,
    MaxViT (timm) and CoBEVT, which therefore load by a reshape. Memory `heads L^2` for a window of L cells.

    Source: Liu et al., "Swin Transformer" (2021), eq. 4; Tu et al., "MaxViT" (2022), section 3.1.
    """

    def __init__(self, window: Sequence[int], heads: int) -> None:
        super().__init__()
        self.window = tuple(window)
        self.table = nn.Parameter(torch.empty(*(2 * length - 1 for length in self.window), heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, window: Sequence[int] | None = None) -> Tensor:
        """The bias `(heads, cells, cells)` for the module's window or a smaller one.

        Raises:
            ValueError: the window has another rank or is longer than the module's.
        """
        window = self.window if window is None else window
        rank = len(self.window)
        if len(window) != rank or any(length > own for length, own in zip(window, self.window, strict=True)):
            raise ValueError(f"window: found {tuple(window)}, expected one within {self.window}")
        row = torch.zeros((), dtype=torch.long, device=self.table.device)
        for axis, (length, own) in enumerate(zip(window, self.window, strict=True)):
            place = torch.arange(length, device=self.table.device)
            shape = [1] * (2 * rank)
            shape[axis] = shape[rank + axis] = length
            row = row * (2 * own - 1) + (place[:, None] - place + own - 1).view(shape)
        # Indexing contiguous rows per head is ten times faster than indexing by axis offsets, gradient included.
        chosen = self.table.flatten(0, -2).T.contiguous().index_select(1, row.flatten())
        return chosen.view(-1, *row.flatten(rank).flatten(0, rank - 1).shape)


class ContinuousRelativeBias(nn.Module):
    r"""Bias of the logits along an axis of any length, computed from the query-key offset by a small network.

    `bias[h, q, k] = (W_2 gelu(W_1 s(d) + b_1))_h` with `s(d) = sign(d) log(1 + |d|)` and the offset `d = q - k`.
    On a periodic axis of length L the offset is wrapped to `-L/2 <= d < L/2`: it depends only on `q - k` modulo L, so
    attention is exactly equivariant to rolling the axis. The number of parameters does not depend on the length; the
    logarithm moderates extrapolation to lengths beyond those of training.

    Args:
        heads: number of attention heads.
        hidden: hidden width of the network.

    Source: Liu et al., "Swin Transformer V2" (2022), eq. 3 and 4, with GELU for ReLU.
    """

    def __init__(self, heads: int, hidden: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, hidden)
        self.out = nn.Linear(hidden, heads, bias=False)  # a bias would shift all logits equally, which softmax ignores

    def forward(self, length: int, periodic: bool = False) -> Tensor:
        """The bias `(heads, length, length)`."""
        place = torch.arange(length, device=self.out.weight.device)
        row = place[:, None] - place
        if periodic:
            row = row.remainder(length)
            offset = (place + length // 2).remainder(length) - length // 2
        else:
            row = row + length - 1
            offset = torch.arange(1 - length, length, device=place.device)
        offset = offset.to(self.out.weight.dtype)
        spaced = offset.sign() * offset.abs().log1p()
        # Evaluate each offset once, then index contiguous rows per head as above.
        by_offset: Tensor = self.out(F.gelu(self.hidden(spaced[:, None]))).T.contiguous()
        return by_offset.index_select(1, row.flatten()).view(-1, length, length)
