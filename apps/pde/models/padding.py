"""Continuation of a grid beyond its edges by the boundary conditions of its axes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transect.apps.pde.models.conditions import Ends
from transect.data_adapters.pde.config import Boundary


def pad(x: Tensor, widths: Sequence[tuple[int, int]], boundary: Sequence[Ends]) -> Tensor:
    """`x` with cells put before and after its last axes.

    Beyond a periodic edge the grid begins anew; beyond a wall it is mirrored about the outermost cell, which is not
    repeated; beyond an open edge that cell goes on. Written here because `torch.nn.functional.pad` knows neither edges
    that differ nor more cells than there are.

    Args:
        x: `(..., *grid)`.
        widths: cells before and after, for each axis of the grid.
        boundary: condition at the lower and the upper end of each.
    """
    first = x.ndim - len(widths)
    for axis, ((before, after), ends) in enumerate(zip(widths, boundary, strict=True), start=first):
        if before or after:
            length = x.shape[axis]
            low = _source(torch.arange(-before, 0, device=x.device), length, ends[0])
            high = _source(torch.arange(length, length + after, device=x.device), length, ends[1])
            # Selecting the few new cells alone: the gradient of a selection is slow.
            x = torch.cat((x.index_select(axis, low), x, x.index_select(axis, high)), axis)
    return x


def _source(place: Tensor, length: int, condition: Boundary) -> Tensor:
    """The cell that stands at each place of the endless axis."""
    if condition == "periodic":
        return place.remainder(length)
    if condition == "wall" and length > 1:
        there_and_back = 2 * (length - 1)
        place = place.remainder(there_and_back)
        return torch.minimum(place, there_and_back - place)
    return place.clamp(0, length - 1)
