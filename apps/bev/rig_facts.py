"""What a model keeps of the rigs that it was trained on, and how another rig differs from them."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from transect.apps.bev.config import State
from transect.data_adapters.bev.measures import optics_of
from transect.data_adapters.bev.sample import Frame

MARGINS = {"cameras": 0.0, "field_of_view": 5.0, "camera_height": 0.3, "tilt": 5.0, "coverage": 20.0}
"""How far a rig may lie outside of what training had without a warning, in the unit of each."""

TEXTS = {
    "cameras": "{} cameras, in the training data {}",
    "field_of_view": "a camera with a field of view of {} degrees, in the training data {}",
    "camera_height": "a camera {} m above the ground, in the training data {} m",
    "tilt": "a camera tilted by {} degrees, in the training data {}",
    "coverage": "cameras that see {} degrees of the horizon, in the training data {}",
}

Values = dict[str, list[float]]


def rig_values(frame: Frame) -> Values:
    """The values of a sample by the names of `State`: of each camera, or one of all."""
    optics = optics_of(frame)
    around = np.arange(360) + 0.5
    seen = np.zeros(360, bool)
    for one in optics:
        seen |= (one.heading + one.left - around) % 360 <= one.fov
    return {
        "cameras": [float(len(optics))],
        "field_of_view": [one.fov for one in optics],
        "camera_height": [one.z for one in optics],
        "tilt": [one.pitch for one in optics],
        "coverage": [float(seen.sum())],
    }


def learned(frames: Iterable[Frame]) -> State:
    """The state after training samples are seen, one at a time."""
    found: Values = {name: [] for name in MARGINS}
    for frame in frames:
        for name, values in rig_values(frame).items():
            found[name] += values
    pairs = {name: (round(min(values), 3), round(max(values), 3)) for name, values in found.items() if values}
    if "cameras" in pairs:
        fewest, most = pairs.pop("cameras")
        return State(cameras=(int(fewest), int(most)), **pairs)
    return State()


def compared(frame: Frame, state: State) -> list[str]:
    """How the rig of a sample differs from those of training, a line each: maps of another rig are less accurate."""
    lines = []
    for name, values in rig_values(frame).items():
        known = getattr(state, name)
        if known and (far := _farthest(values, known, MARGINS[name])) is not None:
            low, high = (f"{value:.3g}" for value in known)
            lines.append(TEXTS[name].format(f"{far:.3g}", low if low == high else f"{low} to {high}"))
    return lines


def merged(states: Sequence[State], thresholds: tuple[float, ...]) -> State:
    """The state of an ensemble: what the rigs of any member's training had.

    Args:
        states: Of the members.
        thresholds: Of the ensemble.
    """
    pairs = {name: [value for state in states for value in getattr(state, name)] for name in MARGINS}
    return State(thresholds, **{name: (min(values), max(values)) for name, values in pairs.items() if values})


def _farthest(values: Sequence[float], known: tuple[float, ...], margin: float) -> float | None:
    """The value farthest outside of the known ones, None if all lie within the margin."""
    distance = [max(known[0] - value, value - known[1]) for value in values]
    index = max(range(len(values)), key=distance.__getitem__, default=None)
    return None if index is None or not distance[index] > margin or math.isnan(distance[index]) else values[index]
