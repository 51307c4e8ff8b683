"""What makes a spectrum usable, the same for every format."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectrum import Spectrum

NO_PEAKS: NDArray[Any] = np.empty(0)


def checked_spectrum(
    index: int,
    *,
    scan: str = "",
    title: str = "",
    precursor_mz: float = math.nan,
    charges: Sequence[int] = (),
    retention_time: float = math.nan,
    mz: NDArray[Any] = NO_PEAKS,
    intensity: NDArray[Any] = NO_PEAKS,
    label: Peptide | None = None,
    problem: str = "",
) -> Spectrum:
    """The spectrum that a file tells of, its peaks in order of m/z, with the first reason why it cannot be used.

    `charges` are those that the file finds possible. `mz` and `intensity` are real numbers of any kind, one of each
    for a peak. `problem` is a reason that the reader found itself.
    """
    with np.errstate(over="ignore"):
        mz, intensity = np.array(mz, np.float64), np.array(intensity, np.float32)
    precursor_mz = precursor_mz if math.isfinite(precursor_mz) and precursor_mz > 0 else math.nan
    charge = charges[0] if len(set(charges)) == 1 and charges[0] > 0 else 0
    problem = problem or _precursor_problem(precursor_mz, charges) or _peaks_problem(mz, intensity)
    if not problem and (mz[1:] < mz[:-1]).any():
        order = np.argsort(mz, kind="stable")
        mz, intensity = mz[order], intensity[order]
    if problem:
        mz, intensity = np.empty(0, np.float64), np.empty(0, np.float32)
    return Spectrum(index, scan, title, precursor_mz, charge, retention_time, mz, intensity, label, problem)


def _precursor_problem(precursor_mz: float, charges: Sequence[int]) -> str:
    if math.isnan(precursor_mz):
        return "no precursor m/z"
    if not any(charges):
        return "no charge"
    if len(set(charges)) > 1:
        return f"several possible charges: {', '.join(map(str, charges[:8]))}"
    return "" if charges[0] > 0 else "negative charge"


def _peaks_problem(mz: NDArray[np.float64], intensity: NDArray[np.float32]) -> str:
    if len(mz) != len(intensity):
        return f"{len(mz)} m/z but {len(intensity)} intensities"
    if not len(mz):
        return "no peaks"
    if not (np.isfinite(mz).all() and np.isfinite(intensity).all()):
        return "a peak that is not a finite number"
    if mz.min() <= 0 or intensity.min() < 0:
        return "a peak below zero"
    return ""
