"""IoU of maps from counts of pixels that are accumulated over a split, by threshold, visibility and range."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.bev.config import State
from transect.apps.bev.losses import VISIBLE
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Frame

LEVELS = 100
"""Thresholds are whole numbers of 1 / LEVELS."""

RINGS = (0, 20, 35, 50)
"""Limits of the range rings around the vehicle, metres. Pixels farther away count in the totals alone."""

NAMED = {"at_50": 50, "at_40": 40}
"""Fixed thresholds by name, in steps of 1 / LEVELS."""

Counts = NDArray[np.float64]
"""Pixels by range, visibility, label and level: `(len(RINGS), 2, 2, LEVELS + 1)`."""


class BevMetric(Metric[Frame, BevMap]):
    """Intersection over union of maps and labels.

    Args:
        classes: Names of what the maps show.
        thresholds: Probability from which a pixel is of each class.
        state: The app's, in which `calibrate` replaces the thresholds.
    """

    monitor = "mean_iou_calibrated"

    def __init__(self, classes: Sequence[str], thresholds: Sequence[float], state: State) -> None:
        self.classes, self.thresholds, self.state = tuple(classes), tuple(thresholds), state
        self._last: tuple[list[Contribution], dict[str, Counts]] = ([], {})

    def contribution(self, prediction: BevMap, sample: Frame) -> Contribution:
        """The counts of each class by its name, int64 `(len(RINGS), 2, 2, LEVELS + 1)`.

        The axes are the range ring (the last one is beyond all rings), whether the pixel is visible, whether the label
        is positive, and the largest threshold, in steps of 1 / LEVELS, that the probability reaches. A pixel of a
        vehicle of which less than 40 % is visible is not; of other classes all are.

        Raises:
            BadInput: the sample has no labels, or lacks that of a class.
        """
        labels = sample.labels()
        if labels is None:
            raise BadInput(sample.case.files[0], "labels", "none", "annotations", "predict needs no labels")
        ring = rings(sample.grid)
        counts = {}
        for name, probability in zip(prediction.classes, prediction.probability, strict=True):
            visible = labels.visibility >= VISIBLE if name == "vehicle" else np.ones(ring.shape, bool)
            index = (ring * 2 + visible) * 2 + labels.mask(name)
            index = index * (LEVELS + 1) + levels(probability)
            size = len(RINGS) * 4 * (LEVELS + 1)
            counts[name] = np.bincount(index.ravel(), minlength=size).reshape(len(RINGS), 2, 2, LEVELS + 1)
        return counts

    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """All metrics, of counts that are added up over all cases; NaN where label and map have no positive pixel.

        `mean_iou_calibrated`, which is monitored, is the mean over the classes that have a value. Of each class,
        `road_iou_at_50` and `_at_40` are the IoU at the thresholds 0.5 and 0.4, and `_calibrated` that at the
        threshold of the app, given as `road_threshold`; `_0_to_20_metres` and so on are those of a range ring. Vehicles
        have each twice: `vehicle_iou_visible_` leaves out the pixels of vehicles of which less than 40 % is visible,
        `vehicle_iou_all_` counts them.

        Args:
            contributions: One a case.
            weights: float64 `(cases,)`, how often each case counts; once by default.
        """
        totals = self.totals(contributions, weights)
        values: dict[str, float] = {}
        for name, threshold in zip(self.classes, self.thresholds, strict=True):
            values |= of_class(name, totals[name], round(threshold * LEVELS))
        main = [values[f"{prefix(name)}_calibrated"] for name in self.classes]
        known = [value for value in main if value == value]
        return {self.monitor: float(np.mean(known)) if known else float("nan"), **values}

    def calibrate(self, contributions: Sequence[Contribution]) -> State | None:
        """The state with the threshold of the highest IoU of each class, vehicles by what is visible.

        Ties are broken towards 0.5. A class without a positive label keeps its threshold; None if all do.
        """
        totals = self.totals(contributions)
        chosen = list(self.thresholds)
        for index, name in enumerate(self.classes):
            curve, positive = iou_curve(totals[name], visible=True), totals[name][:, 1, 1].sum()
            if positive:
                best = max(range(1, LEVELS), key=lambda level: (curve[level], -abs(level - LEVELS // 2)))
                chosen[index] = best / LEVELS
        if not any(totals[name][:, 1, 1].any() for name in self.classes):
            return None
        return replace(self.state, thresholds=tuple(chosen))

    def totals(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, Counts]:
        """The weighted sum of the counts of each class; what is added up is kept for the next call.

        A bootstrap summarizes the same contributions 1000 times. Counts below 2^53 stay exact.
        """
        shape = (len(RINGS), 2, 2, LEVELS + 1)
        if not contributions:
            return {name: np.zeros(shape) for name in self.classes}
        known, stacked = self._last
        if len(known) != len(contributions) or any(a is not b for a, b in zip(known, contributions, strict=True)):
            stacked = {
                name: np.stack([each[name].ravel() for each in contributions]).astype(np.float64)
                for name in self.classes
            }
            self._last = list(contributions), stacked
        weights = np.ones(len(contributions)) if weights is None else weights
        return {name: (weights @ stacked[name]).reshape(shape) for name in self.classes}


def of_class(name: str, counts: Counts, level: int) -> dict[str, float]:
    """The metrics of a class at its threshold, in steps of 1 / LEVELS, and at the fixed ones."""
    start = prefix(name)
    curves = {start: iou_curve(counts, visible=True)}
    if name == "vehicle":
        curves["vehicle_iou_all"] = iou_curve(counts, visible=False)
    at = {"calibrated": level, **NAMED}
    values = {f"{begin}_{ending}": curve[each] for ending, each in at.items() for begin, curve in curves.items()}
    values[f"{name}_threshold"] = level / LEVELS
    tp, fp, fn = confusion(counts, visible=True)
    values[f"{name}_precision_calibrated"] = _ratio(tp[level], tp[level] + fp[level])
    values[f"{name}_recall_calibrated"] = _ratio(tp[level], tp[level] + fn[level])
    for ring, ending in enumerate(ring_names()):
        if counts[ring].any():  # otherwise the map ends before it
            values[f"{start}_calibrated_{ending}"] = iou_curve(counts[ring : ring + 1], visible=True)[level]
    return {key: float(value) for key, value in values.items()}


def prefix(name: str) -> str:
    """How the names of the headline IoU of a class begin."""
    return "vehicle_iou_visible" if name == "vehicle" else f"{name}_iou"


def ring_names() -> list[str]:
    """The names of the range rings, such as "0_to_20_metres"."""
    return [f"{low}_to_{high}_metres" for low, high in pairwise(RINGS)]


def confusion(counts: Counts, visible: bool) -> tuple[NDArray[np.float64], ...]:
    """True positive, false positive and false negative pixels at each threshold, `(LEVELS + 1,)` each.

    Args:
        counts: Of a class, `(rings, 2, 2, LEVELS + 1)`.
        visible: Whether to leave out pixels that are not visible.
    """
    pixels = counts[:, 1:].sum(axis=(0, 1)) if visible else counts.sum(axis=(0, 1))
    fp, tp = pixels[:, ::-1].cumsum(axis=1)[:, ::-1]
    return tp, fp, pixels[1].sum() - tp


def iou_curve(counts: Counts, visible: bool) -> NDArray[np.float64]:
    """The IoU at each threshold from 0 to 1, `(LEVELS + 1,)`; NaN where label and map have no positive pixel."""
    tp, fp, fn = confusion(counts, visible)
    union = tp + fp + fn
    return np.divide(tp, union, out=np.full(LEVELS + 1, np.nan), where=union > 0)


def levels(probability: NDArray[np.floating]) -> NDArray[np.int64]:
    """The largest threshold that each probability reaches, in steps of 1 / LEVELS."""
    return np.searchsorted(np.arange(1, LEVELS + 1) / LEVELS, probability.astype(np.float64), side="right")


@lru_cache(maxsize=8)
def rings(grid: Grid) -> NDArray[np.int64]:
    """The range ring of each pixel, `(H, W)`; len(RINGS) - 1 beyond the last."""
    rows, columns = np.indices((grid.height, grid.width))
    pixels = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    ground = np.linalg.inv(grid.matrix) @ pixels
    distance = np.hypot(ground[0], ground[1]).round(6).reshape(grid.height, grid.width)
    return np.searchsorted(RINGS[1:], distance, side="right")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
