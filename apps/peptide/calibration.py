"""Platt scaling of reranker scores and FDR estimation.

The winner of a spectrum is its top-ranked candidate. False discovery rates are estimated without decoys: de novo
sequencing has no database to reverse, and its errors are mostly near misses that decoys do not resemble. The estimate
for a set of winners is the mean of their calibrated error probabilities (posterior error probabilities); it is as good
as the calibration, on data like that which it was fitted on. `realised` measures the actual rate on labelled data.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transect.apps.peptide.config import Calibration
from transect.data_adapters.peptide.ranking import RankedSpectrum
from transect.data_adapters.peptide.results.write import q_values

LEAST_SCORE = 1e-9
FEATURES = 4
"""Number of `features`."""


def features(ranked: RankedSpectrum) -> tuple[float, ...]:
    """The features of the calibration, in the order of its weights; larger values support the winner.

    The spectrum must have a winner. Without a runner-up the margin is the winner's score.
    """
    winner = ranked.ranking[0]
    tools = {tool for candidate in ranked.candidate_set.candidates for tool in candidate.tools}
    return (
        math.log(max(winner.score, LEAST_SCORE)),
        winner.score if math.isnan(ranked.margin) else ranked.margin,
        len(set(winner.candidate.tools)) / max(len(tools), 1),
        float(winner.fits),
    )


def fit(rows: ArrayLike, right: ArrayLike) -> Calibration:
    """Fit a calibration by logistic regression (Platt, 1999), monotone in each feature.

    Written around scikit-learn's LogisticRegression, since CalibratedClassifierCV has no monotonicity constraint:
    features that would get a negative weight are dropped. Not fitted where all winners are right or all are wrong.

    Args:
        rows: `(winners, FEATURES)`.
        right: `(winners,)` bool, whether each winner is correct.
    """
    from sklearn.linear_model import LogisticRegression

    table, target = np.asarray(rows, np.float64), np.asarray(right, np.bool_)
    if target.all() or not target.any():
        return Calibration()
    used = np.arange(table.shape[1])
    while len(used):
        model = LogisticRegression(C=100.0, max_iter=1000).fit(table[:, used], target)
        weights = np.zeros(table.shape[1])
        weights[used] = model.coef_[0]
        if weights.min() >= 0:
            return Calibration(float(model.intercept_[0]), *map(float, weights))
        used = used[used != weights.argmin()]
    return Calibration(bias=math.log(target.sum() / (~target).sum()))


def probability(calibration: Calibration, row: Sequence[float]) -> float:
    """The probability that a winner with these `features` is right; NaN if the calibration is not fitted."""
    if not calibration.is_fitted:
        return math.nan
    weights = (calibration.log_score, calibration.margin, calibration.agreement, calibration.fits)
    odds = calibration.bias + sum(weight * value for weight, value in zip(weights, row, strict=True))
    # Two forms of the sigmoid, since exp overflows for large arguments.
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def probabilities(calibration: Calibration, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """`probability` of each of `rows` `(spectra, FEATURES)`; NaN where a feature is NaN, or if not fitted."""
    if not calibration.is_fitted:
        return np.full(len(rows), np.nan)
    weights = (calibration.log_score, calibration.margin, calibration.agreement, calibration.fits)
    with np.errstate(invalid="ignore"):  # numpy warns of NaN in logaddexp
        return np.exp(-np.logaddexp(0, -(calibration.bias + rows @ np.array(weights))))


def realised(
    probabilities: ArrayLike, right: ArrayLike, fdr: float, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """The number of winners accepted at a false discovery rate and the fraction of them that is wrong.

    Args:
        probabilities: `(winners,)`, calibrated.
        right: `(winners,)` bool.
        fdr: false discovery rate.
        weights: `(winners,)`; equal by default.

    Returns:
        The (weighted) number accepted, and the fraction of wrong ones among them, NaN if none are accepted.
    """
    accepted = q_values(probabilities, weights) <= fdr
    weight = np.ones(len(accepted)) if weights is None else np.asarray(weights, np.float64)
    total = float(weight[accepted].sum())
    wrong = float(weight[accepted] @ ~np.asarray(right, np.bool_)[accepted])
    return total, wrong / total if total else math.nan
