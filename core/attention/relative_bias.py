"""Relative position bias: a learned number for each offset of two cells of a window, or a function of the offset."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RelativeBias(nn.Module):
    r"""A bias of the logits that depends on the offset of query and key alone, for windows of any rank.

    `bias[h, q, k] = table[q_1 - k_1 + w_1 - 1, ..., q_n - k_n + w_n - 1, h]`, with the cells q and k of a window
    `w_1 x ... x w_n` in row-major order.

    The table is `((2 w_1 - 1), ..., (2 w_n - 1), heads)`. Its rows flattened in row-major order are the tables of
    Swin, MaxViT (timm) and CoBEVT: those load by a reshape. Memory `heads L^2` for a window of L cells.

    Source: Liu et al., "Swin Transformer" (2021), eq. 4; Tu et al., "MaxViT" (2022), section 3.1.
    """

    def __init__(self, window: Sequence[int], heads: int) -> None:
        super().__init__()
        self.window = tuple(window)
        self.table = nn.Parameter(torch.empty(*(2 * length - 1 for length in self.window), heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, window: Sequence[int] | None = None) -> Tensor:
        """The bias `(heads, cells, cells)` of a window, the module's own or a smaller one.

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
        # Selecting along rows of one head is ten times faster than by the offsets of each axis, gradient included.
        chosen = self.table.flatten(0, -2).T.contiguous().index_select(1, row.flatten())
        return chosen.view(-1, *row.flatten(rank).flatten(0, rank - 1).shape)


class ContinuousRelativeBias(nn.Module):
    r"""A bias of the logits along one axis of any length, by a small network of the offset of query and key.

    `bias[h, q, k] = (W_2 gelu(W_1 s(d) + b_1))_h` with `s(d) = sign(d) log(1 + |d|)` and the offset `d = q - k`.
    On a periodic axis of length L the offset is the shorter way round, `-L/2 <= d < L/2`: it depends on `q - k` modulo
    L alone, so that attention commutes exactly with rolling the axis. The number of parameters does not depend on the
    length; lengths beyond those of training extrapolate slowly, by the logarithm.

    Args:
        heads: of the attention.
        hidden: width of the network.

    Source: Liu et al., "Swin Transformer V2" (2022), eq. 3 and 4, with GELU for ReLU.
    """

    def __init__(self, heads: int, hidden: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, hidden)
        self.out = nn.Linear(hidden, heads, bias=False)  # a bias would shift all logits of a softmax alike

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
        # Every offset once, then along rows of one head as above.
        by_offset: Tensor = self.out(F.gelu(self.hidden(spaced[:, None]))).T.contiguous()
        return by_offset.index_select(1, row.flatten()).view(-1, length, length)
