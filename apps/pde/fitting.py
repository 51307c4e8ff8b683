"""Statistics of the training data: fields, axes and time step, means and standard deviations."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.config import Config, Scale, State
from transect.apps.pde.dataset import constant_of, parameter_of
from transect.apps.pde.kinds import check_kind, kind_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Simulation, Trajectory

SIMULATIONS, PAIRS, VALUES = 256, 16, 2**27
"""Limits of what is read for the statistics: simulations, frame pairs per simulation, values in total."""


def fit(cases: Sequence[Trajectory], read: Callable[[Trajectory], Simulation], config: Config) -> State:
    """Fit the state to the training simulations; an empty state if the data sets differ in fields, axes or time step.

    Written here because the statistics are of frames and their changes, with missing values, streamed from files; in
    float64 and about a running mean, so that a large mean does not cancel the deviation.

    Args:
        cases: the training trajectories; at most SIMULATIONS of them are read.
        read: opens a trajectory.
        config: the app's.

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
    components = [len(field.components) for field in first.fields]
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
    """Whether the first simulations of all data sets agree in fields, axes and time step."""
    first, *others = (read(case) for case in {case.dataset: case for case in reversed(cases)}.values())
    kind = kind_of(first)
    for other in others:
        try:
            check_kind(other, kind)
        except BadInput:
            return False
    return True


def _pairs(simulation: Simulation, budget: int) -> Iterator[NDArray[np.float32]]:
    """Evenly spaced pairs of consecutive frames, of at most `budget` values in total but at least one pair."""
    size = 2 * len(simulation.channels) * int(np.prod(simulation.shape))
    count = max(1, min(PAIRS, len(simulation) - 1, budget // size))
    for start in np.unique(np.linspace(0, max(len(simulation) - 2, 0), count).astype(int)):
        yield simulation.read(int(start), min(int(start) + 2, len(simulation)))


class Moments:
    """Streaming mean and variance of several quantities; values that are not finite are left out.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).
    """

    def __init__(self, quantities: int) -> None:
        self.count, self.mean, self.squares = (np.zeros(quantities) for _ in range(3))

    def add(self, values: NDArray[np.floating]) -> None:
        """Update with values `(quantities, values)`."""
        for index, row in enumerate(values):
            finite = row[np.isfinite(row)].astype(np.float64)
            if len(finite):
                count, delta = self.count[index] + len(finite), finite.mean() - self.mean[index]
                self.squares[index] += finite.var() * len(finite) + delta**2 * self.count[index] * len(finite) / count
                self.mean[index] += delta * len(finite) / count
                self.count[index] = count

    def scales(self, groups: Sequence[int] = ()) -> tuple[Scale, ...]:
        """The mean of each quantity, with its standard deviation or the root mean variance of its group.

        Constant quantities get a deviation of 1.

        Args:
            groups: sizes of consecutive groups of quantities that share a deviation; none by default.
        """
        variance = self.squares / np.maximum(self.count, 1)
        if groups:
            variance = np.repeat([part.mean() for part in np.split(variance, np.cumsum(groups)[:-1])], groups)
        # Variances below this are rounding errors of the mean.
        varies = (variance > 1e-14 * self.mean**2) & (variance > 0)
        deviation = np.sqrt(np.where(varies, variance, 1))
        return tuple(Scale(float(mean), float(std)) for mean, std in zip(self.mean, deviation, strict=True))
