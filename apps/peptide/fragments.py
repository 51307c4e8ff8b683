"""Where the fragments of a peptide would be in its spectrum."""

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.peptide import PROTON, WATER, Peptide

AMMONIA = 17.026549
"""Mass of ammonia, Da."""
CARBON_MONOXIDE = 27.994915
"""Mass of carbon monoxide, Da: an a ion is a b ion without it."""


def residue_masses(peptide: Peptide) -> NDArray[np.float64]:
    """Mass of each residue, Da, with that of a modified N-terminus in the first: peptides break between residues."""
    masses = np.array(peptide.masses, np.float64)
    modified = peptide.residues[0].endswith("-")
    if modified and len(masses) > 1:
        masses[1] += masses[0]
        return masses[1:]
    return masses


def fragment_mz(masses: NDArray[np.float64], charge: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m/z of the b and the y ions of each cleavage, from the N-terminus on: b_1 with y_(n-1), b_2 with y_(n-2), ...

    Args:
        masses: of the n residues, Da.
        charge: of the fragments.

    Returns:
        Two arrays of n - 1 values in Th.

    Source: Roepstorff and Fohlman (1984).
    """
    prefix = np.cumsum(masses)
    b = prefix[:-1] / charge + PROTON
    y = (prefix[-1] - prefix[:-1] + WATER) / charge + PROTON
    return b, y
