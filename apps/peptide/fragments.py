"""Theoretical fragment ions of a peptide and their matching to the peaks of a spectrum."""

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.compiled import compiled
from transect.data_adapters.peptide.peptide import CARBON_13, PROTON, WATER, Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

AMMONIA = 17.026549
"""Mass of ammonia, Da."""
CARBON_MONOXIDE = 27.994915
"""Mass of carbon monoxide, Da: an a ion is a b ion without it."""
IONS = ("b", "y", "b++", "y++", "a", "b-H2O", "b-NH3", "y-H2O", "y-NH3", "y+13C")
"""Fragment ions of a cleavage: singly charged except for b++ and y++; the last has an atom of carbon 13."""
FRAGMENT_TOLERANCE_PPM = 20.0
"""Default tolerance of fragment matching; 0.02 Da performs worse: see `baselines.matched_ions`."""


def residue_masses(peptide: Peptide) -> NDArray[np.float64]:
    """Mass of each residue, Da; that of an N-terminal modification is added to the first residue."""
    masses = np.array(peptide.masses, np.float64)
    modified = peptide.residues[0].endswith("-")
    if modified and len(masses) > 1:
        masses[1] += masses[0]
        return masses[1:]
    return masses


def fragment_mz(masses: NDArray[np.float64], charge: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m/z of the b and the y ions of each cleavage from the N-terminus: b_1 with y_(n-1), b_2 with y_(n-2), ...

    Args:
        masses: of the n residues, Da.
        charge: of the fragments, 1 or 2.

    Returns:
        Two arrays of n - 1 values in Th.
    """
    prefix = np.cumsum(masses)
    mz = ion_mz(prefix[:-1], prefix[-1])
    b = IONS.index("b" if charge == 1 else "b++")
    return mz[:, b], mz[:, b + 1]


@compiled
def ion_mz(prefix: NDArray[np.float64], total: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """m/z of the `IONS` of cleavages, `(cleavages, 10)`, Th.

    Args:
        prefix: Mass of the residues before each cleavage, `(cleavages,)`, Da.
        total: Mass of all residues of the peptide, or of each cleavage's, `(cleavages,)`, Da.

    Source: Roepstorff and Fohlman (1984).
    """
    mz = np.empty((len(prefix), len(IONS)))
    suffix = total - prefix + WATER
    for i in range(len(prefix)):
        b, y = prefix[i], suffix[i]
        mz[i, 0], mz[i, 1] = b + PROTON, y + PROTON
        mz[i, 2], mz[i, 3] = b / 2 + PROTON, y / 2 + PROTON
        mz[i, 4] = b - CARBON_MONOXIDE + PROTON
        mz[i, 5], mz[i, 6] = b - WATER + PROTON, b - AMMONIA + PROTON
        mz[i, 7], mz[i, 8] = y - WATER + PROTON, y - AMMONIA + PROTON
        mz[i, 9] = y + CARBON_13 + PROTON
    return mz


@compiled
def match_peaks(mz: NDArray[np.float64], targets: NDArray[np.float64], tolerance_ppm: float) -> NDArray[np.int64]:
    """The peak nearest to each target, the lighter one in a tie; -1 where none is within the tolerance.

    Args:
        mz: of the peaks, ascending, Th.
        targets: `(cleavages, ions)`, Th.
        tolerance_ppm: largest distance, relative to the target.

    Returns:
        int64 indices into `mz`, of the targets' shape.
    """
    nearest = np.empty(targets.shape, np.int64)
    for i in range(targets.shape[0]):
        for ion in range(targets.shape[1]):
            target = targets[i, ion]
            above = np.searchsorted(mz, target)
            best, distance = -1, tolerance_ppm * 1e-6 * target
            if above < len(mz) and mz[above] - target <= distance:
                best, distance = above, mz[above] - target
            if above > 0 and target - mz[above - 1] <= distance:
                best = above - 1
            nearest[i, ion] = best
    return nearest


def matched_fragments(
    spectrum: Spectrum, peptide: Peptide, tolerance_ppm: float = FRAGMENT_TOLERANCE_PPM
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Match the b and y ions of a peptide to a spectrum, doubly charged ones too if the precursor charge is 3 or more.

    Returns:
        matched: bool `(charges, 2, cleavages)`, b ions before y ions, in the order of `fragment_mz`.
        nearest: int64 of the same shape, the index of the peak nearest to each fragment, -1 without peaks.
    """
    masses = residue_masses(peptide)
    charges = (1, 2) if spectrum.charge >= 3 else (1,)
    targets = np.concatenate([fragment_mz(masses, charge) for charge in charges])
    nearest, matched = (match_peaks(spectrum.mz, targets, tolerance) for tolerance in (np.inf, tolerance_ppm))
    shape = len(charges), 2, len(masses) - 1
    return matched.reshape(shape) >= 0, nearest.reshape(shape)


def explained(spectrum: Spectrum, peptide: Peptide, tolerance_ppm: float = FRAGMENT_TOLERANCE_PPM) -> float:
    """The fraction of a spectrum's intensity explained by b and y ions of a peptide, each peak counted once."""
    matched, nearest = matched_fragments(spectrum, peptide, tolerance_ppm)
    whole = float(spectrum.intensity.sum(dtype=np.float64))
    part = float(spectrum.intensity[np.unique(nearest[matched])].sum(dtype=np.float64))
    return part / whole if whole else 0.0
