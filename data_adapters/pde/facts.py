"""Facts about a simulation as it was read: grid, times, and the range of each component."""

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Axis, Simulation

VALUES_AT_ONCE = 2**24
"""Number of values that are read at a time."""

Facts = dict[str, float | str]


def facts_of(simulation: Simulation) -> Facts:
    """Read all frames of a simulation, and describe it.

    Returns:
        `frames`, `times`, the points or each axis, parameters and constants, each component with its range and the
        share of missing values, and `warnings`.

    Raises:
        BadInput: frames cannot be read.
    """
    times, units = simulation.time.values, simulation.time.units
    facts: Facts = {"frames": len(simulation), "times": f"{times[0]:.10g} to {times[-1]:.10g} {units}".rstrip()}
    warnings = []
    try:
        if np.isfinite(step := simulation.time_step()):
            facts["time_step"] = f"{step:.10g} {units.partition(' since ')[0]}".rstrip()
    except BadInput as error:
        warnings.append(f"{error.field}: found {error.found}, expected {error.expected}")
    if simulation.mesh is not None:
        points = simulation.mesh.points
        facts["points"] = f"{len(points)} in {points.shape[1]} dimensions"
    facts |= {f"axis_{axis.name}": _described(axis) for axis in simulation.axes}
    if simulation.parameters:
        facts["parameters"] = ", ".join(f"{name} {value.flat[0]:g}" for name, value in simulation.parameters.items())
    if simulation.constants:
        facts["constants"] = ", ".join(simulation.constants)
    low, high, missing = _ranges(simulation)
    described = [(name, field.units) for field in simulation.fields for name in field.components]
    for (name, unit), smallest, largest, share in zip(described, low, high, missing, strict=True):
        text = f"{smallest:.4g} to {largest:.4g} {unit}".rstrip() if smallest <= largest else "no values"
        facts[name] = text + (f", {100 * share:.4g} % missing" if share else "")
    return facts | ({"warnings": "; ".join(warnings)} if warnings else {})


def _described(axis: Axis) -> str:
    values = axis.values
    steps = np.diff(values)
    spacing = ""
    if len(steps):
        uniform = np.allclose(steps, steps[0], rtol=1e-3, atol=0)
        spacing = f", spacing {abs(steps.mean()):.4g}" if uniform else f", spacing {abs(steps).min():.4g} to "
        spacing += "" if uniform else f"{abs(steps).max():.4g}"
    ends = f"{values[0]:.6g} to {values[-1]:.6g} {axis.units}".rstrip()
    return f"{len(values)} cells, {ends}{spacing}, {' and '.join(dict.fromkeys(axis.boundary))}"


def _ranges(simulation: Simulation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest and the largest value and the share of missing values of each component, `(channels,)` each."""
    channels = len(simulation.channels)
    low, high, missing = np.full(channels, np.inf), np.full(channels, -np.inf), np.zeros(channels)
    step = max(1, VALUES_AT_ONCE // (channels * int(np.prod(simulation.shape))))
    for start in range(0, len(simulation), step):
        frames = simulation.read(start, min(start + step, len(simulation))).swapaxes(0, 1).reshape(channels, -1)
        low, high = np.fmin(low, np.fmin.reduce(frames, axis=1)), np.fmax(high, np.fmax.reduce(frames, axis=1))
        missing += np.isnan(frames).sum(axis=1)
    return low, high, missing / (len(simulation) * np.prod(simulation.shape))
