"""Conditioning inputs of the models: boundary conditions, mask, parameters, constants and coordinates."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transect.data_adapters.pde.config import Boundary

#: In the order of The Well's codes, which batches use.
CONDITIONS: tuple[Boundary, ...] = ("wall", "open", "periodic")
#: The conditions at the lower and the upper end of an axis.
Ends = tuple[Boundary, Boundary]


@dataclass(frozen=True)
class Conditions:
    """Conditioning inputs of a batch of states `(batch, times, channels, *shape)` with equal fields and boundaries.

    Args:
        boundary: conditions at the lower and the upper end of each axis; empty on a mesh.
        valid: bool `(batch, *shape)`, True where there are values; states are zero elsewhere. All valid by default.
        parameters: `(batch, parameters)`, of the equation, standardized.
        constants: `(batch, constants, *shape)`, fields that are constant in time, standardized.
        components: channels of each field, in order; each channel is a field of its own by default.
        points: `(batch, points, dim)`, coordinates of the mesh points, in its units.
    """

    boundary: tuple[Ends, ...] = ()
    valid: Tensor | None = None
    parameters: Tensor | None = None
    constants: Tensor | None = None
    components: tuple[int, ...] = ()
    points: Tensor | None = None

    def stacked(self, states: Tensor, constants: int) -> Tensor:
        """Frames and, where the model takes any, constants stacked as channels, `(batch, channels, *shape)`.

        Raises:
            ValueError: the model takes constants, and there are none.
        """
        parts = [states.flatten(1, 2)]
        if constants:
            if self.constants is None:
                raise ValueError(f"constants: found none, expected {constants}")
            parts.append(self.constants)
        return torch.cat(parts, 1)
