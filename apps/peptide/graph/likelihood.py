"""Log likelihood ratios of the peaks of a spectrum: cleavages of a peptide against noise."""

import json
import math
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.fragments import CARBON_MONOXIDE, IONS, ion_mz, match_peaks
from transect.apps.peptide.graph.peaks import Peaks
from transect.apps.peptide.graph.residues import ELEMENT_MASS, RESIDUES
from transect.data_adapters.peptide.peptide import PROTON, WATER

SCORED_IONS = IONS[:-1]
"""The fragment ions that are scored: all but the isotope, which `strongest_peaks` removes."""
MINOR = 2
"""Index of the first minor ion; minor ions are rarely observed without their parent b or y ion."""
PARENTS = (0, 1, 0, 1, 0, 0, 0, 1, 1)
"""The parent of each ion: 0 for the b ion, 1 for the y ion."""
DEVIATION = 0.3
"""Standard deviation of a true peak's and a true precursor's m/z, in tolerances."""
CLOSE = math.log(2 / (DEVIATION * math.sqrt(2 * math.pi)))
"""Log ratio of the normal density at zero error to the uniform density within the tolerance."""
REGIONS, STRENGTHS = 5, 3
"""Number of regions of a peptide, and of intensity classes of a parent ion."""
IMMONIUM_MZ: NDArray[np.float64] = (ELEMENT_MASS[: len(RESIDUES)] - CARBON_MONOXIDE + PROTON)[:, None]
"""m/z of the immonium ion of each residue, `(residues, 1)`, Th."""


class Tables(NamedTuple):
    """Natural logarithms, estimated by `transect.apps.peptide.graph.count`.

    Likelihood ratios of a peak level at the fragment of a cleavage to that at a random mass: `b` and `y`, `(5 regions,
    6 levels)`, and `minor`, `(7 ions, strength of the parent ion: none, weak, strong; absent or present)`. `immonium`,
    `(residues, absent or present)`: of a residue in the peptide to one that is not. `left` and `right`, `(elements, 3
    strengths)`: of the residue before and after a cleavage whose stronger ion is none, weak or strong, observed to
    expected by region. Probabilities, `(elements,)`: `inner`, of an element before the last position, and `last`, at
    the last position, which favours tryptic peptides.
    """

    b: NDArray[np.float64]
    y: NDArray[np.float64]
    minor: NDArray[np.float64]
    immonium: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    inner: NDArray[np.float64]
    last: NDArray[np.float64]


@cache
def tables(charge: int) -> Tables:
    """The tables for spectra of precursors of this charge."""
    stored = json.loads(resources.files("transect.apps.peptide.graph").joinpath("tables.json").read_text())
    minor = stored["minor_of_many_charges" if charge > 2 else "minor"]
    return Tables(*(np.array(minor if name == "minor" else stored[name], np.float64) for name in Tables._fields))


def cleavage_peaks(masses: NDArray[np.float64], total: float, peaks: Peaks, tolerance_ppm: float) -> NDArray[np.int64]:
    """Match the `SCORED_IONS` of cleavages to peaks; int64 `(cleavages, 9)`, -1 for none.

    Args:
        masses: prefix masses of the cleavages, Da.
        total: mass of all residues, Da.
        peaks: of the spectrum.
        tolerance_ppm: of fragment ions.
    """
    return match_peaks(peaks.mz, ion_mz(masses, total), tolerance_ppm)[:, : len(SCORED_IONS)]


def levels_of(matched: NDArray[np.int64], peaks: Peaks) -> NDArray[np.int64]:
    """The intensity level of each matched peak, 0 without a match."""
    return np.append(peaks.level, 0)[matched]


def immonium_seen(peaks: Peaks, tolerance_ppm: float) -> NDArray[np.bool_]:
    """Whether there is a peak at the immonium ion of each residue, `(residues,)`."""
    return match_peaks(peaks.mz, IMMONIUM_MZ, tolerance_ppm)[:, 0] >= 0


def cleavage_scores(
    masses: NDArray[np.float64], total: float, levels: NDArray[np.int64], table: Tables
) -> NDArray[np.float64]:
    """Log likelihood ratio of the levels of each cleavage, cleavage over noise; level -1 is not scored."""
    scores = np.empty(len(masses))
    _score_all(masses, total, levels, table.b, table.y, table.minor, scores)
    return scores


def neighbour_scores(
    left: NDArray[np.int64] | None, right: NDArray[np.int64] | None, levels: NDArray[np.int64], table: Tables
) -> NDArray[np.float64]:
    """Log likelihood ratios of the residues before and after cleavages with ions of these levels, where known."""
    strength = np.minimum((levels[:, :MINOR].max(1, initial=0) + 2) // 3, STRENGTHS - 1)
    scores = np.zeros(len(levels))
    if left is not None:
        scores += table.left[left, strength]
    if right is not None:
        scores += table.right[right, strength]
    return scores


def peptide_scores(
    rows: NDArray[np.int64], mass: float, peaks: Peaks, tolerance_ppm: float, precursor_ppm: float, table: Tables
) -> NDArray[np.float64]:
    """Log likelihood ratio of each peptide `(peptides, length)`, codes padded with -1, plus log prior of its residues.

    Fragments are computed from the peptide's own mass. A peak that matches several fragments counts once: for a y ion,
    else a b ion, else another.

    Args:
        rows: codes of the peptides' elements.
        mass: of the neutral precursor, Da.
        peaks: of the spectrum.
        tolerance_ppm: tolerance of fragments.
        precursor_ppm: tolerance of the precursor.
        table: likelihood tables.
    """
    scores = np.empty(len(rows))
    _score_peptides(rows, mass, peaks.mz, peaks.level, tolerance_ppm, precursor_ppm, ELEMENT_MASS, *table, scores)
    return scores


@compiled
def region_of(prefix: float, total: float) -> int:
    """The region of a cleavage: 0 within the first residue or two, 4 within the last, 1 to 3 the thirds between."""
    if prefix < 187.0:
        return 0
    if total - prefix < 187.0:
        return 4
    return 1 + min(int(3 * prefix / total), 2)


@compiled
def strength_of(level: int) -> int:
    """0 for no peak, 1 for a weak one, 2 for the strongest two levels."""
    return min((level + 2) // 3, 2)


@compiled
def _score_all(
    masses: NDArray[np.float64],
    total: float,
    levels: NDArray[np.int64],
    b: NDArray[np.float64],
    y: NDArray[np.float64],
    minor: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    for i in range(len(masses)):
        region = region_of(masses[i], total)
        scores[i] = b[region, levels[i, 0]] + y[region, levels[i, 1]]
        for ion in range(MINOR, len(SCORED_IONS)):
            if levels[i, ion] < 0:
                continue
            scores[i] += minor[ion - MINOR, strength_of(levels[i, PARENTS[ion]]), min(levels[i, ion], 1)]


@compiled
def claim(matched: NDArray[np.int64], peaks: int, level: NDArray[np.int64], levels: NDArray[np.int64]) -> None:
    """Set the levels of ions matched to the peaks `matched`, each peak used for one ion only; -1 where it is taken."""
    taken = np.zeros(peaks, np.bool_)
    for ion in (1, 0, 2, 3, 4, 5, 6, 7, 8):
        for i in range(len(matched)):
            peak = matched[i, ion]
            if peak < 0:
                levels[i, ion] = 0
            elif taken[peak]:
                # A b ion without a peak of its own counts as absent; a minor ion is not scored.
                levels[i, ion] = 0 if ion < MINOR else -1
            else:
                levels[i, ion] = level[peak]
                taken[peak] = True


@compiled
def _score_peptides(
    rows: NDArray[np.int64],
    mass: float,
    mz: NDArray[np.float64],
    level: NDArray[np.int64],
    ppm: float,
    precursor_ppm: float,
    element_mass: NDArray[np.float64],
    b: NDArray[np.float64],
    y: NDArray[np.float64],
    minor: NDArray[np.float64],
    immonium: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    inner: NDArray[np.float64],
    last: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    immonium_peaks = match_peaks(mz, IMMONIUM_MZ, ppm) >= 0
    for row in range(len(rows)):
        codes = rows[row][rows[row] >= 0]
        prefix = np.cumsum(element_mass[codes])
        total, cleavages = prefix[-1], len(codes) - 1
        targets = ion_mz(prefix[:-1], total)
        matched = match_peaks(mz, targets, ppm)
        levels, ion_scores = np.empty_like(matched), np.empty(cleavages)
        claim(matched, len(mz), level, levels)
        _score_all(prefix[:-1], total, levels, b, y, minor, ion_scores)
        score = ion_scores.sum() + inner[codes[:-1]].sum() + last[codes[-1]]
        for i in range(cleavages):
            strength = strength_of(max(levels[i, 0], levels[i, 1]))
            score += left[codes[i], strength] + right[codes[i + 1], strength]
            for ion in range(MINOR):
                if levels[i, ion] > 0:
                    deviation = (mz[matched[i, ion]] / targets[i, ion] - 1) / (DEVIATION * ppm * 1e-6)
                    score += CLOSE - 0.5 * deviation**2
        for residue in range(len(immonium)):
            if (codes == residue).any():
                score += immonium[residue, int(immonium_peaks[residue, 0])]
        scores[row] = score - 0.5 * ((mass / (total + WATER) - 1) / (DEVIATION * precursor_ppm * 1e-6)) ** 2
