"""Amino acid matches between a predicted peptide and its label, as defined by DeepNovo and Casanovo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.data_adapters.peptide.peptide import Peptide


@dataclass(frozen=True)
class Rule:
    """Tolerances for matching two amino acids, in Da, or in ppm if `relative`; both must hold.

    `residue` is for the masses of the amino acids, `sum` for the cumulative masses up to and including them.
    """

    residue: float
    sum: float
    relative: bool


DALTON = Rule(0.1, 0.5, relative=False)
"""Of DeepNovo and Casanovo: K matches Q (0.036 Da apart), and F matches oxidised M (0.033 Da)."""
STRICT = Rule(20.0, 50.0, relative=True)
"""Of ProteoBench, in ppm: residues that are resolved at high resolution count as different."""


def residue_matches(predicted: Peptide, label: Peptide, rule: Rule = DALTON) -> NDArray[np.bool_]:
    """Whether each amino acid matches; the peptide is right if all do.

    Amino acids are paired from the N-terminus up to the first mismatch, then from the C-terminus. An N-terminal
    modification counts as an amino acid.

    Returns:
        bool, of the length of the longer peptide. A pair is at the larger of its two indices.

    Source: Tran et al. (2017), PNAS; `aa_match` of Casanovo with the mode "best".
    """
    matches = np.zeros(max(len(predicted.masses), len(label.masses)), np.bool_)
    masses = np.array(predicted.masses, np.float64), np.array(label.masses, np.float64)
    _pair(*masses, matches, True, 0, rule.residue, rule.sum, rule.relative)
    if not matches.all():
        _pair(*masses, matches, False, int(matches.argmin()), rule.residue, rule.sum, rule.relative)
    return matches


@compiled
def _pair(
    predicted: NDArray[np.float64],
    label: NDArray[np.float64],
    matches: NDArray[np.bool_],
    forward: bool,
    stop: int,
    residue: float,
    sum_: float,
    relative: bool,
) -> None:
    """Pair both peptides from one end, down to index `stop`, and set `matches` for each pair."""
    step = 1 if forward else -1
    i, j = (0, 0) if forward else (len(predicted) - 1, len(label) - 1)
    before_i = before_j = 0.0
    while stop <= i < len(predicted) and stop <= j < len(label):
        up_to_i, up_to_j = before_i + predicted[i], before_j + label[j]
        paired = _near(up_to_i, up_to_j, sum_, relative)
        if paired:
            matches[max(i, j)] = _near(predicted[i], label[j], residue, relative)
        # If unpaired, advance the one of the smaller cumulative mass.
        if paired or up_to_i < up_to_j:
            i, before_i = i + step, up_to_i
        if paired or up_to_i >= up_to_j:
            j, before_j = j + step, up_to_j


@compiled
def _near(mass: float, reference: float, tolerance: float, relative: bool) -> bool:
    return abs(mass - reference) < (tolerance * 1e-6 * abs(reference) if relative else tolerance)
