"""Metrics of change maps, from histograms of the scores of changed and unchanged pixels.

Written here because the confusion matrix at any threshold is read off the histograms, which also serve to choose the
threshold; torchmetrics and scikit-learn keep the matrix of one threshold alone.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.change_detection.calibration import Histogram, calibration_error, fit_probabilities
from transect.apps.change_detection.config import State
from transect.data_adapters.change_detection.land_cover import transitions
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, ChangeMap
from transect.data_adapters.change_detection.scene import Scene

TRANSITION = "from "
"""Start of the names of the histograms of transitions between classes of land cover."""


class ChangeMetric(Metric[Scene, ChangeMap]):
    """Precision, recall, F1 and IoU of change, overall accuracy, and the expected calibration error of probabilities.

    Args:
        threshold: score from which a pixel counts as changed.
        state: the app's, in which `calibrate` replaces the threshold and the probabilities. Without any, the score is
            taken as the probability.
    """

    monitor = "f1"

    def __init__(self, threshold: float, state: State | None = None) -> None:
        self.threshold, self.state = threshold, state or State()
        self.probabilities = np.array(self.state.probabilities or np.arange(LEVELS + 1) / LEVELS)

    def contribution(self, prediction: ChangeMap, sample: Scene) -> Contribution:
        """Histograms of the levels of `changed` and `unchanged` pixels, int64 `(LEVELS + 1,)` each.

        Unlabelled and invalid pixels are left out. Where the land cover before and after is known, there is also one
        of each transition, by a name such as "from tree to building".
        """
        counts = {"changed": np.zeros(LEVELS + 1, np.int64), "unchanged": np.zeros(LEVELS + 1, np.int64)}
        for block in prediction.blocks:
            label = sample.labels(block.row, len(block.levels))
            for name, value in (("changed", 1), ("unchanged", 0)):
                counted = block.levels[(label == value) & (block.levels != NODATA)]
                counts[name] += np.bincount(counted, minlength=LEVELS + 1)
            for name, where in self._transitions(sample, block.row, len(block.levels)).items():
                counted = block.levels[where & (label == 1) & (block.levels != NODATA)]
                histogram = np.bincount(counted, minlength=LEVELS + 1)
                counts[name] = counts.get(name, np.zeros(LEVELS + 1, np.int64)) + histogram
        return counts

    @staticmethod
    def _transitions(sample: Scene, row: int, rows: int) -> dict[str, NDArray[np.bool_]]:
        if not sample.cover[0]:
            return {}
        found = transitions(*sample.land_cover_at(row, rows), sample.land_cover.classes)
        return {f"{TRANSITION}{name}": where for name, where in found.items()}

    def recall_by_transition(self, contributions: Sequence[Contribution]) -> dict[str, tuple[float, int]]:
        """The recall and the number of changed pixels of each transition of land cover, the most frequent first."""
        names = {name for contribution in contributions for name in contribution if name.startswith(TRANSITION)}
        level, found = round(self.threshold * LEVELS), {}
        for name in sorted(names):
            histogram = np.sum([each[name] for each in contributions if name in each], axis=0)
            if pixels := int(histogram.sum()):
                found[name.removeprefix(TRANSITION)] = float(histogram[level:].sum() / pixels), pixels
        return dict(sorted(found.items(), key=lambda item: -item[1][1]))

    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """The metrics of one confusion matrix over all cases.

        A ratio 0 / 0 is NaN: a case without change and without false positives has no F1.
        """
        changed, unchanged = totals(contributions, weights)
        level = round(self.threshold * LEVELS)
        tp, fp = changed[level:].sum(), unchanged[level:].sum()
        fn, tn = changed[:level].sum(), unchanged[:level].sum()
        return {
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "f1": _ratio(2 * tp, 2 * tp + fp + fn),
            "iou": _ratio(tp, tp + fp + fn),
            "overall_accuracy": _ratio(tp + tn, tp + tn + fp + fn),
            "ece": calibration_error(changed, unchanged, self.probabilities),
        }

    def calibrate(self, contributions: Sequence[Contribution]) -> State | None:
        """The threshold of the highest F1, ties broken towards 0.5, and the probability of change at each level.

        None if no labelled pixel has changed.
        """
        changed, unchanged = totals(contributions)
        tp, fp = (histogram[::-1].cumsum()[::-1] for histogram in (changed, unchanged))
        if not changed.any():
            return None
        f1 = 2 * tp / np.maximum(tp + fp + changed.sum(), 1)
        best = max(range(1, LEVELS + 1), key=lambda level: (f1[level], -abs(level - LEVELS // 2)))
        return replace(self.state, threshold=best / LEVELS, probabilities=fit_probabilities(changed, unchanged))


def totals(
    contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
) -> tuple[Histogram, Histogram]:
    """The histograms of the changed and of the unchanged pixels of all cases."""
    return _total(contributions, "changed", weights), _total(contributions, "unchanged", weights)


def _total(contributions: Sequence[Contribution], name: str, weights: NDArray[np.float64] | None) -> Histogram:
    """The weighted sum of a histogram over all cases; counts below 2^53 stay exact."""
    if not contributions:
        return np.zeros(LEVELS + 1)
    counts = np.stack([contribution[name] for contribution in contributions]).astype(np.float64)
    return (np.ones(len(counts)) if weights is None else weights) @ counts


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
