"""Areas under weighted ROC and precision-recall curves of the same scores for many weights.

scikit-learn's `roc_auc_score` and `average_precision_score`, with `sample_weight`, give the same values. Written here
because a bootstrap changes the weights alone: the scores are sorted once, where scikit-learn sorts them in each of the
1000 resamples and takes ten times as long.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Counts(NamedTuple):
    """Weighted numbers of positives and negatives among the best-scored, one for each distinct score."""

    tp: Values
    fp: Values


class Ranking:
    """Scores sorted from the highest, with what is positive among them.

    Args:
        scores: float64 `(n,)`; larger is more likely positive.
        positive: bool `(n,)`.
    """

    def __init__(self, scores: Values, positive: Flags) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._scores, self._positive = scores[self._order], positive[self._order]
        # Equal scores are accepted together, so that the result does not depend on the order of slices.
        self._last = np.flatnonzero(np.diff(self._scores, append=np.nan) != 0)

    @property
    def thresholds(self) -> Values:
        """The distinct scores, descending."""
        return self._scores[self._last]

    @cached_property
    def _undefined(self) -> bool:
        return bool(np.isnan(self._scores).any())

    def counts(self, weights: Values) -> Counts:
        """Positives and negatives of at least each of `thresholds`, for weights `(n,)` in the order of the scores."""
        weights = weights[self._order]
        return Counts(np.cumsum(weights * self._positive)[self._last], np.cumsum(weights * ~self._positive)[self._last])

    def areas(self, weights: Values) -> tuple[float, float]:
        """AUROC by the trapezoidal rule, and AUPRC as the average precision.

        NaN where a class is missing that it needs: AUROC both, AUPRC the positive one; or where a score is NaN.
        """
        tp, fp = self.counts(weights)
        positives, negatives = (float(values[-1]) if len(values) else 0.0 for values in (tp, fp))
        if self._undefined or not positives:
            return np.nan, np.nan
        gained = np.diff(tp, prepend=0)
        auprc = float(gained @ (tp / np.maximum(tp + fp, np.finfo(float).tiny))) / positives
        before = np.concatenate([[0], tp[:-1]])
        area = float(np.diff(fp, prepend=0) @ (tp + before)) / 2
        return area / (positives * negatives) if negatives else np.nan, auprc
