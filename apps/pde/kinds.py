"""Compatibility of a simulation with the data that a model was trained on: fields, units, axes and time step."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.pde.config import State
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Simulation

TIME_STEP_TOLERANCE = 0.01
"""Largest relative difference of the time step from that of the training data."""

UNUSUAL = 10.0
"""Distance from the mean of the training data, in standard deviations, that is worth a warning."""

MESH_AXES = ("x", "y", "z")


def kind_of(simulation: Simulation) -> State:
    """Fields, axes and time step of a simulation.

    Raises:
        BadInput: its time step changes.
    """
    mesh = simulation.mesh
    axes = tuple(axis.name for axis in simulation.axes) if mesh is None else MESH_AXES[: mesh.points.shape[1]]
    return State(simulation.fields, axes, simulation.time_step(), simulation.time.units)


def check_kind(simulation: Simulation, kind: State) -> None:
    """Check a simulation against the data that a model was trained on; a single frame has no time step to compare.

    Raises:
        BadInput: fields, components, units that both sides know, the number of axes or the time step differ, or the
            time step changes.
    """
    actual = kind_of(simulation)
    source = simulation.source
    if [field.components for field in actual.fields] != [field.components for field in kind.fields]:
        advice = "choose and order them with read.variables and read.vectors"
        raise BadInput(source, "fields", _listed(actual.fields), _listed(kind.fields), advice)
    for ours, theirs in zip(actual.fields, kind.fields, strict=True):
        if _differ(ours.units, theirs.units):
            raise BadInput(source, f"units of {ours.name}", ours.units, theirs.units, "convert the values")
    if len(actual.axes) != len(kind.axes):
        raise BadInput(source, "spatial axes", ", ".join(actual.axes), ", ".join(kind.axes))
    if np.isnan(actual.time_step):
        return
    units = [data.time_units.partition(" since ")[0] for data in (actual, kind)]
    if _differ(*units) or abs(actual.time_step - kind.time_step) > TIME_STEP_TOLERANCE * kind.time_step:
        raise BadInput(
            source,
            "time step",
            f"{actual.time_step:g} {actual.time_units}".rstrip(),
            f"{kind.time_step:g} {kind.time_units}".rstrip(),
            "resample the frames to the time step of the training data",
        )


def unusual_values(simulation: Simulation, frames: NDArray[np.float32], state: State) -> list[str]:
    """The fields with values beyond UNUSUAL standard deviations from the training data's mean, in a line each.

    Args:
        simulation: of the state's kind.
        frames: float32 `(frames, channels, *shape)` of it.
        state: the model's.
    """
    lines, first = [], 0
    for field, scale in zip(simulation.fields, state.scales, strict=True):
        values = frames[:, first : first + len(field.components)]
        first += len(field.components)
        largest = np.nanmax(np.abs(values - scale.mean), initial=0.0) / scale.std
        if largest > UNUSUAL:
            lines.append(f"{field.name}: values up to {largest:.3g} standard deviations from the training data's mean")
    return lines


def _differ(units: str, others: str) -> bool:
    """Whether units are known on both sides and not the same."""
    return bool(units.strip() and others.strip()) and units.strip() != others.strip()


def _listed(fields: Sequence[Field]) -> str:
    return ", ".join(
        field.name if field.components == (field.name,) else f"{field.name} ({', '.join(field.components)})"
        for field in fields
    )
