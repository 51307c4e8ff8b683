"""Padding of a grid according to the boundary conditions of its axes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transect.apps.pde.models.conditions import Ends
from transect.data_adapters.pde.config import Boundary


def pad(x: Tensor, widths: Sequence[tuple[int, int]], boundary: Sequence[Ends]) -> Tensor:
    """Pad the last axes of `x`.

    Circular at a periodic end; reflected at a wall, without repeating the outermost cell; replicated at an open end.
    Written here because `torch.nn.functional.pad` supports neither different modes at the two ends nor padding wider
    than the grid.

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
            # Select only the new cells: the gradient of index_select is slow.
            x = torch.cat((x.index_select(axis, low), x, x.index_select(axis, high)), axis)
    return x


def _source(place: Tensor, length: int, condition: Boundary) -> Tensor:
    """The index of the cell at each position of the extended axis."""
    if condition == "periodic":
        return place.remainder(length)
    if condition == "wall" and length > 1:
        there_and_back = 2 * (length - 1)
        place = place.remainder(there_and_back)
        return torch.minimum(place, there_and_back - place)
    return place.clamp(0, length - 1)
