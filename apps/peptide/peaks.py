"""Peaks as the model reads them."""

import warnings

import numpy as np
from numpy.typing import NDArray

from apps.peptide.config import PeaksConfig
from data_adapters.peptide.spectrum import Spectrum


def model_peaks(spectrum: Spectrum, config: PeaksConfig) -> NDArray[np.float32]:
    """The most intense peaks, `(peaks, 2)` float32: m/z in Th and root intensity, of norm 1 over the spectrum.

    By spectrum_utils, in the order of the reference. Where nothing is left there is one peak of m/z 0 and intensity 1.

    Source: RankNovo's processing of peaks (spec a.3).
    """
    from spectrum_utils.spectrum import MsmsSpectrum

    processed = MsmsSpectrum(
        str(spectrum.index), spectrum.precursor_mz, spectrum.charge, spectrum.mz, spectrum.intensity
    ).set_mz_range(config.min_mz, config.max_mz)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of spectra that lose all their peaks on the way
        if len(processed.mz) and config.remove_precursor:
            processed = processed.remove_precursor_peak(config.remove_precursor, "Da")
        if len(processed.mz):
            processed = processed.filter_intensity(0.0, config.count)
    intensity = np.sqrt(processed.intensity.astype(np.float64))
    norm = float(np.linalg.norm(intensity))
    if not norm:
        return np.array([[0, 1]], np.float32)
    return np.stack([processed.mz, intensity / norm], 1).astype(np.float32)
