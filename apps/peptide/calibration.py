"""How sure to be of a winner: probabilities that hold what they say, and the error rates that follow from them.

False discovery rates here use no decoys. There is no database whose reversal could stand for wrong answers, and a
wrong de novo peptide is mostly a near miss that a decoy would not resemble. The rate among the accepted is the mean of
their calibrated probabilities of being wrong; it holds as far as the calibration does, on data like that which it was
fitted on. `realised` says on labelled data whether it did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transect.apps.peptide.config import Calibration
from transect.data_adapters.peptide.ranking import RankedSpectrum
from transect.data_adapters.peptide.results.write import q_values

LEAST_SCORE = 1e-9
BINS = 10
FEATURES = 4
"""How many `features` there are."""


def features(ranked: RankedSpectrum) -> tuple[float, ...]:
    """What a calibration weighs of a spectrum, in its order: each speaks for the winner where it is larger.

    The spectrum must have a winner. Without a runner-up the margin is the score, as if a runner-up had none.
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
    """The calibration of winners with these `features`, of which is known whether they are `right`.

    Logistic regression (Platt, 1999) by scikit-learn, monotone: a feature that would speak against a winner, which it
    can only seem to do, is left out. Not fitted where all are right or all wrong.
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
    """The probability that a winner with these `features` is right; NaN where nothing was fitted."""
    if not calibration.is_fitted:
        return math.nan
    weights = (calibration.log_score, calibration.margin, calibration.agreement, calibration.fits)
    odds = calibration.bias + sum(weight * value for weight, value in zip(weights, row, strict=True))
    # By the sign, since exp overflows on one side.
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def probabilities(calibration: Calibration, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """`probability` of each of `rows` `(spectra, FEATURES)`; NaN where a feature is, or nothing was fitted."""
    if not calibration.is_fitted:
        return np.full(len(rows), np.nan)
    weights = (calibration.log_score, calibration.margin, calibration.agreement, calibration.fits)
    return np.exp(-np.logaddexp(0, -(calibration.bias + rows @ np.array(weights))))


def threshold(probabilities: ArrayLike, fdr: float) -> float:
    """The least probability among the winners that are accepted at a false discovery rate; infinite where none is."""
    accepted = np.asarray(probabilities, np.float64)[q_values(probabilities) <= fdr]
    return float(accepted.min(initial=np.inf))


def realised(
    probabilities: ArrayLike, right: ArrayLike, fdr: float, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """How many winners are accepted at a false discovery rate and what share of them is wrong; NaN where none is."""
    accepted = q_values(probabilities, weights) <= fdr
    weight = np.ones(len(accepted)) if weights is None else np.asarray(weights, np.float64)
    total = float(weight[accepted].sum())
    wrong = float(weight[accepted] @ ~np.asarray(right, np.bool_)[accepted])
    return total, wrong / total if total else math.nan


@dataclass(frozen=True)
class Bin:
    """The winners whose probabilities lie in one of the equal parts of 0 to 1.

    How many they are, the mean of their probabilities, and the share of them that is right.
    """

    count: float
    probability: float
    right: float


def reliability(
    probabilities: ArrayLike, right: ArrayLike, bins: int = BINS, weights: ArrayLike | None = None
) -> list[Bin]:
    """Mean predicted probability and observed share in those of `bins` that are not empty; NaN is left out.

    Written here because scikit-learn's `calibration_curve` and torchmetrics' calibration error take no sample weights.
    """
    p, observed = np.asarray(probabilities, np.float64), np.asarray(right, np.float64)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    known = ~np.isnan(p)
    p, observed, weight = p[known], observed[known], weight[known]
    number = np.minimum((p * bins).astype(int), bins - 1)
    counts, sums, rights = (np.bincount(number, weight * values, bins) for values in (np.ones(len(p)), p, observed))
    return [
        Bin(float(count), float(total / count), float(correct / count))
        for count, total, correct in zip(counts, sums, rights, strict=True)
        if count
    ]


def expected_calibration_error(probabilities: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The mean over winners of |predicted - observed| in their bin (Guo et al. 2017, ICML); NaN without winners."""
    found = reliability(probabilities, right, weights=weights)
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.probability - one.right) for one in found) / total if total else math.nan
