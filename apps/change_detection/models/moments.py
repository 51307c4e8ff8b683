"""Weighted mean and covariance of a stream of pixels."""

import numpy as np


class Moments:
    """Sums of weights, values and products, from which mean and covariance follow.

    Args:
        origin: a value near the mean of each channel, `(channels,)`, so that the products do not cancel.
    """

    def __init__(self, origin: np.ndarray) -> None:
        self.origin = origin.astype(np.float64)
        self._weight = 0.0
        self._sum = np.zeros(len(origin))
        self._products = np.zeros((len(origin), len(origin)))

    def add(self, pixels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add `(channels, n)` float64 pixels with their `(n,)` weights, 1 by default."""
        centred = pixels - self.origin[:, None]
        weighted = centred if weights is None else centred * weights
        self._weight += centred.shape[1] if weights is None else float(weights.sum())
        self._sum += weighted.sum(axis=1)
        self._products += weighted @ centred.T

    @property
    def mean(self) -> np.ndarray:
        """`(channels,)` float64."""
        return np.asarray(self.origin + self._sum / self._weight)

    @property
    def covariance(self) -> np.ndarray:
        """`(channels, channels)` float64, of the population."""
        shift = self._sum / self._weight
        return np.asarray(self._products / self._weight - np.outer(shift, shift))
