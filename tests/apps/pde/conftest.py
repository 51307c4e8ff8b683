"""Simulations built from arrays, for tests of the app without files."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Axis, Coordinate, Simulation, Trajectory


def make_simulation(
    values: NDArray[np.floating],
    fields: Sequence[Field] | None = None,
    time: Coordinate | None = None,
    boundary: Any = ("periodic", "periodic"),
    **more: Any,
) -> Simulation:
    """A simulation of `values` `(frames, channels, *grid)`, on axes x, y, z of unit spacing."""
    frames, channels, *grid = values.shape
    fields = fields or [Field(name, (name,), "m") for name in "uvwpq"[:channels]]
    return Simulation(
        source="made.nc",
        fields=tuple(fields),
        axes=tuple(
            Axis(name, np.arange(length, dtype=float), "m", boundary=boundary)
            for name, length in zip("xyz", grid, strict=False)
        ),
        time=time or Coordinate("time", np.arange(frames, dtype=float), "s"),
        read=lambda start, stop: values[start:stop].astype(np.float32),
        **more,
    )


@pytest.fixture
def simulation() -> Callable[..., Simulation]:
    return make_simulation


@pytest.fixture
def cases() -> Callable[[int, str], list[Trajectory]]:
    """So many cases of a data set, the number of each as its member."""

    def made(count: int, dataset: str = "") -> list[Trajectory]:
        return [
            Trajectory(f"{dataset}{index}", f"{dataset}{index}", (), dataset=dataset, member=str(index))
            for index in range(count)
        ]

    return made
