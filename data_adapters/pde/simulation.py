"""Layout-independent data structures: a simulation on a grid or mesh, and its predicted rollout."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.pde.config import Boundary, Field, Format

STEP_TOLERANCE = 1e-3
"""Maximum relative deviation of a time step from the first one; float32 time axes need this much."""


@dataclass(frozen=True)
class Trajectory(Case):
    """The case of a simulation: the `member` of a file in a `layout`, of the data set named `dataset`."""

    layout: str = ""
    member: str = ""
    dataset: str = ""


@dataclass(frozen=True)
class Member:
    """One trajectory of a file.

    Args:
        name: Unique in its file; may be empty if the file has a single trajectory.
        split: "train", "val" or "test" by the layout's own rule, else empty.
    """

    name: str
    split: str = ""


@dataclass(frozen=True)
class Coordinate:
    """Coordinates of an axis, or times of the frames.

    Args:
        name: Name of the dimension, such as x or time.
        values: float64 `(length,)`, in `units`.
        units: As written in the file, such as "m" or "hours since 1980-01-14"; empty if unknown.
        attributes: Further attributes, such as `calendar`, kept for output.
    """

    name: str
    values: NDArray[np.float64]
    units: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Axis(Coordinate):
    """A spatial axis with the boundary conditions at its lower and upper end."""

    boundary: tuple[Boundary, Boundary] = ("open", "open")

    @property
    def periodic(self) -> bool:
        """Whether the boundary condition is periodic."""
        return self.boundary == ("periodic", "periodic")


@dataclass(frozen=True)
class Mesh:
    """An unstructured mesh.

    Args:
        points: float64 `(points, dim)`.
        cells: int `(cells, corners)` by meshio's cell type.
        units: Units of the coordinates.
    """

    points: NDArray[np.float64]
    cells: Mapping[str, NDArray[np.int64]]
    units: str = ""


@dataclass(frozen=True)
class Simulation:
    """One trajectory. Values are in the file's units; the components of all fields are concatenated as channels.

    Args:
        source: Path of the file, for messages.
        fields: The quantities, in order; their components are the channels.
        axes: One to three spatial axes in the order of the arrays; none on a mesh.
        time: Times of the frames.
        read: Returns the frames from start to stop, float32 `(stop - start, channels, *shape)`, NaN for missing values.
            It opens the file on each call, so that it may be called from any process.
        parameters: Parameters of the equation by name: a scalar, or one value per frame `(frames,)`.
        constants: float32 `(*shape)` by name: variables that do not depend on time.
        mesh: The mesh, if not on a grid; `shape` is then `(points,)`.
        attributes: Attributes of the file, kept for output.
        descriptions: Attributes of components, parameters and constants by name, such as standard_name, kept for
            output.
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
        return tuple(component for quantity in self.fields for component in quantity.components)

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
        """Up to `count` frames from `start` on, as `read` returns them; None past the end."""
        stop = min(start + count, len(self))
        return self.read(start, stop) if start < stop else None

    def time_step(self) -> float:
        """The constant time step, in the units of time; NaN for a single frame.

        Raises:
            BadInput: the step is not constant, or not positive.
        """
        steps = np.diff(self.time.values)
        if not len(steps):
            return float("nan")
        first = float(steps[0])
        wrong = np.flatnonzero(~(np.abs(steps - first) <= STEP_TOLERANCE * abs(first)))
        if first <= 0 or len(wrong):
            index, step = (int(wrong[0]), float(steps[wrong[0]])) if len(wrong) else (0, first)
            raise BadInput(
                self.source,
                self.time.name,
                f"a step of {step:g} after frame {index}",
                f"steps of {first:g} {self.time.units}".rstrip() if first > 0 else "times that increase",
                "interpolate to a constant time step, or split the file where the step changes",
            )
        return first

    def extend_times(self, steps: int, after: int, step: float | None = None) -> NDArray[np.float64]:
        """Times of the `steps` frames that follow the first `after`, in the units of time.

        Frames within the simulation keep its times; beyond its end they are extrapolated with its mean step. This holds
        for dates too, which are numbers in CF time units: a climatology continues after December with January.

        Args:
            steps: Number of frames.
            after: Number of frames before them, 1 to `len(self)`.
            step: The time step, needed only if the simulation has a single frame.

        Raises:
            BadInput: the time step is not constant, or there is a single frame and `step` is not given.
        """
        known = self.time.values
        if len(known) > 1:
            self.time_step()
            step = float((known[-1] - known[0]) / (len(known) - 1))
        if step is None:
            advice = "give at least two frames, to define the time step"
            raise BadInput(self.source, self.time.name, "a single frame", "two or more", advice)
        beyond = known[-1] + step * np.arange(1, steps + 1)
        return np.concatenate([known[after:], beyond])[:steps]


@dataclass
class Rollout:
    """Predicted frames that continue a simulation, computed lazily.

    Args:
        simulation: The simulation that is continued; gives names, units, coordinates and boundary conditions.
        times: float64 `(steps,)`, times of the predicted frames in the units of the simulation's time.
        blocks: float32 `(frames, channels, *shape)` in order, `steps` frames in all, in the simulation's units, NaN for
            missing values; a stream that can be consumed once.
        context: Number of input frames of the first prediction.
        format: Output format of grids; meshes are written as VTU.
        start: Index of the first predicted frame in the simulation.
        last: float32 `(channels, *shape)`, the last frame of the context, NaN for missing values.
        spread: The standard deviations of an ensemble, whose components follow the simulation's channels in `blocks`.
        progress: Completed fraction, for display.
        facts: Further facts for a report, complete once `blocks` is consumed.
    """

    simulation: Simulation
    times: NDArray[np.float64]
    blocks: Iterator[NDArray[np.float32]]
    context: int
    format: Format = "netcdf"
    start: int = 0
    last: NDArray[np.float32] = field(default_factory=lambda: np.array(np.nan, np.float32))
    spread: tuple[Field, ...] = ()
    progress: float = 0.0
    facts: dict[str, float | str] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of `blocks`."""
        return (*self.simulation.fields, *self.spread)
