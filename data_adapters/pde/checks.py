"""What every simulation must be, whatever layout it comes in."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field, ReadConfig
from transect.data_adapters.pde.simulation import Axis, Coordinate, Simulation

MOST_AXES = 3


def chosen(source: str, fields: Sequence[Field], config: ReadConfig) -> tuple[Field, ...]:
    """Those of `fields` that `config.variables` names, in its order; all of them where it names none.

    A component of a vector may be named by itself and is then a scalar.

    Raises:
        BadInput: lists what there is in place of an unknown name.
    """
    known = {name: replace(one, name=name, components=(name,)) for one in fields for name in one.components}
    known |= {one.name: one for one in fields}
    for name in config.variables:
        if name not in known:
            raise BadInput(source, "variables", name, ", ".join(one.name for one in fields))
    return tuple(known[name] for name in config.variables) or tuple(fields)


def check_axes(
    source: str, name: str, shape: Sequence[int], dtype: np.dtype[Any], axes: Sequence[tuple[str, int]]
) -> None:
    """Hold the shape of an array of floating-point numbers against the names and lengths of the axes it should have.

    Raises:
        BadInput: names the first axis that is not as long as it should be.
    """
    if dtype.kind != "f":
        raise BadInput(source, name, f"values of type {dtype}", "floating-point numbers")
    if len(shape) != len(axes):
        expected = f"{len(axes)}: {', '.join(axis for axis, _ in axes)}"
        raise BadInput(source, name, f"{len(shape)} axes of lengths {tuple(shape)}", expected)
    for length, (axis, expected_length) in zip(shape, axes, strict=True):
        if length != expected_length:
            raise BadInput(source, name, f"{length} along {axis}", f"{expected_length}, as {axis} has")


def checked(simulation: Simulation, config: ReadConfig) -> Simulation:
    """`simulation` with the boundary conditions of `config`, if it is one that can be worked with.

    Raises:
        BadInput: it has no frames, no or too many axes, coordinates that do not go one way, arrays that do not fit
            them, or boundary conditions of axes that it does not have or that are periodic at one end alone.
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
    vectors = {one.name: list(one.components) for one in simulation.fields}
    for name, components in config.vectors.items():
        if vectors.get(name) != list(components):
            found = ", ".join(simulation.channels)
            raise BadInput(simulation.source, f"vectors.{name}", found, f"a vector of {', '.join(components)}")


def _with_boundary(source: str, axes: Sequence[Axis], config: ReadConfig) -> tuple[Axis, ...]:
    for name in config.boundary:
        if name not in {axis.name for axis in axes}:
            there = ", ".join(axis.name for axis in axes) or "none, since it is a mesh"
            raise BadInput(source, "boundary", f"axis {name}", f"an axis of the simulation: {there}")
    told = [
        replace(axis, boundary=(config.boundary[axis.name],) * 2) if axis.name in config.boundary else axis
        for axis in axes
    ]
    for axis in told:
        if axis.boundary.count("periodic") == 1:
            raise BadInput(
                source, f"boundary of {axis.name}", " and ".join(axis.boundary), "periodic at both ends or at none"
            )
    return tuple(told)
