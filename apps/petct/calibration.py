"""Choices on the validation split: logistic calibration of logits, and the threshold from which slices are flagged."""

import math

import numpy as np
from numpy.typing import NDArray

from transect.apps.petct.config import Calibration

Values = NDArray[np.float64]


def probability(calibration: Calibration, logit: Values) -> Values:
    """sigmoid(slope * logit + bias), float64 of the shape of `logit`."""
    return np.exp(-np.logaddexp(0, -(calibration.slope * np.asarray(logit, np.float64) + calibration.bias)))


def logit(probability: Values) -> Values:
    """log(p / (1 - p)), finite for 0 and 1."""
    p = np.clip(probability, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
    return np.log(p) - np.log1p(-p)


def fit(logit: Values, positive: NDArray[np.bool_]) -> Calibration | None:
    """Platt scaling (Platt, 1999) of the logits of slices.

    As in the paper, targets are (p + 1) / (p + 2) for the p positive and 1 / (n + 2) for the n negative slices, so that
    the slope stays finite where the logits separate the classes. Each slice enters scikit-learn's LogisticRegression
    as positive and as negative, weighted by its target and by the rest, since targets there are classes. scikit-learn's
    own, in CalibratedClassifierCV, does not give out its slope.

    Args:
        logit: `(slices,)`.
        positive: `(slices,)`.

    Returns:
        None where one class is missing, where a logit is not finite, or where larger logits are not more often
        positive: a calibration must not reverse the order of slices.
    """
    from sklearn.linear_model import LogisticRegression

    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n or not np.isfinite(logit).all():
        return None
    # A fit in units of the spread: solver and tolerance then do not depend on the scale of the logits.
    scale = max(float(np.std(logit)), 1e-9)
    target = np.where(positive, (p + 1) / (p + 2), 1 / (n + 2))
    inputs = np.concatenate([logit, logit])[:, None] / scale
    classes = np.repeat([1, 0], len(logit))
    model = LogisticRegression(C=np.inf, max_iter=1000).fit(inputs, classes, np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0]) / scale
    return Calibration(slope, float(model.intercept_[0])) if slope > 0 else None


def operating_point(probabilities: Values, lesions: Values, sensitivity: float) -> float | None:
    """The highest threshold whose flags hit a share of the lesions.

    It lies halfway between the last lesion that must be hit and the next lower probability of a slice: every threshold
    between them flags the same slices, and rounding does not decide.

    Args:
        probabilities: `(slices,)`, of all slices.
        lesions: `(lesions,)`, the highest probability of a slice of each lesion.
        sensitivity: The share in (0, 1].

    Returns:
        A threshold in (0, 1); None without lesions.
    """
    if not len(lesions) or np.isnan(probabilities).any():
        return None
    # The margin forgives the rounding of a product such as 0.95 * 20.
    needed = max(math.ceil(sensitivity * len(lesions) - 1e-9), 1)
    lowest = float(np.sort(lesions)[-needed])
    below = probabilities[probabilities < lowest]
    threshold = (lowest + (float(below.max()) if len(below) else 0.0)) / 2
    return float(np.clip(threshold, np.finfo(float).tiny, 1 - np.finfo(float).epsneg))
