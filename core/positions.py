"""Learned positions of a grid, factorised over its axes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AxialPositions(nn.Module):
    r"""Learned absolute positional embeddings: one table per axis, summed by broadcasting.

    `p[i_1, ..., i_d] = t_1[i_1] + ... + t_d[i_d]`, added to the tokens. The tables hold `dim sum_a S_a` numbers where
    one per position would take `dim prod_a S_a`; adding them costs `dim` additions a token.

    Args:
        dim: of a token.
        grid: the longest length of each axis, one to four of them in this project, any number in principle. Shorter
            grids take the first rows of the tables.
        std: of the normal distribution that the tables start from.

    Shapes: `(batch, *grid, dim)` in, the same out, so that it stands before any mechanism in an `nn.Sequential`.

    Raises:
        ValueError: the grid has another rank than the tables or is longer along an axis.

    Source: Ho et al., "Axial Attention in Multidimensional Transformers" (2019), section 3 (position embeddings).
    """

    def __init__(self, dim: int, grid: Sequence[int], *, std: float = 0.02) -> None:
        super().__init__()
        if not grid or min(grid) < 1:
            raise ValueError(f"grid: found {tuple(grid)}, expected at least one axis, each of length 1 or more")
        self.tables = nn.ParameterList(nn.Parameter(std * torch.randn(length, dim)) for length in grid)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each token of `x` `(batch, *grid, dim)` the embedding of its place."""
        return x + self.table(x.shape[1:-1])

    def table(self, grid: Sequence[int]) -> Tensor:
        """The embeddings of all places of a grid, `(*grid, dim)`."""
        longest = [len(axis_table) for axis_table in self.tables]
        if len(grid) != len(longest) or any(found > most for found, most in zip(grid, longest, strict=True)):
            raise ValueError(f"grid: found {tuple(grid)}, expected rank {len(longest)} and at most {tuple(longest)}")
        total: Tensor = self.tables[0].new_zeros(())
        for axis, (axis_table, length) in enumerate(zip(self.tables, grid, strict=True)):
            along = [1] * len(grid)
            along[axis] = length
            total = total + axis_table[:length].view(*along, -1)
        return total
