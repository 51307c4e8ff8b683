"""The slices, lesions and studies of many cases in arrays of their own, scored by the model and by SUV thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution
from transect.apps.petct.calibration import probability
from transect.apps.petct.config import Calibration
from transect.apps.petct.ranking import Ranking

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

SCORERS = ("model", "suv4", "suv41")
"""The model; the largest SUV of a slice; and that in proportion to the largest SUV of the study."""

SUV_THRESHOLD, SHARE_THRESHOLD = 4.0, 0.41
"""Slices with a voxel above these are flagged by the baselines: SUV 4.0, and 41 % of the maximum of the study."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Slices, lesions or studies of all cases with one score each.

    Args:
        score: float64 `(n,)`; larger is more likely tumour.
        flag: bool `(n,)`: a slice is flagged; a lesion or a study has a flagged slice.
        positive: bool `(n,)`: has tumour.
        case: int64 `(n,)`, the index of its case.
    """

    score: Values
    flag: Flags
    positive: Flags
    case: NDArray[np.int64]

    @cached_property
    def ranking(self) -> Ranking:
        """The scores, sorted once for all weights."""
        return Ranking(self.score, self.positive)


class Pool:
    """The contributions of many cases, joined.

    Args:
        contributions: Of `PetctMetric.contribution`.
        calibration: Maps logits to probabilities.
        threshold: Probability from which a slice is flagged.
    """

    def __init__(self, contributions: Sequence[Contribution], calibration: Calibration, threshold: float) -> None:
        self.cases = len(contributions)
        self._contributions, self._threshold = contributions, threshold
        slices, lesions = self._joined("scores", 3), self._joined("lesion_scores", 3)
        for table in (slices, lesions):
            table[:, 0] = probability(calibration, table[:, 0])
        self.share = np.array([each["share"] for each in contributions], np.float64)
        self.trained_on = np.array([each["trained_on"] for each in contributions], bool)
        self.area_mm2 = self._joined("area_mm2")
        self.spot = self._joined("spot").astype(np.int64)
        self.slices = self._scored(slices, self._joined("label") > 0, self._cases("label"))
        self.lesions = self._scored(lesions, np.ones(len(lesions), bool), self._cases("lesion_scores"))
        self.studies = {name: _studies(scored) for name, scored in self.slices.items()}

    def _joined(self, name: str, columns: int = 0) -> NDArray[Any]:
        empty = np.zeros((0, columns) if columns else 0)
        return np.concatenate([empty, *(each[name] for each in self._contributions)])

    def _cases(self, name: str) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.cases), [len(each[name]) for each in self._contributions])

    def _scored(self, scores: Values, positive: Flags, case: NDArray[np.int64]) -> dict[str, Scored]:
        flags = (scores[:, 0] >= self._threshold, scores[:, 1] > SUV_THRESHOLD, scores[:, 2] > SHARE_THRESHOLD)
        return {
            name: Scored(scores[:, column], flag, positive, case)
            for column, (name, flag) in enumerate(zip(SCORERS, flags, strict=True))
        }


def _studies(slices: Scored) -> Scored:
    """Each study by its highest-scored slice; one without a slice that counts is left out."""
    case, start = np.unique(slices.case, return_index=True)
    if not len(case):
        return slices
    return Scored(
        np.maximum.reduceat(slices.score, start),
        np.logical_or.reduceat(slices.flag, start),
        np.logical_or.reduceat(slices.positive, start),
        case,
    )
