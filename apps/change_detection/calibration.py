"""Calibration: the probability of change of each score, from the labelled pixels of the validation split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.reliability import expected_calibration_error
from transect.data_adapters.change_detection.maps import LEVELS

Histogram = NDArray[np.float64]
"""Number of pixels at each level, float64 `(LEVELS + 1,)`; weighted cases make it fractional."""

SHARE = 0.02
"""Share of the changed or of the unchanged pixels that a bin holds at least."""


def fit_probabilities(changed: Histogram, unchanged: Histogram) -> tuple[float, ...]:
    """The probability of change at each level, `(LEVELS + 1,)`, which grows with the level; empty without both classes.

    Neighbouring levels are joined to bins that hold SHARE of the pixels of a class, so that neither an empty level nor
    the edge of one object counts on its own. One changed and one unchanged pixel are added to each bin (Laplace). The
    rates are made monotone by isotonic regression, and interpolated linearly between the mean levels of what it pools.

    Source: Oron and Flournoy, "Centered Isotonic Regression" (2017), on quantile bins.
    """
    # Here, not above: this import takes long, and prediction does without it.
    from scipy.optimize import isotonic_regression

    if not (changed.any() and unchanged.any()):
        return ()
    starts = _starts(changed / changed.sum(), unchanged / unchanged.sum())
    tp, fp = (np.add.reduceat(histogram, starts) for histogram in (changed, unchanged))
    counts = changed + unchanged
    level_sums = np.add.reduceat(counts * np.arange(LEVELS + 1), starts)
    fitted = isotonic_regression((tp + 1) / (tp + fp + 2), weights=tp + fp)
    first = fitted.blocks[:-1]
    mean_levels = np.add.reduceat(level_sums, first) / np.add.reduceat(tp + fp, first)
    probabilities = np.interp(np.arange(LEVELS + 1), mean_levels, fitted.x[first])
    return tuple(round(float(each), 5) for each in probabilities)


def mean_probabilities(members: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The mean of the members' probabilities at each level; empty if one has none."""
    return tuple(float(each) for each in np.mean(members, axis=0)) if all(members) else ()


def by_level(probabilities: tuple[float, ...]) -> NDArray[np.float64] | None:
    """The probabilities of all values of a map of levels, `(256,)`, NaN where these are no levels; None if unknown."""
    if not probabilities:
        return None
    table = np.full(256, np.nan)
    table[: LEVELS + 1] = probabilities
    return table


def _starts(changed: Histogram, unchanged: Histogram) -> list[int]:
    """The first level of each bin; what is too small at the end joins the bin before."""
    starts, held = [0], np.zeros(2)
    for level, shares in enumerate(zip(changed, unchanged, strict=True)):
        if max(held) >= SHARE:
            starts, held = [*starts, level], np.zeros(2)
        held = held + shares
    return starts if max(held) >= SHARE or len(starts) == 1 else starts[:-1]


def calibration_error(changed: Histogram, unchanged: Histogram, probabilities: NDArray[np.float64]) -> float:
    """The expected calibration error of the pixels, of the probabilities of all levels; NaN without pixels."""
    return expected_calibration_error(*events(changed, unchanged, probabilities))


def events(
    changed: Histogram, unchanged: Histogram, probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """The probability, the outcome and the number of the pixels of each level and class, without empty ones."""
    weights = np.concatenate([changed, unchanged])
    right = np.arange(len(weights)) < len(changed)
    return np.tile(probabilities, 2)[weights > 0], right[weights > 0], weights[weights > 0]
