"""Training windows: consecutive frames of one simulation with their conditioning inputs."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from transect.apps.pde.config import Config, State
from transect.apps.pde.kinds import check_kind
from transect.apps.pde.models.conditions import CONDITIONS
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Simulation, Trajectory

KEPT_VALUES = 2**28
"""Total size of all simulations up to which they are cached in memory: 1 GiB of float32."""


class Windows(Dataset[dict[str, Tensor]]):
    """Every window of `context + unroll` consecutive frames of every simulation, as a dict of tensors.

    =============  ===============================  ======================================================
    states         (frames, channels, *shape)       in the simulation's units, zero where invalid
    valid          (*shape), bool                   where there is a value in all frames
    components     (fields,)                        channels of each field
    boundary       (axes, 2)                        index into CONDITIONS at the lower and the upper end
    parameters     (parameters,)                    if the model takes any, at the first frame
    constants      (constants, *shape)              if the model takes any
    points         (points, dim)                    of a mesh
    =============  ===============================  ======================================================

    `groups` has the indices of the examples that may share a batch, by data set; in a group all tensors have equal
    shapes, and components and boundary are the same.

    Small data sets are cached in memory, since reopening a file takes longer than a training step in 1-D.

    Raises:
        BadInput: a simulation differs from the state in fields, axes or time step, its time step changes, or it is
            shorter than a window; on reading, if values are missing and the model has no mask.
    """

    def __init__(
        self,
        cases: Sequence[Trajectory],
        read: Callable[[Trajectory], Simulation],
        config: Config,
        state: State,
        masked: bool,
    ) -> None:
        self.config, self.state, self.masked = config, state, masked
        self.length = config.context + config.unroll
        self.cached: dict[int, NDArray[np.float32]] = {}
        self.simulations: list[Simulation] = []
        self.starts: list[tuple[int, int]] = []
        self.groups: dict[str, dict[object, list[int]]] = {}
        for case in cases:
            simulation = read(case)
            check_frames(simulation, self.length)
            if state.fields:
                check_kind(simulation, state)
            simulation.time_step()
            group = self.groups.setdefault(case.dataset, {}).setdefault(_group(simulation), [])
            for start in range(len(simulation) - self.length + 1):
                group.append(len(self.starts))
                self.starts.append((len(self.simulations), start))
            self.simulations.append(simulation)
        sizes = ((len(each), len(each.channels), *each.shape) for each in self.simulations)
        values = sum(map(math.prod, sizes))
        self.caches = values <= KEPT_VALUES

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number, start = self.starts[index]
        simulation = self.simulations[number]
        frames = self._frames(number, start)
        valid = valid_cells(simulation, frames, self.masked)
        states = torch.from_numpy(np.where(valid, frames, np.float32(0)))
        return {"states": states, **condition_tensors(simulation, valid, self.config, self.state, start)}

    def _frames(self, number: int, start: int) -> NDArray[np.float32]:
        simulation = self.simulations[number]
        if not self.caches:
            return simulation.read(start, start + self.length)
        if number not in self.cached:
            self.cached[number] = simulation.read(0, len(simulation))
        return self.cached[number][start : start + self.length]


def check_frames(simulation: Simulation, needed: int) -> None:
    """Raise BadInput for a simulation with fewer than `needed` frames."""
    if len(simulation) < needed:
        raise BadInput(
            simulation.source, simulation.time.name, f"{len(simulation)} frames", f"at least {needed}", "lower context"
        )


def valid_cells(simulation: Simulation, frames: NDArray[np.float32], masked: bool) -> NDArray[np.bool_]:
    """Where `frames` `(frames, channels, *shape)` have a value of every channel in all frames, bool `(*shape)`.

    Raises:
        BadInput: some are missing, and the model has no mask.
    """
    finite = np.isfinite(frames)
    valid = np.asarray(finite.all((0, 1)))
    if not masked and not valid.all():
        channel = simulation.channels[int(np.argmin(finite.all((0, *range(2, frames.ndim)))))]
        raise BadInput(
            simulation.source,
            channel,
            f"no value in {100 * (1 - valid.mean()):.3g} % of the cells",
            "a value everywhere",
            "fill them, or train a model with a mask_channel",
        )
    return valid


def condition_tensors(
    simulation: Simulation, valid: NDArray[np.bool_], config: Config, state: State, frame: int
) -> dict[str, Tensor]:
    """The conditioning inputs of a model, in the simulation's units; see `Windows` for names and shapes."""
    tensors = {
        "valid": torch.from_numpy(valid),
        "components": torch.tensor([len(field.components) for field in simulation.fields]),
    }
    if simulation.mesh is None:
        tensors["boundary"] = torch.tensor([[CONDITIONS.index(end) for end in ends] for ends in simulation.boundary])
    else:
        tensors["points"] = torch.from_numpy(simulation.mesh.points)
    if config.parameters:
        values = [parameter_of(simulation, name, frame) for name in config.parameters]
        tensors["parameters"] = torch.tensor(values, dtype=torch.float32)
    if state.constant_names:
        constants = np.stack([constant_of(simulation, name) for name in state.constant_names])
        tensors["constants"] = torch.from_numpy(np.where(valid, constants, np.float32(0)))
    return tensors


def parameter_of(simulation: Simulation, name: str, frame: int) -> float:
    """A parameter of the equation, at `frame` where it changes in time.

    Raises:
        BadInput: the simulation has none of that name.
    """
    if name not in simulation.parameters:
        known = ", ".join(simulation.parameters) or "no parameters"
        raise BadInput(simulation.source, "parameters", known, name, "set parameters to those that the files have")
    values = simulation.parameters[name]
    return float(values if values.ndim == 0 else values[min(frame, len(values) - 1)])


def constant_of(simulation: Simulation, name: str) -> NDArray[np.float32]:
    """A field that is constant in time, `(*shape)`.

    Raises:
        BadInput: the simulation has none of that name.
    """
    if name not in simulation.constants:
        raise BadInput(simulation.source, "constants", ", ".join(simulation.constants) or "none", name)
    return simulation.constants[name]


def _group(simulation: Simulation) -> object:
    return (simulation.fields, simulation.shape, simulation.boundary)
