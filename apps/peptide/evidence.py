"""What a spectrum shows of a candidate, residue by residue."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.apps.peptide.fragments import IONS, ion_mz, match_peaks
from transect.apps.peptide.graph.likelihood import cleavage_peaks, cleavage_scores, levels_of, peptide_scores, tables
from transect.apps.peptide.graph.peaks import Peaks, strongest_peaks
from transect.apps.peptide.graph.residues import codes_of
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

KINDS = len(IONS)
"""Kinds of fragments that are looked for at a cleavage."""
SIDE = KINDS + 3
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
        explained, seen = _fill(row[1 + first :], spectrum.mz, root, masses, first, spectrum.charge, tolerance_ppm)
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
    """Fill in the cleavages of a peptide; return the root intensity that is explained and how many b and y are there.

    Of an ion, all peaks within the tolerance are explained, and the most intense of them counts.
    """
    prefix = np.cumsum(masses)
    targets = ion_mz(prefix[first:-1], prefix[-1])
    found = match_peaks(mz, targets, tolerance_ppm)
    seen = 0
    used = np.zeros(len(mz), np.bool_)
    for cleavage in range(len(found)):
        for ion in range(KINDS):
            target, low = targets[cleavage, ion], found[cleavage, ion]
            if low < 0 or (charge <= 2 and ion in (2, 3)):
                continue
            high, width = low + 1, tolerance_ppm * 1e-6 * target
            while low > 0 and target - mz[low - 1] <= width:
                low -= 1
            while high < len(mz) and mz[high] - target <= width:
                high += 1
            used[low:high] = True
            best = root[low:high].max()
            # The cleavage is behind the element of its row, and in front of that of the next one.
            out[cleavage, SIDE + ion] = best
            out[cleavage + 1, ion] = best
            if ion < 2 and best > 0:
                seen += 1
                out[cleavage, SIDE + KINDS + ion] = 1
                out[cleavage + 1, KINDS + ion] = 1
    return (root * used).sum(), seen
