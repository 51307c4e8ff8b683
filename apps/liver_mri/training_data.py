"""What a model keeps of its training volumes, and how a new volume differs from them."""

from collections.abc import Iterable, Sequence

import numpy as np

from transect.apps.liver_mri.config import State
from transect.apps.liver_mri.prepare import working_grid
from transect.data_adapters.volume.volume import Volume

FINEST = 1.5
"""Smallest spacing in mm that is chosen: a window then covers most of the liver."""

SIMILAR = 1.5
"""Factor by which slices may be thicker, or the extent longer, than in training without a warning."""


def learned(volumes: Iterable[Volume], spacing: tuple[float, float, float] | None, fast: bool) -> State:
    """The state after training volumes are seen.

    Args:
        volumes: The training volumes, one at a time.
        spacing: Of the working grid in mm, where a person chose it; else the median, at least FINEST.
        fast: Whether the two axes with the finest spacing have half the resolution.
    """
    grids, modalities, parts, negative = [], set(), set(), False
    for volume in volumes:
        grids.append(working_grid(volume.grid, ()))
        modalities.add(volume.modality)
        parts.add(_body_part(volume))
        negative |= _mostly_negative(volume)
    chosen = spacing
    if chosen is None:
        steps = np.maximum(np.median([grid.spacing for grid in grids], axis=0), FINEST)
        if fast:
            steps[np.argsort(steps, kind="stable")[:2]] *= 2
        chosen = (round(float(steps[0]), 3), round(float(steps[1]), 3), round(float(steps[2]), 3))
    shapes = [working_grid(grid, chosen).shape for grid in grids]
    return State(
        spacing=chosen,
        shape=tuple(int(n) for n in np.max(shapes, axis=0)),
        resolution="fast" if fast else "full",
        modalities=tuple(sorted(modalities - {""})),
        body_parts=tuple(sorted(parts - {""})),
        thickest=round(max(max(grid.spacing) for grid in grids), 3),
        extent=round(max(grid.shape[2] * grid.spacing[2] for grid in grids), 1),
        negative=negative,
    )


def compared(volume: Volume, state: State) -> list[str]:
    """How a volume differs from the training volumes, a line each."""
    lines = []
    known = ", ".join(state.modalities) or ("MR" if volume.modality not in ("", "MR") else "")
    if volume.modality and known and volume.modality not in known.split(", "):
        lines.append(f"modality {volume.modality}, in the training data {known}")
    part = _body_part(volume)
    if part and state.body_parts and part not in state.body_parts:
        lines.append(f"body part {part}, in the training data {', '.join(state.body_parts)}")
    grid = working_grid(volume.grid, ())
    if state.thickest and max(grid.spacing) > SIMILAR * state.thickest:
        lines.append(f"slices {max(grid.spacing):.3g} mm apart, in the training data up to {state.thickest:.3g} mm")
    extent = grid.shape[2] * grid.spacing[2]
    if state.extent and extent > SIMILAR * state.extent:
        lines.append(f"{extent:.0f} mm from head to foot, in the training data up to {state.extent:.0f} mm")
    if not state.negative and _mostly_negative(volume):
        lines.append("values below zero, as the air of CT has and MR has not")
    return lines


def merged(states: Sequence[State]) -> State:
    """The state of an ensemble: what any member's training volumes had; each member keeps its own grid."""
    first = states[0]
    return State(
        spacing=first.spacing,
        shape=first.shape,
        resolution=first.resolution,
        modalities=tuple(sorted({modality for state in states for modality in state.modalities})),
        body_parts=tuple(sorted({part for state in states for part in state.body_parts})),
        thickest=max(state.thickest for state in states),
        extent=max(state.extent for state in states),
        negative=any(state.negative for state in states),
    )


def _mostly_negative(volume: Volume) -> bool:
    """Whether at least a tenth of the values lie below zero; resampled MR has a few."""
    return float(np.mean(volume.values[::2, ::2, ::2] < 0)) >= 0.1


def _body_part(volume: Volume) -> str:
    return str(volume.facts.get("BodyPartExamined", "")).strip().upper()
