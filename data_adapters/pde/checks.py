"""Validation shared by all layouts: variables, array shapes, coordinates and boundary conditions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.simulation import Axis, Coordinate, Simulation

MOST_AXES = 3


def selected(source: str, fields: Sequence[Field], config: ReadConfig) -> tuple[Field, ...]:
    """The fields selected by `config.variables`, in its order; all of them if it is empty.

    A component of a vector may be selected by its own name and is then a scalar.

    Raises:
        BadInput: a name is unknown; the message lists the fields.
    """
    known = {name: replace(field, name=name, components=(name,)) for field in fields for name in field.components}
    known |= {field.name: field for field in fields}
    for name in config.variables:
        if name not in known:
            raise BadInput(source, "variables", name, ", ".join(field.name for field in fields))
    return tuple(known[name] for name in config.variables) or tuple(fields)


def check_axes(
    source: str, name: str, shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[tuple[str, int]]
) -> None:
    """Check the dtype and shape of an array.

    Args:
        source: The file, for messages.
        name: The array, for messages.
        shape: Its shape.
        dtype: Must be floating point.
        axes: Expected names and lengths of its axes.

    Raises:
        BadInput: the dtype or the number of axes differs, or the first axis whose length differs.
    """
    if dtype.kind != "f":
        raise BadInput(source, name, f"values of type {dtype}", "floating-point numbers")
    if len(shape) != len(axes):
        expected = f"{len(axes)}: {', '.join(axis for axis, _ in axes)}"
        raise BadInput(source, name, f"{len(shape)} axes of lengths {tuple(shape)}", expected)
    for length, (axis, expected_length) in zip(shape, axes, strict=True):
        if length != expected_length:
            raise BadInput(source, name, f"{length} along {axis}", f"{expected_length}, as {axis} has")


def validated(simulation: Simulation, config: ReadConfig) -> Simulation:
    """Validate `simulation` and apply the boundary conditions of `config`.

    Raises:
        BadInput: there are no frames, no or too many axes, coordinates that are not strictly monotonic, arrays of other
            shapes, or boundary conditions for unknown axes or that are periodic at only one end.
    """
    source, axes = simulation.source, simulation.axes
    if not len(simulation):
        raise BadInput(source, simulation.time.name, "no frames", "at least one")
    if not simulation.channels or len(set(simulation.channels)) < len(simulation.channels):
        raise BadInput(source, "variables", ", ".join(simulation.channels) or "none", "at least one, each once")
    if simulation.mesh is None and not 1 <= len(axes) <= MOST_AXES:
        found = f"{len(axes)} ({', '.join(axis.name for axis in axes)})" if axes else "none"
        raise BadInput(source, "spatial axes", found, f"one to {MOST_AXES}", "name them with axes")
    for coordinate in (*axes, simulation.time):
        _check_order(source, coordinate)
    if simulation.time.values[-1] < simulation.time.values[0]:
        raise BadInput(source, simulation.time.name, "times that decrease", "times that increase")
    for name, constant in simulation.constants.items():
        if constant.shape != simulation.shape:
            raise BadInput(source, name, f"shape {constant.shape}", f"shape {simulation.shape}")
    for name, parameter in simulation.parameters.items():
        if parameter.shape not in ((), (len(simulation),)):
            raise BadInput(
                source, name, f"shape {parameter.shape}", f"one number, or one for each of {len(simulation)}"
            )
    _check_vectors(simulation, config)
    return replace(simulation, axes=_with_boundary(source, axes, config))


def _check_order(source: str, coordinate: Coordinate) -> None:
    if not len(coordinate):
        raise BadInput(source, coordinate.name, "no cells", "at least one")
    steps = np.diff(coordinate.values)
    if not (np.isfinite(coordinate.values).all() and ((steps > 0).all() or (steps < 0).all())):
        raise BadInput(
            source,
            coordinate.name,
            "values that are missing, repeated or out of order",
            "coordinates that only increase or only decrease",
        )


def _check_vectors(simulation: Simulation, config: ReadConfig) -> None:
    vectors = {field.name: list(field.components) for field in simulation.fields}
    for name, components in config.vectors.items():
        if vectors.get(name) != list(components):
            found = ", ".join(simulation.channels)
            raise BadInput(simulation.source, f"vectors.{name}", found, f"a vector of {', '.join(components)}")


def _with_boundary(source: str, axes: Sequence[Axis], config: ReadConfig) -> tuple[Axis, ...]:
    for name in config.boundary:
        if name not in {axis.name for axis in axes}:
            names = ", ".join(axis.name for axis in axes) or "none, since it is a mesh"
            raise BadInput(source, "boundary", f"axis {name}", f"an axis of the simulation: {names}")
    with_boundary = [
        replace(axis, boundary=(config.boundary[axis.name],) * 2) if axis.name in config.boundary else axis
        for axis in axes
    ]
    for axis in with_boundary:
        if axis.boundary.count("periodic") == 1:
            raise BadInput(
                source, f"boundary of {axis.name}", " and ".join(axis.boundary), "periodic at both ends or at none"
            )
    return tuple(with_boundary)
