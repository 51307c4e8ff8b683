"""What a spectrum shows of a candidate, residue by residue."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.fragments import AMMONIA, CARBON_MONOXIDE
from transect.apps.peptide.graph.likelihood import cleavage_peaks, cleavage_scores, levels_of, peptide_scores, tables
from transect.apps.peptide.graph.peaks import Peaks, strongest_peaks
from transect.apps.peptide.graph.residues import codes_of
from transect.data_adapters.peptide.peptide import PROTON, WATER, Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

IONS = 10
"""Kinds of fragments that are looked for at a cleavage."""
SIDE = IONS + 3
"""Numbers of a cleavage: root intensities, whether b and y are there, and the log likelihood ratio."""
WHOLE = 8
"""What is told of a candidate as a whole, at its start token."""
CHANNELS = 2 * SIDE + WHOLE
"""Numbers at each token: those of the cleavages before and behind it, then those of the whole."""
RATIO_SCALE = 10.0
"""What likelihood ratios are divided by, to be about as large as the other numbers."""


def evidence(
    spectrum: Spectrum, peptides: Sequence[Peptide], tolerance_ppm: float, isotopes: int, precursor_tolerance_ppm: float
) -> NDArray[np.float32]:
    """Which fragments of each of `peptides` are in `spectrum`, how intense they are, and how likely that is.

    Args:
        spectrum: m/z ascending.
        peptides: one candidate or more.
        tolerance_ppm: of fragments.
        isotopes: carbon 13 atoms that the precursor may have had.
        precursor_tolerance_ppm: of the precursor.

    Returns:
        `(candidates, 1 + most elements, CHANNELS)` float32, zero behind the end. The first column is the start token's.
        Of a cleavage: root intensity, relative to the base peak, of b, y, b with two charges, y with two charges (both
        for precursors of three charges and more), a, b - H2O, b - NH3, y - H2O, y - NH3 and the isotope of y; 1 where b
        and where y are there; and the log likelihood ratio of `apps/peptide/graph`, of a cleavage over noise. Of the
        whole: share of the root intensity that is explained, share of b and y that are there, signed and absolute error
        of the precursor, whether that is within tolerance, length, log likelihood ratio and how far that is below the
        best of the list's.
    """
    root = np.sqrt(spectrum.intensity.astype(np.float64) / max(float(spectrum.intensity.max(initial=0)), 1e-30))
    strongest = strongest_peaks(spectrum, tolerance_ppm)
    out = np.zeros((len(peptides), 1 + max(len(peptide.residues) for peptide in peptides), CHANNELS), np.float32)
    for row, peptide in zip(out, peptides, strict=True):
        masses = np.array(peptide.masses, np.float64)
        first = 1 if peptide.residues[0].endswith("-") else 0
        explained, seen = _fill(row, spectrum.mz, root, masses, first, spectrum.charge, tolerance_ppm)
        cleavages, ratio = likelihood_ratios(peptide, strongest, spectrum.charge, tolerance_ppm)
        end = 1 + len(masses)
        row[1 + first : end - 1, 2 * SIDE - 1] = cleavages / RATIO_SCALE
        row[2 + first : end, SIDE - 1] = cleavages / RATIO_SCALE
        error = spectrum.mass_error_ppm(peptide, isotopes) / precursor_tolerance_ppm
        row[0, -WHOLE:] = (
            explained / max(root.sum(), 1e-30),
            seen / (2 * max(len(cleavages), 1)),
            math.tanh(error),
            abs(math.tanh(error)),
            float(abs(error) <= 1),
            min(len(masses) / 30, 2),
            ratio / RATIO_SCALE,
            0,
        )
    ratios = out[:, 0, -2]
    out[:, 0, -1] = ratios - ratios.max()
    return out


def likelihood_ratios(
    peptide: Peptide, peaks: Peaks, charge: int, tolerance_ppm: float
) -> tuple[NDArray[np.float64], float]:
    """The log likelihood ratio of each cleavage and of the peptide: their sum where it has unusual residues."""
    first = 1 if peptide.residues[0].endswith("-") else 0
    prefix = peptide.prefix_masses()
    if not len(peaks.mz):
        return np.zeros(max(len(prefix) - first - 1, 0)), 0.0
    table = tables(charge)
    found = levels_of(cleavage_peaks(prefix[first:-1], prefix[-1], peaks, tolerance_ppm), peaks)
    cleavages = cleavage_scores(prefix[first:-1], prefix[-1], found, table)
    codes = codes_of(peptide)
    if codes is None:
        return cleavages, float(cleavages.sum())
    row = np.array([codes])
    return cleavages, float(peptide_scores(row, peptide.mass, peaks, tolerance_ppm, tolerance_ppm, table)[0])


@compiled
def _fill(
    out: NDArray[np.float32],
    mz: NDArray[np.float64],
    root: NDArray[np.float64],
    masses: NDArray[np.float64],
    first: int,
    charge: int,
    tolerance_ppm: float,
) -> tuple[float, int]:
    total = masses.sum()
    prefix = masses[:first].sum()
    seen = 0
    used = np.zeros(len(mz), np.bool_)
    at = np.empty(IONS)
    for index in range(first, len(masses) - 1):
        prefix += masses[index]
        b, y = prefix, total - prefix + WATER
        at[0], at[1] = b + PROTON, y + PROTON
        at[2], at[3] = (b / 2 + PROTON, y / 2 + PROTON) if charge > 2 else (0.0, 0.0)
        at[4] = b - CARBON_MONOXIDE + PROTON
        at[5], at[6] = b - WATER + PROTON, b - AMMONIA + PROTON
        at[7], at[8] = y - WATER + PROTON, y - AMMONIA + PROTON
        at[9] = y + 1.00335 + PROTON
        for ion in range(IONS):
            if at[ion] <= 0:
                continue
            width = at[ion] * tolerance_ppm * 1e-6
            best = 0.0
            peak = np.searchsorted(mz, at[ion] - width)
            while peak < len(mz) and mz[peak] <= at[ion] + width:
                best = max(best, root[peak])
                used[peak] = True
                peak += 1
            # The cleavage is behind element `index`, whose row is `index + 1`, and in front of the next one.
            out[index + 1, SIDE + ion] = best
            out[index + 2, ion] = best
            if ion < 2 and best > 0:
                seen += 1
                out[index + 1, SIDE + IONS + ion] = 1
                out[index + 2, IONS + ion] = 1
    return (root * used).sum(), seen
