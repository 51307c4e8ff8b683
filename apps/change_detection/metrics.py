"""Metrics of change maps, from histograms of the scores of changed and unchanged pixels.

Written here because the confusion matrix at any threshold is read off the histograms, which also serve to choose the
threshold; the usual libraries keep the matrix of one threshold alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from transect.data_adapters.change_detection.maps import LEVELS, NODATA


def level_histograms(strips: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[int]]:
    """Histograms of the levels of changed and of unchanged pixels; unlabelled and invalid pixels are left out.

    Args:
        strips: Levels and label of some rows of a map, uint8 `(rows, width)` each, with NODATA where either is unknown.

    Returns:
        "changed" and "unchanged", each with the number of pixels at every level from 0 to LEVELS.
    """
    counts = {"changed": np.zeros(LEVELS + 1, np.int64), "unchanged": np.zeros(LEVELS + 1, np.int64)}
    for levels, label in strips:
        for name, value in (("changed", 1), ("unchanged", 0)):
            counted = levels[(label == value) & (levels != NODATA)]
            counts[name] += np.bincount(counted, minlength=LEVELS + 1)
    return {name: histogram.tolist() for name, histogram in counts.items()}


def summary_of(measures: Sequence[dict[str, Any]], threshold: float) -> dict[str, float]:
    """Precision, recall, F1 and IoU of change, and overall accuracy, from one confusion matrix over all cases.

    A ratio of nothing to nothing is NaN: a case without change, rightly left unmarked, has no F1.

    Args:
        measures: `level_histograms` of each case.
        threshold: Score from which a pixel counts as changed.
    """
    all_tp, all_fp, changed, unchanged = _at_thresholds(measures)
    level = round(threshold * LEVELS)
    tp, fp = int(all_tp[level]), int(all_fp[level])
    fn = changed - tp
    return {
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "iou": _ratio(tp, tp + fp + fn),
        "overall_accuracy": _ratio(tp + unchanged - fp, changed + unchanged),
    }


def best_threshold(measures: Sequence[dict[str, Any]]) -> float | None:
    """The threshold of the highest F1 over all cases, of equals the one nearest to 0.5; None if nothing has changed."""
    tp, fp, changed, _ = _at_thresholds(measures)
    if not changed:
        return None
    f1 = 2 * tp / np.maximum(tp + fp + changed, 1)
    return max(range(1, LEVELS + 1), key=lambda level: (f1[level], -abs(level - LEVELS // 2))) / LEVELS


def _at_thresholds(measures: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, int, int]:
    """True and false positives at every threshold level, and the numbers of changed and unchanged pixels."""
    changed, unchanged = (
        np.sum([measure[name] for measure in measures], axis=0) if measures else np.zeros(LEVELS + 1, np.int64)
        for name in ("changed", "unchanged")
    )
    tp, fp = (histogram[::-1].cumsum()[::-1] for histogram in (changed, unchanged))
    return tp, fp, int(changed.sum()), int(unchanged.sum())


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
