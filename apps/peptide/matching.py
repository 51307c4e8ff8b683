"""Which amino acids of a predicted peptide are right, by the rule of DeepNovo as Casanovo has it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.data_adapters.peptide.peptide import Peptide


@dataclass(frozen=True)
class Rule:
    """When two amino acids are the same: both differences must be below these, in Da, or in ppm if `relative`.

    `residue` is of the amino acids themselves, `sum` of the masses from the end of the peptide up to and with them.
    """

    residue: float
    sum: float
    relative: bool


DALTON = Rule(0.1, 0.5, relative=False)
"""Of DeepNovo and Casanovo: K counts as Q (0.036 Da away), and F as oxidised M (0.033 Da)."""
STRICT = Rule(20.0, 50.0, relative=True)
"""Of ProteoBench, in ppm: what a spectrum of high resolution tells apart counts as different."""


def residue_matches(predicted: Peptide, label: Peptide, rule: Rule = DALTON) -> NDArray[np.bool_]:
    """Whether each amino acid is right; the peptide is if all are.

    Amino acids are paired from the N-terminus on, then, behind the first that is wrong, from the C-terminus. A modified
    N-terminus is an amino acid of its own.

    Returns:
        bool, as many as the longer peptide has elements. A pair stands at the place of its element that is further
        from the N-terminus.

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
    """Walk along both peptides from one end and note in `matches` what is paired there, as far back as `stop`."""
    step = 1 if forward else -1
    i, j = (0, 0) if forward else (len(predicted) - 1, len(label) - 1)
    before_i = before_j = 0.0
    while stop <= i < len(predicted) and stop <= j < len(label):
        up_to_i, up_to_j = before_i + predicted[i], before_j + label[j]
        paired = _near(up_to_i, up_to_j, sum_, relative)
        if paired:
            matches[max(i, j)] = _near(predicted[i], label[j], residue, relative)
        # Unpaired, whichever is lighter goes on, so that the two stay side by side.
        if paired or up_to_i < up_to_j:
            i, before_i = i + step, up_to_i
        if paired or up_to_i >= up_to_j:
            j, before_j = j + step, up_to_j


@compiled
def _near(one: float, other: float, tolerance: float, relative: bool) -> bool:
    return abs(one - other) < (tolerance * 1e-6 * abs(other) if relative else tolerance)
