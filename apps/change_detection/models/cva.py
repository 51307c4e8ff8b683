"""Change vector analysis: the length of the vector between the values of a pixel at two dates."""

import numpy as np

from transect.apps.change_detection.models.statistical import RANK, StatisticalDetector, Variates, whitening


class CVA(StatisticalDetector):
    """The change vector y - mean - gain (x - mean), its length measured in standard deviations without change.

    The gain of a band is the ratio of its standard deviations at the two dates, which evens out illumination. In the
    coordinates in which the noise is white the principal axes of the change vector are uncorrelated, and 1 is the
    smallest variance.

    Source: Malila, "Change vector analysis: an approach for detecting forest changes with Landsat" (1980).
    """

    def variates(self, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray) -> Variates:
        bands = len(noise)
        before, after = np.sqrt(np.diag(covariance)[:bands]), np.sqrt(np.diag(covariance)[bands:])
        gain = np.divide(after, before, out=np.zeros(bands), where=before > 0)
        difference = np.concatenate([-np.diag(gain), np.eye(bands)], axis=1)
        white = whitening(noise, np.zeros(bands))
        spread, axes = np.linalg.eigh(white.T @ difference @ covariance @ difference.T @ white)
        if spread.max() > 0:  # else no pixel differs, and all axes are as good
            spread, axes = spread[spread > RANK * spread.max()], axes[:, spread > RANK * spread.max()]
        scale = before * after
        together = np.diag(covariance[:bands, bands:])
        correlations = np.divide(together, scale, out=np.zeros(bands), where=scale > 0)
        return Variates((white @ axes).T @ difference, mean, np.maximum(spread, 1), correlations)
