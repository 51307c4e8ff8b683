"""Axial positions against the sum of table rows at each position."""

import itertools

import pytest
import torch
from torch import nn

from transect.core.attention import AxialAttention
from transect.core.positions import AxialPositions

GRIDS = [(5,), (3, 4), (4, 4), (2, 3, 4), (2, 3, 1, 2)]


@pytest.mark.parametrize("longer", [0, 2])
@pytest.mark.parametrize("grid", GRIDS)
def test_every_place_gets_the_sum_of_its_rows(grid, longer):
    torch.manual_seed(0)
    positions = AxialPositions(6, [length + longer for length in grid])
    x = torch.randn(2, *grid, 6)
    found = positions(x)
    for place in itertools.product(*map(range, grid)):
        rows = sum(table[index] for table, index in zip(positions.tables, place, strict=True))
        for sample in range(2):
            torch.testing.assert_close(found[(sample, *place)], x[(sample, *place)] + rows)


@pytest.mark.parametrize("grid", GRIDS)
def test_each_row_learns_from_the_places_that_use_it(grid):
    positions = AxialPositions(6, grid).double()
    weight = torch.randn(*grid, 6, dtype=torch.float64)
    (positions.table(grid) * weight).sum().backward()
    for axis, table in enumerate(positions.tables):
        torch.testing.assert_close(table.grad, weight.movedim(axis, 0).unflatten(0, (-1, 1)).flatten(1, -2).sum(1))


def test_tables_grow_with_the_sum_of_the_lengths():
    assert sum(parameter.numel() for parameter in AxialPositions(8, (32, 16, 4)).parameters()) == 8 * (32 + 16 + 4)


def test_axial_attention_tells_places_apart_by_them_alone():
    torch.manual_seed(0)
    same = torch.ones(1, 3, 4, 8, dtype=torch.float64)
    attention = AxialAttention(8, 2).double()
    placed = nn.Sequential(AxialPositions(8, (3, 4), std=1.0), attention).double()
    assert attention(same).flatten(1, 2).std(1).max() < 1e-12
    distances = torch.cdist(placed(same).flatten(1, 2), placed(same).flatten(1, 2))[0]
    assert distances[~torch.eye(12, dtype=torch.bool)].min() > 1e-3


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 4, 4, 8), (2, 3, 5, 8), (2, 3, 4, 1, 8)])
def test_other_grids_are_refused(shape):
    with pytest.raises(ValueError, match=r"grid: found .* expected rank 2 and at most \(3, 4\)"):
        AxialPositions(8, (3, 4))(torch.zeros(shape))


@pytest.mark.parametrize("grid", [(), (3, 0)])
def test_an_empty_grid_is_refused(grid):
    with pytest.raises(ValueError, match="expected at least one axis"):
        AxialPositions(8, grid)
