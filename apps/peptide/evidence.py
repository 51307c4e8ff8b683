"""What a spectrum shows of a candidate, residue by residue."""

import math

import numpy as np
from numpy.typing import NDArray

from apps.peptide.compiled import compiled
from apps.peptide.fragments import AMMONIA, CARBON_MONOXIDE
from data_adapters.peptide.peptide import PROTON, WATER, Peptide
from data_adapters.peptide.spectrum import Spectrum

IONS = 10
"""Kinds of fragments that are looked for at a cleavage."""
WHOLE = 6
"""What is told of a candidate as a whole, at its start token."""
CHANNELS = 2 * (IONS + 2) + WHOLE
"""Numbers at each token: those of the cleavages on either side, then those of the whole."""


def evidence(
    spectrum: Spectrum, peptide: Peptide, tolerance_ppm: float, isotopes: int, precursor_tolerance_ppm: float
) -> NDArray[np.float32]:
    """Which fragments of `peptide` are in `spectrum`, and how intense they are.

    Args:
        spectrum: m/z ascending.
        peptide: the candidate.
        tolerance_ppm: of fragments.
        isotopes: carbon 13 atoms that the precursor may have had.
        precursor_tolerance_ppm: of the precursor.

    Returns:
        (1 + elements, CHANNELS) float32. Row 0 is the start token's. At a cleavage: root intensity, relative to the
        base peak, of b, y, b with two charges, y with two charges (both for precursors of three charges and more), a,
        b - H2O, b - NH3, y - H2O, y - NH3 and the isotope of y, then 1 where b and where y are there at all.
    """
    root = np.sqrt(spectrum.intensity.astype(np.float64) / max(float(spectrum.intensity.max(initial=0)), 1e-30))
    masses = np.array(peptide.masses, np.float64)
    out = np.zeros((1 + len(masses), CHANNELS), np.float32)
    first = 1 if peptide.residues[0].endswith("-") else 0
    explained, seen = _fill(out, spectrum.mz, root, masses, first, spectrum.charge, tolerance_ppm)
    error = spectrum.mass_error_ppm(peptide, isotopes) / precursor_tolerance_ppm
    cleavages = max(len(masses) - first - 1, 1)
    out[0, -WHOLE:] = (
        explained / max(root.sum(), 1e-30),
        seen / (2 * cleavages),
        math.tanh(error),
        abs(math.tanh(error)),
        float(abs(error) <= 1),
        min(len(masses) / 30, 2),
    )
    return out


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
            out[index + 1, IONS + 2 + ion] = best
            out[index + 2, ion] = best
            if ion < 2 and best > 0:
                seen += 1
                out[index + 1, 2 * IONS + 2 + ion] = 1
                out[index + 2, IONS + ion] = 1
    return (root * used).sum(), seen
