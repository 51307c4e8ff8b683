"""What kind of simulation a model is for, and whether another is of that kind."""

from collections.abc import Sequence

import numpy as np

from transect.apps.pde.config import State
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Simulation

TIME_STEP_TOLERANCE = 0.01
"""Largest difference of the time step from the training's, as a share of it."""

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
    """Hold a simulation against the kind that a model was trained on; one of a single frame has no time step to differ.

    Raises:
        BadInput: fields, components, units that both sides know, the number of axes or the time step differ, or the
            time step changes.
    """
    found = kind_of(simulation)
    source = simulation.source
    if [one.components for one in found.fields] != [one.components for one in kind.fields]:
        advice = "choose and order them with read.variables and read.vectors"
        raise BadInput(source, "fields", _listed(found.fields), _listed(kind.fields), advice)
    for ours, theirs in zip(found.fields, kind.fields, strict=True):
        if _differ(ours.units, theirs.units):
            raise BadInput(source, f"units of {ours.name}", ours.units, theirs.units, "convert the values")
    if len(found.axes) != len(kind.axes):
        raise BadInput(source, "spatial axes", ", ".join(found.axes), ", ".join(kind.axes))
    if np.isnan(found.time_step):
        return
    units = [one.time_units.partition(" since ")[0] for one in (found, kind)]
    if _differ(*units) or abs(found.time_step - kind.time_step) > TIME_STEP_TOLERANCE * kind.time_step:
        raise BadInput(
            source,
            "time step",
            f"{found.time_step:g} {found.time_units}".rstrip(),
            f"{kind.time_step:g} {kind.time_units}".rstrip(),
            "take frames at the training's distance in time",
        )


def _differ(units: str, others: str) -> bool:
    """Whether units are known on both sides and not the same."""
    return bool(units.strip() and others.strip()) and units.strip() != others.strip()


def _listed(fields: Sequence[Field]) -> str:
    return ", ".join(
        one.name if one.components == (one.name,) else f"{one.name} ({', '.join(one.components)})" for one in fields
    )
