"""Change detectors that need no training: the distribution of the differences without change, found in the scene."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import chdtrc, chdtri
from torch import nn

from transect.apps.change_detection.models.config import StatisticalConfig
from transect.apps.change_detection.models.moments import Moments
from transect.apps.change_detection.models.noise import SIGNIFICANCE, noise_covariance
from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, Strip
from transect.data_adapters.change_detection.scene import Scene

PIXELS_PER_CHANNEL = 10
"""Valid pixels for each channel of both dates, without which a covariance says nothing."""

RANK, CONSTANT = 1e-9, 1e-6
"""Variance of a principal component, as a share of the largest, below which it is left out; and standard deviation of
a constant channel, as a share of its mean."""


class Variates(NamedTuple):
    """Linear combinations of the channels of both dates that are 0 on average without change.

    Args:
        matrix: `(variates, 2 * bands)`, for the first date's bands and then the second's.
        mean: of the channels without change, `(2 * bands,)`.
        variance: of each variate without change, `(variates,)`, at least that of the noise.
        correlations: between the dates, one a variate; they are the same from one iteration to the next at the end.
    """

    matrix: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    correlations: np.ndarray

    def statistic(self, pixels: np.ndarray) -> np.ndarray:
        """The sum of the squared variates over their variances, for `(2 * bands, n)` pixels.

        Without change it has a chi-square distribution with as many degrees of freedom as there are variates.
        """
        scaled = self.matrix / np.sqrt(self.variance)[:, None]
        return np.asarray(((scaled @ (pixels - self.mean[:, None])) ** 2).sum(axis=0))

    def unchanged(self, pixels: np.ndarray) -> np.ndarray:
        """The probability, without change, of a larger statistic, for `(2 * bands, n)` pixels."""
        return np.asarray(chdtrc(len(self.variance), self.statistic(pixels)))


@dataclass(frozen=True)
class Fitted:
    """The variates of a scene, and how they were found, in one line."""

    variates: Variates
    note: str


class StatisticalDetector(nn.Module, ABC):
    """A detector without parameters, which sees a whole scene and not tiles of it.

    Each pixel is weighted by its probability of no change, from which mean and covariance of both dates follow, from
    these the variates, and from these the probabilities, until the correlations between the dates stay the same.
    """

    def __init__(self, config: StatisticalConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def variates(self, mean: np.ndarray, covariance: np.ndarray, noise: np.ndarray) -> Variates:
        """The variates for weighted moments of both dates.

        Args:
            mean: `(2 * bands,)`.
            covariance: `(2 * bands, 2 * bands)`.
            noise: covariance of the noise of the second date minus the first, `(bands, bands)`.
        """

    def fit(self, scene: Scene) -> Fitted:
        """Read the scene once for each iteration; memory is bounded by a strip.

        Raises:
            BadInput: there are too few valid pixels, or no band varies at both dates.
        """
        windows = scene.sample_windows()
        samples = np.concatenate([_pixels(window) for window in windows], axis=1)
        if samples.shape[1] < PIXELS_PER_CHANNEL * len(samples):
            found, expected = f"{samples.shape[1]} valid in both dates", f"{PIXELS_PER_CHANNEL * len(samples)} or more"
            raise BadInput(scene.after[0], "pixels", found, expected, "check nodata and masks")
        noise = noise_covariance(windows, self.config.noise)
        origin, found_variates, change = samples.mean(axis=1), None, np.inf
        end = f"not converged after {self.config.iterations} iterations"
        for iteration in range(self.config.iterations):
            moments = Moments(origin)
            for strip in scene.strips():
                pixels = _pixels(strip)
                moments.add(pixels, None if found_variates is None else found_variates.unchanged(pixels))
            new = self.variates(moments.mean, moments.covariance, noise)
            if not len(new.variance):
                advice = "check the bands, or use model.name cva"
                raise BadInput(scene.before[0], "bands", "none that varies at both dates", "one or more", advice)
            if found_variates is not None:
                if len(new.variance) < len(found_variates.variance):
                    end = f"stopped before iteration {iteration + 1}, whose covariance has not full rank"
                    break
                change = float(abs(new.correlations - found_variates.correlations).max())
            found_variates = new
            if change < self.config.tolerance:
                end = f"converged after {iteration + 1} iterations"
                break
        assert found_variates is not None
        listed = " ".join(f"{value:.4f}" for value in found_variates.correlations)
        deviations = " ".join(f"{value:.4g}" for value in np.sqrt(np.diag(noise)))
        return Fitted(found_variates, f"{end}; correlations {listed}; noise of the bands {deviations}")

    def levels(self, scene: Scene, fitted: Fitted) -> Iterator[tuple[Strip, np.ndarray]]:
        """The strips of a scene with their levels, uint8 `(rows, width)`, NODATA where a date is not valid.

        The score is log10(p) / -6 for the probability p of no change, up to 1: 0.5 is the significance of 99.9 %, and
        exactly the pixels that reach it have this level.
        """
        edges = level_edges(len(fitted.variates.variance))
        for strip in scene.strips():
            levels = np.full(strip.valid.shape, NODATA, np.uint8)
            levels[strip.valid] = np.searchsorted(edges, fitted.variates.statistic(_pixels(strip)), side="right")
            yield strip, levels


def level_edges(variates: int) -> np.ndarray:
    """The statistic from which a pixel has level 1, 2 and so on to LEVELS, for a number of variates."""
    half = LEVELS / 2
    return np.asarray(chdtri(variates, SIGNIFICANCE ** (np.arange(1, LEVELS + 1) / half)))


def whitening(covariance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """`(channels, rank)`: combinations of the channels that are uncorrelated and of unit variance.

    A channel that varies by less than a millionth of its mean is constant, as far as sums of its values can say.
    """
    variance = np.diag(covariance)
    varies = variance > CONSTANT**2 * (mean**2 + variance.max(initial=0.0))
    scale = np.divide(1, np.sqrt(variance, where=varies), out=np.zeros_like(variance), where=varies)
    values, vectors = np.linalg.eigh(covariance * np.outer(scale, scale))
    kept = values > RANK * max(values.max(initial=0.0), np.finfo(float).tiny)
    return np.asarray(scale[:, None] * vectors[:, kept] / np.sqrt(values[kept]))


def _pixels(strip: Strip) -> np.ndarray:
    """The valid pixels of both dates, `(2 * bands, n)` float64."""
    return np.concatenate([strip.before[:, strip.valid], strip.after[:, strip.valid]]).astype(np.float64)
