"""Limits of the contrast stretch: the values of each date and band that map to 0 and 1."""

from typing import Literal

import numpy as np

Method = Literal["robust", "percentile"]

SIGMAS = 3.5
"""Robust standard deviations on either side of the median."""

ENOUGH = 50_000
"""Number of pixels of each date after which robust limits hardly change."""

MIDDLE = (15, 85)
"""Percentiles that lie within robust limits, so that ground of two kinds, such as sea and land, is not cut off."""

CENTRE, SPREAD = 0.25, 1.3
"""Two dates agree where their medians differ by at most CENTRE robust standard deviations, and those by the factor
SPREAD: 10 % of cloud in one of them moves the median by 0.14, and widens the spread by 1.13."""


def stretch_limits(
    dates: tuple[np.ndarray, np.ndarray], method: Method = "robust", same_sensor: bool | None = None
) -> np.ndarray:
    """The limits of both dates.

    `percentile` takes the 2nd and 98th percentile of each date by itself. `robust` takes the median +- 3.5 robust
    standard deviations (1.4826 times the median absolute deviation), which up to 15 % of clouds, fill or water leave
    nearly where they are, widened to the middle 70 % of the values. Robust limits are those of all pixels of both dates
    where their values mean the same: a pixel that did not change then has the same stretched value at both dates,
    no matter how much else has changed in the scene.

    Args:
        dates: values of the pixels that are valid at both dates, `(bands, pixels)` each.
        method: see above.
        same_sensor: whether the values of both dates mean the same; None if unknown: robust limits are shared where
            type, median and spread of all bands agree.

    Returns:
        `(2, bands, 2)` float32: (low, high) to be mapped to 0 and 1, with high > low.
    """
    if method == "percentile":
        return np.stack([_percentiles(values) for values in dates])
    before, after = (values[:, :: values.shape[1] // ENOUGH + 1] for values in dates)
    if same_sensor is None:
        same_sensor = before.dtype == after.dtype and _agree(before, after)
    if same_sensor:
        shared = robust_limits(np.concatenate([before, after], axis=1))
        return np.stack([shared, shared])
    return np.stack([robust_limits(before), robust_limits(after)])


def robust_limits(values: np.ndarray) -> np.ndarray:
    """Robust limits of `(bands, pixels)`, float32 `(bands, 2)`; see `stretch_limits`."""
    if not values.shape[1]:
        return _unit(len(values))
    centre, sigma = _robust(values)
    low, high = np.percentile(values, MIDDLE, axis=1)
    limits = np.stack([np.minimum(low, centre - SIGMAS * sigma), np.maximum(high, centre + SIGMAS * sigma)], axis=1)
    return _distinct(limits.astype(np.float32))


def _robust(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and robust standard deviation of each band, the latter at least the step between two values."""
    centre = np.median(values, axis=1)
    deviation = np.median(abs(values - centre[:, None]), axis=1)
    return centre, np.maximum(1.4826 * deviation, [_step(band) for band in values])


def _step(values: np.ndarray) -> float:
    """The quantization step: 1 for integers, else the smallest difference between two values; 0 if all are equal."""
    if values.dtype.kind in "iu":
        return 1.0
    different = np.unique(values)
    return float(np.diff(different).min()) if len(different) > 1 else 0.0


def _agree(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether medians and spreads of two dates agree in all bands."""
    if not (before.shape[1] and after.shape[1]):
        return True
    (centre, sigma), (other, wide) = _robust(before), _robust(after)
    narrow = np.minimum(sigma, wide)
    return bool(np.all(abs(centre - other) <= CENTRE * narrow) and np.all(np.maximum(sigma, wide) <= SPREAD * narrow))


def _percentiles(values: np.ndarray) -> np.ndarray:
    if not values.shape[1]:
        return _unit(len(values))
    return _distinct(np.percentile(values, (2, 98), axis=1).T.astype(np.float32))


def _unit(bands: int) -> np.ndarray:
    return np.tile(np.array([0, 1], np.float32), (bands, 1))


def _distinct(limits: np.ndarray) -> np.ndarray:
    """Limits with high > low, one apart where they are equal."""
    low, high = limits[:, 0], limits[:, 1]
    limits[:, 1] = np.where(high > low, high, np.maximum(low + 1, np.nextafter(low, np.float32(np.inf))))
    return limits
