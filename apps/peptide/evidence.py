"""Evidence features: fragment ions of a candidate in the spectrum, per residue and for the whole candidate."""

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
"""Number of fragment ion types per cleavage."""
SIDE = KINDS + 3
"""Features of a cleavage: root intensities, presence of b and y, and the log likelihood ratio."""
WHOLE = 8
"""Number of features of the whole candidate, at its start token."""
CHANNELS = 2 * SIDE + WHOLE
"""Features of each token: of the cleavages before and after it, then of the whole candidate."""
RATIO_SCALE = 10.0
"""Scale of likelihood ratios relative to the other features."""


def evidence(
    spectrum: Spectrum, peptides: Sequence[Peptide], tolerance_ppm: float, isotopes: int, precursor_tolerance_ppm: float
) -> NDArray[np.float32]:
    """Matched fragment ions of each of `peptides` in `spectrum`: intensities and likelihood ratios.

    Args:
        spectrum: m/z ascending.
        peptides: at least one candidate.
        tolerance_ppm: of fragments.
        isotopes: carbon 13 atoms that the precursor may have had.
        precursor_tolerance_ppm: of the precursor.

    Returns:
        `(candidates, 1 + most elements, CHANNELS)` float32, zero after the end. The first column is the start token.
        Per cleavage: root intensity, relative to the base peak, of b, y, b with two charges, y with two charges (both
        for precursors of three charges and more), a, b - H2O, b - NH3, y - H2O, y - NH3 and the isotope of y; flags of
        b and y being matched; and the log likelihood ratio of `apps/peptide/graph`, cleavage over noise. Per candidate:
        fraction of the root intensity explained, fraction of b and y matched, signed and absolute precursor error,
        whether that is within tolerance, length, log likelihood ratio and its difference to the best candidate's.
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
    """The log likelihood ratio of each cleavage and of the peptide, for unknown residues the sum of the former."""
    first = 1 if peptide.residues[0].endswith("-") else 0
    prefix = peptide.prefix_masses()
    if not len(peaks.mz):
        return np.zeros(max(len(prefix) - first - 1, 0)), 0.0
    table = tables(charge)
    levels = levels_of(cleavage_peaks(prefix[first:-1], prefix[-1], peaks, tolerance_ppm), peaks)
    cleavages = cleavage_scores(prefix[first:-1], prefix[-1], levels, table)
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
    """Fill in the cleavages of a peptide; return the root intensity explained and the number of b and y matched.

    All peaks within the tolerance of an ion count as explained; its intensity is that of the most intense one.
    """
    prefix = np.cumsum(masses)
    targets = ion_mz(prefix[first:-1], prefix[-1])
    nearest = match_peaks(mz, targets, tolerance_ppm)
    matched = 0
    used = np.zeros(len(mz), np.bool_)
    for cleavage in range(len(nearest)):
        for ion in range(KINDS):
            target, low = targets[cleavage, ion], nearest[cleavage, ion]
            if low < 0 or (charge <= 2 and ion in (2, 3)):
                continue
            high, width = low + 1, tolerance_ppm * 1e-6 * target
            while low > 0 and target - mz[low - 1] <= width:
                low -= 1
            while high < len(mz) and mz[high] - target <= width:
                high += 1
            used[low:high] = True
            best = root[low:high].max()
            # The cleavage follows the element of its own row and precedes that of the next row.
            out[cleavage, SIDE + ion] = best
            out[cleavage + 1, ion] = best
            if ion < 2 and best > 0:
                matched += 1
                out[cleavage, SIDE + KINDS + ion] = 1
                out[cleavage + 1, KINDS + ion] = 1
    return (root * used).sum(), matched
