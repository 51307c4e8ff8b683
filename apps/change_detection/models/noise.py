"""The noise of the difference between two dates, from its high spatial frequencies."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from transect.data_adapters.change_detection.maps import Strip

SIGNIFICANCE = 1e-3
"""Probability, without change, of a difference that counts as change: the 99.9 % level."""


def noise_covariance(windows: Sequence[Strip], given: float | None = None) -> np.ndarray:
    """The covariance of the noise of the second date minus the first, `(bands, bands)` float64.

    The first date is scaled band by band to the spread of the second, and their difference filtered by the difference
    of two Laplacians, which cancels the ground, gradients and straight edges: real changes hardly enter. The noise of a
    band is the value that 99.9 % of the filtered pixels do not exceed, over the same quantile of a normal distribution:
    where the tails are heavy, as between dates of different resolution, it is wider than that of a typical pixel. It
    is at least a step of quantization, which is independent between the bands; the rest is correlated as the filtered
    pixels are.

    Source of the filter: Immerkaer, "Fast noise variance estimation" (1996).

    Args:
        windows: parts of the scene.
        given: standard deviation of the noise in each band, in units of the second date, in place of the estimate.
    """
    before, after = (_masked([getattr(window, name) for window in windows], windows) for name in ("before", "after"))
    spreads = _spread(before), _spread(after)
    gain = np.divide(spreads[1], spreads[0], out=np.ones(len(before)), where=np.minimum(*spreads) > 0)
    difference = np.concatenate(
        [
            _filtered(window.after.astype(np.float64) - gain[:, None, None] * window.before, window.valid)
            for window in windows
        ],
        axis=1,
    )
    steps = np.array([[_step(band) for band in date] for date in (before, after)])
    quantized = np.maximum(gain * steps[0], steps[1])
    noise = np.full(len(gain), 0.0 if given is None else given)
    if given is None and difference.size:
        noise = np.quantile(abs(difference), 1 - SIGNIFICANCE, axis=1) / -ndtri(SIGNIFICANCE / 2)
    correlated = np.sqrt(np.maximum(noise**2 - quantized**2, 0))
    return np.asarray(np.outer(correlated, correlated) * _correlation(difference) + np.diag(quantized**2))


def _masked(images: Sequence[np.ndarray], windows: Sequence[Strip]) -> np.ndarray:
    """The valid pixels of all windows, `(bands, n)`."""
    return np.concatenate([image[:, window.valid] for image, window in zip(images, windows, strict=True)], axis=1)


def _spread(values: np.ndarray) -> np.ndarray:
    """The median absolute deviation of each band, or the standard deviation where that is 0."""
    deviation = np.median(abs(values - np.median(values, axis=1, keepdims=True)), axis=1)
    return np.where(deviation > 0, deviation, values.std(axis=1))


def _step(band: np.ndarray) -> float:
    """The quantization step: 1 for integers, else the smallest difference between two values."""
    if band.dtype.kind in "iu":
        return 1.0
    steps = np.diff(np.unique(band))
    return float(steps.min()) if steps.size else 0.0


def _filtered(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Second differences along both axes, of unit gain for white noise, `(bands, n)`, where 3 x 3 pixels are valid."""
    rows = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    both = rows[..., :-2] - 2 * rows[..., 1:-1] + rows[..., 2:]
    whole = valid[:-2] & valid[1:-1] & valid[2:]
    return np.asarray(both[:, whole[:, :-2] & whole[:, 1:-1] & whole[:, 2:]] / 6)


def _correlation(values: np.ndarray) -> np.ndarray:
    """Correlations of `(bands, n)` values about 0; none of bands that are 0 throughout."""
    products = values @ values.T
    scale = np.sqrt(np.diag(products))
    correlation = np.divide(products, np.outer(scale, scale), out=np.eye(len(values)), where=np.outer(scale, scale) > 0)
    np.fill_diagonal(correlation, 1)
    return correlation
