"""Peak selection for the spectrum graph, with intensity levels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.data_adapters.peptide.peptide import CARBON_13, PROTON
from transect.data_adapters.peptide.spectrum import Spectrum

HEAVIEST = 10_000.0
"""Largest precursor mass that is sequenced, Da."""
CONSIDERED, KEPT = 1000, 150
"""Numbers of most intense peaks that are considered, and that are kept after removing isotopes."""
LIGHTEST = 50.0
"""Smallest m/z of a fragment, Th."""
RESIDUE = 111.1
"""Mean mass of a residue, Da; intensity ranks are divided by the estimated number of residues."""
RANKS: NDArray[np.float64] = np.array([0.35, 0.8, 1.6, 3.2])
"""Ranks per residue that separate the intensity levels."""
LEVELS = len(RANKS) + 2
"""Number of intensity levels: 0 is no peak, 1 the weakest, 5 the strongest."""


class Peaks(NamedTuple):
    """Peaks in ascending order: `mz` float64, Th, and `level` int64 from 1 to 5."""

    mz: NDArray[np.float64]
    level: NDArray[np.int64]


def strongest_peaks(spectrum: Spectrum, tolerance_ppm: float) -> Peaks:
    """Select the most intense peaks, without isotope peaks and the precursor.

    Levels depend on ranks only, so they are invariant to monotone transforms of intensity. Empty if the precursor is
    unknown or too heavy.
    """
    mass, charge = spectrum.precursor_mass, spectrum.charge
    if charge < 1 or not 0 < mass <= HEAVIEST:
        return Peaks(np.empty(0), np.empty(0, np.int64))
    mz, intensity = np.asarray(spectrum.mz, np.float64), np.asarray(spectrum.intensity, np.float64)
    precursor = spectrum.precursor_mz + np.arange(3)[:, None] * CARBON_13 / charge
    with np.errstate(invalid="ignore"):
        near = (np.abs(mz - precursor) <= tolerance_ppm * 1e-6 * precursor).any(0)
        usable = (mz >= LIGHTEST) & (mz <= mass + 2 * PROTON) & (intensity > 0) & np.isfinite(intensity) & ~near
    mz, intensity = mz[usable], intensity[usable]
    order = np.lexsort((mz, -intensity))[:CONSIDERED]
    order = order[np.argsort(mz[order], kind="stable")]
    mz, intensity = mz[order], intensity[order]
    monoisotopic = ~_isotopes(mz, intensity, 2 if charge > 1 else 1, tolerance_ppm)
    mz, intensity = mz[monoisotopic], intensity[monoisotopic]
    order = np.lexsort((mz, -intensity))[:KEPT]
    rank = np.arange(1, len(order) + 1) / (mass / RESIDUE)
    level = len(RANKS) + 1 - np.searchsorted(RANKS, rank)
    ascending = np.argsort(mz[order], kind="stable")
    return Peaks(mz[order][ascending], level[ascending])


@compiled
def _isotopes(
    mz: NDArray[np.float64], intensity: NDArray[np.float64], charges: int, tolerance_ppm: float
) -> NDArray[np.bool_]:
    """Whether each peak is the carbon-13 isotope of a more intense one."""
    isotope = np.zeros(len(mz), np.bool_)
    for i in range(len(mz)):
        width = tolerance_ppm * 1e-6 * mz[i]
        for charge in range(1, charges + 1):
            below = mz[i] - CARBON_13 / charge
            j = np.searchsorted(mz, below - width)
            while j < len(mz) and mz[j] <= below + width:
                # Above 1800 Da the carbon-13 peak of a fragment is as high as the monoisotopic one.
                share = 1.0 if mz[j] * charge < 1800 else 0.6
                isotope[i] |= intensity[j] > share * intensity[i]
                j += 1
    return isotope
