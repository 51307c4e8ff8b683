"""Compatibility of a simulation with the data that a model was trained on: fields, units, axes and time step."""

from collections.abc import Sequence

import numpy as np

from transect.apps.pde.config import State
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Simulation

TIME_STEP_TOLERANCE = 0.01
"""Largest relative difference of the time step from that of the training data."""

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


def _differ(units: str, others: str) -> bool:
    """Whether units are known on both sides and not the same."""
    return bool(units.strip() and others.strip()) and units.strip() != others.strip()


def _listed(fields: Sequence[Field]) -> str:
    return ", ".join(
        field.name if field.components == (field.name,) else f"{field.name} ({', '.join(field.components)})"
        for field in fields
    )
