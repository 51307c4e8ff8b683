"""What training takes from its data before there is a model: the kind of simulation, and the size of its values."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.config import Config, Scale, State
from transect.apps.pde.dataset import constant_of, parameter_of
from transect.apps.pde.kinds import check_kind, kind_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Simulation, Trajectory

SIMULATIONS, PAIRS, VALUES = 256, 16, 2**27
"""At most so many simulations, pairs of frames of each and values in all are read for the statistics."""


def fit(cases: Sequence[Trajectory], read: Callable[[Trajectory], Simulation], config: Config) -> State:
    """Kind and statistics of the training simulations; nothing where they are of data sets of several kinds.

    Written here because what is measured are frames and their changes, with missing values, of files that are read in
    parts; in float64 and about a running mean, so that a large mean takes nothing from the deviation.

    Raises:
        BadInput: simulations differ in fields, units, axes or time step, or lack a parameter or a constant.
    """
    if not _of_one_kind(cases, read):
        return State()
    chosen = [cases[index] for index in np.unique(np.linspace(0, len(cases) - 1, SIMULATIONS).astype(int))]
    first = read(chosen[0])
    kind = kind_of(first)
    constants = tuple(first.constants) if config.constants else ()
    values, changes = Moments(len(first.channels)), Moments(len(first.channels))
    parameters, spatial = Moments(len(config.parameters)), Moments(len(constants))
    budget = VALUES // len(chosen)
    for case in chosen:
        simulation = read(case)
        check_kind(simulation, kind)
        parameters.add(np.array([[parameter_of(simulation, name, 0)] for name in config.parameters]))
        if constants:
            spatial.add(np.stack([constant_of(simulation, name).ravel() for name in constants]))
        for pair in _pairs(simulation, budget):
            values.add(pair.swapaxes(0, 1).reshape(len(first.channels), -1))
            changes.add((pair[1:] - pair[:-1]).swapaxes(0, 1).reshape(len(first.channels), -1))
    components = [len(one.components) for one in first.fields]
    scales, change_scales = values.scales(components), changes.scales(components)
    return State(
        kind.fields,
        kind.axes,
        kind.time_step,
        kind.time_units,
        scales,
        tuple(change.std / scale.std for change, scale in zip(change_scales, scales, strict=True)),
        parameters.scales(),
        spatial.scales(),
        constants,
    )


def _of_one_kind(cases: Sequence[Trajectory], read: Callable[[Trajectory], Simulation]) -> bool:
    """Whether the first simulations of all data sets are alike."""
    first, *others = (read(case) for case in {case.dataset: case for case in reversed(cases)}.values())
    kind = kind_of(first)
    for other in others:
        try:
            check_kind(other, kind)
        except BadInput:
            return False
    return True


def _pairs(simulation: Simulation, budget: int) -> Iterator[NDArray[np.float32]]:
    """Pairs of neighbouring frames, evenly spread, of `budget` values in all if that allows for one."""
    size = 2 * len(simulation.channels) * int(np.prod(simulation.shape))
    count = max(1, min(PAIRS, len(simulation) - 1, budget // size))
    for start in np.unique(np.linspace(0, max(len(simulation) - 2, 0), count).astype(int)):
        yield simulation.read(int(start), min(int(start) + 2, len(simulation)))


class Moments:
    """Mean and variance of some quantities, gathered in parts; values that are not finite are left out.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    """

    def __init__(self, quantities: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(quantities) for _ in range(3))

    def add(self, values: NDArray[np.floating]) -> None:
        """Take in `(quantities, values)`."""
        for index, row in enumerate(values):
            found = row[np.isfinite(row)].astype(np.float64)
            if len(found):
                together, off = self.count[index] + len(found), found.mean() - self.mean[index]
                self.squares[index] += found.var() * len(found) + off**2 * self.count[index] * len(found) / together
                self.mean[index] += off * len(found) / together
                self.count[index] = together

    def scales(self, groups: Sequence[int] = ()) -> tuple[Scale, ...]:
        """One a quantity: its mean, and the root mean variance of its group, as `groups` counts them, or its own.

        What does not vary gets a deviation of 1.
        """
        variance = self.squares / np.maximum(self.count, 1)
        if groups:
            variance = np.repeat([part.mean() for part in np.split(variance, np.cumsum(groups)[:-1])], groups)
        # Rounding of a mean leaves this much of a variance where there is none.
        varies = (variance > 1e-14 * self.mean**2) & (variance > 0)
        deviation = np.sqrt(np.where(varies, variance, 1))
        return tuple(Scale(float(mean), float(std)) for mean, std in zip(self.mean, deviation, strict=True))
