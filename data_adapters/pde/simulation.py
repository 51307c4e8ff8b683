"""A simulation as every layout gives it, fields on a grid or a mesh over time, and its predicted continuation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.pde.config import Boundary, Field, Format

STEP_TOLERANCE = 1e-3
"""Largest deviation of a time step from the first one, as a share of it; float32 time axes need this much."""


@dataclass(frozen=True)
class Trajectory(Case):
    """One run of a simulation: a `member` of a file in some `layout`, of the data set named `dataset`."""

    layout: str = ""
    member: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class Member:
    """One trajectory of a file.

    Args:
        name: tells it from the file's other trajectories; may be empty where the file holds a single one.
        split: "train", "val" or "test" where the layout's own rule says so, else empty.
    """

    name: str
    split: str = ""


@dataclass(frozen=True)
class Coordinate:
    """Where the cells of one axis, or the frames, lie.

    Args:
        name: of the dimension, such as x or time.
        values: float64 `(length,)`, in `units`.
        units: as the file writes them, such as "m" or "hours since 1980-01-14"; empty where they are not known.
        attributes: what else the file says of it, such as `calendar`, to be written out again.
    """

    name: str
    values: NDArray[np.float64]
    units: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Axis(Coordinate):
    """A spatial axis with the boundary conditions at its lower and its upper end."""

    boundary: tuple[Boundary, Boundary] = ("open", "open")

    @property
    def periodic(self) -> bool:
        """Whether the last cell is followed by the first."""
        return self.boundary == ("periodic", "periodic")


@dataclass(frozen=True)
class Mesh:
    """An unstructured mesh.

    Args:
        points: float64 `(points, dim)`.
        cells: by meshio's name of their type, int `(cells, corners)`.
        units: of the coordinates.
    """

    points: NDArray[np.float64]
    cells: Mapping[str, NDArray[np.int64]]
    units: str = ""


@dataclass(frozen=True)
class Simulation:
    """One trajectory. Values are in the file's units; those of different fields lie side by side as channels.

    Args:
        source: the file it comes from, for messages.
        fields: the quantities, in order; their components are the channels.
        axes: the spatial axes in the order of the arrays, one to three; none on a mesh.
        time: the frames' times.
        read: float32 `(stop - start, channels, *shape)` of the frames from start to stop, NaN where there is none;
            opens the file anew, so that it may be called from any process.
        parameters: of the equation, by name: one number, or one a frame `(frames,)`.
        constants: float32 by name, `(*shape)` each: what varies in space and not in time.
        mesh: where the values lie, if not on a grid; `shape` is then `(points,)`.
        attributes: what the file says of the whole, to be written out again.
        descriptions: by name of a component, a parameter or a constant, what else the file says of it, such as its
            standard_name, to be written out again.
    """

    source: str
    fields: tuple[Field, ...]
    axes: tuple[Axis, ...]
    time: Coordinate
    read: Callable[[int, int], NDArray[np.float32]]
    parameters: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    constants: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    mesh: Mesh | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    descriptions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of all components of all fields, in order."""
        return tuple(component for one in self.fields for component in one.components)

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the spatial axes, or the number of points of the mesh."""
        return (len(self.mesh.points),) if self.mesh is not None else tuple(len(axis) for axis in self.axes)

    @property
    def boundary(self) -> tuple[tuple[Boundary, Boundary], ...]:
        """Boundary conditions at the lower and upper end of each axis."""
        return tuple(axis.boundary for axis in self.axes)

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.time)

    def known(self, start: int, count: int) -> NDArray[np.float32] | None:
        """The frames from `start` on, as many of `count` as there are; None past the end."""
        stop = min(start + count, len(self))
        return self.read(start, stop) if start < stop else None

    def time_step(self) -> float:
        """The time between two frames, in the units of time; NaN where there is only one frame.

        Raises:
            BadInput: it changes, or time stands still or runs backwards.
        """
        steps = np.diff(self.time.values)
        if not len(steps):
            return float("nan")
        first = float(steps[0])
        wrong = np.flatnonzero(~(np.abs(steps - first) <= STEP_TOLERANCE * abs(first)))
        if first <= 0 or len(wrong):
            at, step = (int(wrong[0]), float(steps[wrong[0]])) if len(wrong) else (0, first)
            raise BadInput(
                self.source,
                self.time.name,
                f"a step of {step:g} after frame {at}",
                f"steps of {first:g} {self.time.units}".rstrip() if first > 0 else "times that increase",
                "put the frames at equal distances in time, or cut the file where the step changes",
            )
        return first

    def extend_times(self, steps: int, after: int, step: float | None = None) -> NDArray[np.float64]:
        """Times of the `steps` frames that follow the first `after`, in the units of time.

        Frames that the simulation has keep the times it gives them; beyond its end time goes on with its mean step.
        Dates go on likewise, since they are numbers of equal units: a climatology after December with January.

        Args:
            steps: how many frames.
            after: how many frames come before them, 1 to `len(self)`.
            step: the time between frames where the simulation does not tell it, having a single one.

        Raises:
            BadInput: the simulation's step changes, or it has a single frame and `step` is not given.
        """
        known = self.time.values
        if len(known) > 1:
            self.time_step()
            step = float((known[-1] - known[0]) / (len(known) - 1))
        if step is None:
            advice = "give at least two frames, so that the time between them is known"
            raise BadInput(self.source, self.time.name, "a single frame", "two or more", advice)
        beyond = known[-1] + step * np.arange(1, steps + 1)
        return np.concatenate([known[after:], beyond])[:steps]


@dataclass
class Rollout:
    """What a model predicts to follow the first `context` frames of a simulation, computed while it is drained.

    Args:
        simulation: what it continues; names, units, coordinates and boundary conditions are those of it.
        times: float64 `(steps,)`, times of the predicted frames in the units of the simulation's time.
        blocks: float32 `(frames, channels, *shape)` in order, `steps` frames in all, in the simulation's units, NaN
            where it has no values; to be drained once.
        context: how many of the simulation's frames the first prediction was computed from.
        format: what grids are written as; meshes are written as VTU.
        start: the number of the first predicted frame, as the simulation counts its frames.
        last: float32 `(channels, *shape)`, the last frame of the context, NaN where nothing is predicted.
        progress: share of the frames that were drained, for display.
        facts: what a report says of it beside what is written, complete once it is drained.
    """

    simulation: Simulation
    times: NDArray[np.float64]
    blocks: Iterator[NDArray[np.float32]]
    context: int
    format: Format = "netcdf"
    start: int = 0
    last: NDArray[np.float32] = field(default_factory=lambda: np.array(np.nan, np.float32))
    progress: float = 0.0
    facts: dict[str, float | str] = field(default_factory=dict)
