"""IR-MAD: iteratively reweighted multivariate alteration detection."""

import numpy as np

from transect.apps.change_detection.models.statistical import StatisticalDetector, Variates, whitening


class IRMAD(StatisticalDetector):
    """Differences of the canonical variates of both dates, which no change of gain, offset or band order affects.

    With the canonical vectors a and b of the bands x and y of the dates, of unit variance and correlation rho, the
    variates are a^T (x - mean) - b^T (y - mean), which are uncorrelated and have the variance 2 (1 - rho). Where most
    pixels are identical rho approaches 1, and the noise of the difference, b^T noise b, is the smallest variance.

    Source: Nielsen, "The regularized iteratively reweighted MAD method for change detection in multi- and
    hyperspectral data" (2007).
    """

    def variates(self, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray) -> Variates:
        bands = len(noise)
        whiten, other_whiten = (
            whitening(covariance[part, part], mean[part]) for part in (slice(bands), slice(bands, None))
        )
        left, correlations, right = np.linalg.svd(whiten.T @ covariance[:bands, bands:] @ other_whiten)
        correlations = np.minimum(correlations, 1)
        count = len(correlations)
        first, second = (whiten @ left[:, :count]).T, (other_whiten @ right[:count].T).T
        variance = np.maximum(2 * (1 - correlations), np.einsum("ki,ij,kj->k", second, noise, second))
        return Variates(np.concatenate([first, -second], axis=1), mean, variance, correlations)
