"""What a model keeps of its training studies, and how a new study differs from them."""

from collections.abc import Iterable, Sequence

import numpy as np

from transect.apps.petct.config import State
from transect.data_adapters.petct.study import Study
from transect.data_adapters.volume.identity import pseudonym

SIMILAR = 1.5
"""Factor by which slices may be farther apart or nearer, and wider or narrower, than in training without a warning."""


def learned(studies: Iterable[Study], patients: Iterable[str]) -> State:
    """The state after training studies are seen, one at a time.

    Args:
        studies: Those whose geometry is read.
        patients: What all patients are called.
    """
    tracers, centres, distances, widths = set(), set(), [], []
    for study in studies:
        tracers.add(study.tracer)
        centres.add(study.centre)
        distances.append(slice_distance(study))
        widths.append(field_of_view(study))
    return State(
        tracers=tuple(sorted(tracers - {""})),
        centres=tuple(sorted(centres - {""})),
        slice_distance=(round(min(distances), 3), round(max(distances), 3)),
        field_of_view=(round(min(widths), 1), round(max(widths), 1)),
        patients=tuple(sorted({pseudonym(patient) for patient in patients})),
    )


def compared(study: Study, state: State) -> list[str]:
    """How a study differs from the training studies, a line each; another hospital alone is a note."""
    lines = []
    if study.tracer and state.tracers and study.tracer not in state.tracers:
        lines.append(f"tracer {study.tracer}, in the training data {', '.join(state.tracers)}")
    if line := _outside("slices {} mm apart", slice_distance(study), state.slice_distance):
        lines.append(line)
    if line := _outside("slices {} mm wide", field_of_view(study), state.field_of_view):
        lines.append(line)
    if study.patient and pseudonym(study.patient) in state.patients:
        lines.append("the model was trained on this patient: the result does not tell how it does on new patients")
    if study.centre and state.centres and study.centre not in state.centres:
        lines.append(f"note: no training study is from {study.centre}")
    return lines


def merged(states: Sequence[State], threshold: float) -> State:
    """The state of an ensemble: what any member's training studies had.

    The probabilities that it averages are calibrated already.

    Args:
        states: Of the members.
        threshold: Of the ensemble.
    """
    return State(
        threshold=threshold,
        tracers=tuple(sorted({tracer for state in states for tracer in state.tracers})),
        centres=tuple(sorted({centre for state in states for centre in state.centres})),
        slice_distance=_range([state.slice_distance for state in states]),
        field_of_view=_range([state.field_of_view for state in states]),
        patients=tuple(sorted({patient for state in states for patient in state.patients})),
    )


def slice_distance(study: Study) -> float:
    """Mean distance of the slices, mm; 0 of a single slice."""
    count = len(study.positions)
    return float(np.ptp(study.positions)) / (count - 1) if count > 1 else 0.0


def field_of_view(study: Study) -> float:
    """Width of the slices, mm: what is resized to the network's input."""
    grid = study.pet.grid
    return grid.shape[0] * grid.spacing[0]


def _outside(text: str, found: float, known: tuple[float, ...]) -> str:
    if not known or known[0] / SIMILAR <= found <= known[1] * SIMILAR:
        return ""
    low, high = (f"{value:.3g}" for value in known)
    return f"{text.format(f'{found:.3g}')}, in the training data {low if low == high else f'{low} to {high}'} mm"


def _range(pairs: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    values = [value for pair in pairs for value in pair]
    return (min(values), max(values)) if values else ()
