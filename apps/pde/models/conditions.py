"""What a model is told about a state beside its values."""

from dataclasses import dataclass

import torch
from torch import Tensor

from transect.data_adapters.pde.config import Boundary

#: In the order of The Well's codes, as batches tell them.
CONDITIONS: tuple[Boundary, ...] = ("wall", "open", "periodic")
#: Of an axis: the conditions at its lower and its upper end.
Ends = tuple[Boundary, Boundary]


@dataclass(frozen=True)
class Conditions:
    """Surroundings of a batch of states `(batch, times, channels, *shape)`; the batch is of one simulation's kind.

    Args:
        boundary: conditions at the lower and the upper end of each axis; empty on a mesh.
        valid: bool `(batch, *shape)`, True where there are values; states are zero elsewhere. All of them by default.
        parameters: `(batch, parameters)`, of the equation, scaled to about one.
        constants: `(batch, constants, *shape)`, what varies in space alone, scaled to about one.
        components: channels of each field, in order; each channel is a field of its own by default.
        points: `(batch, points, dim)`, where the values of a mesh lie, in its units.
    """

    boundary: tuple[Ends, ...] = ()
    valid: Tensor | None = None
    parameters: Tensor | None = None
    constants: Tensor | None = None
    components: tuple[int, ...] = ()
    points: Tensor | None = None

    def stacked(self, states: Tensor, constants: int) -> Tensor:
        """All frames and, of a model that takes any, the constants as channels, `(batch, channels, *shape)`.

        Raises:
            ValueError: the model takes constants, and there are none.
        """
        parts = [states.flatten(1, 2)]
        if constants:
            if self.constants is None:
                raise ValueError(f"constants: found none, expected {constants}")
            parts.append(self.constants)
        return torch.cat(parts, 1)
