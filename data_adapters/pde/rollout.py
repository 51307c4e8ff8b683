"""A predicted continuation of a simulation, computed while it is drained."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.pde.config import Format
from transect.data_adapters.pde.simulation import Simulation


@dataclass
class Rollout:
    """What follows the first `context` frames of a simulation.

    Args:
        simulation: what it continues; names, units, coordinates and boundary conditions are those of it.
        times: float64 `(steps,)`, times of the predicted frames in the units of the simulation's time.
        blocks: float32 `(frames, channels, *shape)` in order, `steps` frames in all, in the simulation's units, NaN
            where it has no values; to be drained once.
        context: how many of the simulation's frames the first prediction was computed from.
        format: what grids are written as; meshes are written as VTU.
        progress: share of the frames that were drained, for display.
        facts: what a report says of it beside what is written, complete once it is drained.
    """

    simulation: Simulation
    times: NDArray[np.float64]
    blocks: Iterator[NDArray[np.float32]]
    context: int
    format: Format = "netcdf"
    progress: float = 0.0
    facts: dict[str, float | str] = field(default_factory=dict)
