"""Peaks as the model reads them.

Written here because spectrum_utils, which the reference uses, compiles a class anew in every process: 17 CPU seconds
before the first spectrum.
"""

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide.config import PeaksConfig
from transect.data_adapters.peptide.peptide import PROTON
from transect.data_adapters.peptide.spectrum import Spectrum


def model_peaks(spectrum: Spectrum, config: PeaksConfig) -> NDArray[np.float32]:
    """The most intense peaks, `(peaks, 2)` float32: m/z in Th and root intensity, of norm 1 over the spectrum.

    Peaks outside the range of m/z and near the precursor, at any charge up to its own, go first. Where nothing
    is left there is one peak of m/z 0 and intensity 1.

    Source: RankNovo's processing of peaks (spec a.3).
    """
    mz, intensity = spectrum.mz, spectrum.intensity
    keep = (mz >= config.min_mz) & (mz <= config.max_mz) & (intensity > 0)
    if config.remove_precursor:
        for charge in range(1, spectrum.charge + 1):
            keep &= np.abs(mz - (spectrum.precursor_mass / charge + PROTON)) > config.remove_precursor
    mz, root = mz[keep], np.sqrt(intensity[keep].astype(np.float64))
    if not len(mz):
        return np.array([[0, 1]], np.float32)
    strongest = np.sort(np.argsort(-root, kind="stable")[: config.count])
    mz, root = mz[strongest], root[strongest]
    return np.stack([mz, root / np.linalg.norm(root)], 1).astype(np.float32)
