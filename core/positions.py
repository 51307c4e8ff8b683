"""Learned positional embeddings of a grid, factorized over its axes."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AxialPositions(nn.Module):
    r"""Learned absolute positional embeddings: one table per axis, summed by broadcasting.

    `p[i_1, ..., i_d] = t_1[i_1] + ... + t_d[i_d]`, added to the tokens. The tables have `dim sum_a S_a` parameters
    instead of `dim prod_a S_a` for one embedding per position; adding them costs `dim` additions per axis and token.

    Args:
        dim: channels of a token.
        grid: maximum length of each axis, for any number of axes. Shorter grids use the first rows of the tables.
        std: standard deviation of the normal initialization.

    Shapes: `(batch, *grid, dim)` in, the same out, so it can precede any mechanism in an `nn.Sequential`.

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
        """Add the positional embedding to each token of `x` `(batch, *grid, dim)`."""
        return x + self.table(x.shape[1:-1])

    def table(self, grid: Sequence[int]) -> Tensor:
        """The embeddings of all positions of a grid, `(*grid, dim)`."""
        longest = [len(axis_table) for axis_table in self.tables]
        if len(grid) != len(longest) or any(found > most for found, most in zip(grid, longest, strict=True)):
            raise ValueError(f"grid: found {tuple(grid)}, expected rank {len(longest)} and at most {tuple(longest)}")
        total: Tensor = self.tables[0].new_zeros(())
        for axis, (axis_table, length) in enumerate(zip(self.tables, grid, strict=True)):
            along = [1] * len(grid)
            along[axis] = length
            total = total + axis_table[:length].view(*along, -1)
        return total
