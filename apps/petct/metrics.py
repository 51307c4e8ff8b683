"""Metrics of flagged slices: per slice, per lesion and per study, of the model and of two SUV thresholds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.petct.calibration import fit, operating_point
from transect.apps.petct.config import Calibration, State
from transect.apps.petct.lesions import lesions
from transect.apps.petct.organs import spots
from transect.apps.petct.pool import SCORERS, Pool, Scored
from transect.apps.reliability import expected_calibration_error
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study
from transect.data_adapters.volume.identity import pseudonym

Weights = NDArray[np.float64]

AREAS_CM2 = {
    "below_1_cm2": (0, 1),
    "1_to_3_cm2": (1, 3),
    "3_to_10_cm2": (3, 10),
    "from_10_cm2": (10, np.inf),
}
"""Bins of the tumour's area in a slice: at least the first, less than the second number."""


class PetctMetric(Metric[Study, SliceScores]):
    """Metrics of slices with tumour.

    Args:
        sensitivity: Share of the lesions that the threshold of `calibrate` must hit.
        threshold: Probability from which a slice is flagged, if a person chose it; None takes that of the state.
        state: The app's, in which `calibrate` replaces threshold and calibration.
    """

    monitor = "auroc"

    def __init__(self, sensitivity: float, threshold: float | None, state: State) -> None:
        self.sensitivity, self.state = sensitivity, state
        self.threshold = state.threshold if threshold is None else threshold
        self._last: tuple[list[Contribution], Pool] = ([], Pool([], state.calibration, self.threshold))

    def contribution(self, prediction: SliceScores, sample: Study) -> Contribution:
        """Scores and labels of the slices that count, and scores of the lesions in them.

        `scores` float64 `(slices, 3)`: the logit before calibration, the largest SUV, and this in proportion to the
        largest SUV of the study; `label` bool, `area_mm2` float64 (0 for a contour smaller than a voxel) and `spot`
        uint8 `(slices,)`, an index of `organs.NAMES`: where the hottest voxel without tumour lies. `lesion_scores`
        float64 `(lesions, 3)`: the highest of each score over the slices of a lesion. `share` float64 `()` is that of
        the slices that count, `trained_on` bool `()` whether the training data had this patient.

        Raises:
            BadInput: the study has no label.
        """
        label = sample.label
        if label is None:
            raise BadInput(sample.pet.name, "label", "none", "a label of the tumour", "predict needs no label")
        counted, affine = sample.counted, sample.pet.grid.affine
        pixel = float(np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1])))
        suv = sample.pet.values.max(axis=(0, 1)).astype(np.float64)
        share = suv / max(float(suv.max()), np.finfo(float).tiny)
        scores = np.stack([prediction.logit.astype(np.float64), suv, share], axis=1)
        covered = [
            scores[lesion.first : lesion.last + 1][counted[lesion.first : lesion.last + 1]] for lesion in lesions(label)
        ]
        return {
            "scores": scores[counted],
            "label": label.positive[counted],
            "area_mm2": (np.count_nonzero(label.mask, axis=(0, 1)) * pixel)[counted],
            "spot": spots(sample, label.mask)[counted],
            "share": np.array(counted.mean()),
            "trained_on": np.array(bool(sample.patient) and pseudonym(sample.patient) in self.state.patients),
            "lesion_scores": np.array([each.max(axis=0) for each in covered if len(each)]).reshape(-1, len(SCORERS)),
        }

    def summary(self, contributions: Sequence[Contribution], weights: Weights | None = None) -> dict[str, float]:
        """All metrics; NaN where undefined.

        Of slices: `auroc`, which is monitored, `auprc`, `sensitivity`, `specificity` and `precision`.
        `sensitivity_per_lesion` is the share of lesions with a flagged slice, `false_slices_per_study` the mean number
        of flagged slices without tumour in all slices of a study. Studies count by their highest-scored slice:
        `auroc_per_study`, `auprc_per_study`, and `sensitivity_per_study` and `specificity_per_study` of having any
        flagged slice; where slices are split, these are of the part of a study.
        `sensitivity_below_1_cm2` and so on is that of positive slices with such an area of tumour. `calibration_error`
        is the expected calibration error of the probabilities of slices in ten bins, `brier` their mean squared error.

        The same of slices that are flagged where a voxel is above SUV 4.0 has the prefix `suv4_`, and above 41 % of the
        largest SUV of the study `suv41_`.

        Args:
            contributions: One a case.
            weights: float64 `(cases,)`, of all slices and lesions of a case; 1 by default.
        """
        pool = self.pooled(contributions)
        weights = np.ones(pool.cases) if weights is None else weights
        slices = pool.slices["model"]
        weight, positive = weights[slices.case], slices.positive
        summary = flagged(pool, "model", weights)
        for name, (low, high) in AREAS_CM2.items():
            of_size = weight * positive * (pool.area_mm2 >= 100 * low) * (pool.area_mm2 < 100 * high)
            summary[f"sensitivity_{name}"] = _share(of_size @ slices.flag, of_size.sum())
        summary["calibration_error"] = expected_calibration_error(slices.score, positive, weight)
        summary["brier"] = _share(weight @ (slices.score - positive) ** 2, weight.sum())
        for scorer in SCORERS[1:]:
            summary |= {f"{scorer}_{name}": value for name, value in flagged(pool, scorer, weights).items()}
        return summary

    def calibrate(self, contributions: Sequence[Contribution]) -> State | None:
        """The state with a calibration of the logits, and the threshold whose flags hit `sensitivity` of the lesions.

        Where no calibration can be fitted (see `calibration.fit`), probabilities are the sigmoid of the logits. None
        without lesions: threshold and calibration then stay as they are.
        """
        raw = Pool(contributions, Calibration(), self.threshold)
        logit = np.concatenate([np.zeros(0), *(each["scores"][:, 0] for each in contributions)])
        by = fit(logit, raw.slices["model"].positive) or Calibration()
        pool = Pool(contributions, by, self.threshold)
        slices, lesions = pool.slices["model"].score, pool.lesions["model"].score
        threshold = operating_point(slices, lesions, self.sensitivity)
        if threshold is None:
            return None
        auroc, _ = raw.slices["model"].ranking.areas(np.ones(len(logit)))
        known = None if np.isnan(auroc) else auroc
        return replace(self.state, calibration=by, threshold=threshold, validation_auroc=known)

    def pooled(self, contributions: Sequence[Contribution]) -> Pool:
        """The contributions joined, with probabilities and flags of the state; kept for the next call.

        A bootstrap summarizes the same contributions 1000 times.
        """
        known, pool = self._last
        if len(known) != len(contributions) or any(a is not b for a, b in zip(known, contributions, strict=True)):
            pool = Pool(contributions, self.state.calibration, self.threshold)
            self._last = list(contributions), pool
        return pool


def flagged(pool: Pool, scorer: str, weights: Weights) -> dict[str, float]:
    """The metrics that a scorer and its flags have.

    A proportion of the maximum of the study cannot rank studies: it is 1 in each.
    """
    slices, lesions, studies = (level[scorer] for level in (pool.slices, pool.lesions, pool.studies))
    auroc, auprc = slices.ranking.areas(weights[slices.case])
    tp, fp, fn, tn = _confusion(slices, weights)
    study_tp, study_fp, study_fn, study_tn = _confusion(studies, weights)
    lesion = weights[lesions.case]
    return {
        "auroc": auroc,
        "auprc": auprc,
        "sensitivity": _share(tp, tp + fn),
        "specificity": _share(tn, tn + fp),
        "precision": _share(tp, tp + fp),
        "sensitivity_per_lesion": _share(lesion @ lesions.flag, lesion.sum()),
        "false_slices_per_study": _share(fp, weights @ pool.share),
        **(_areas_of_studies(studies, weights) if scorer != "suv41" else {}),
        "sensitivity_per_study": _share(study_tp, study_tp + study_fn),
        "specificity_per_study": _share(study_tn, study_tn + study_fp),
    }


def _areas_of_studies(studies: Scored, weights: Weights) -> dict[str, float]:
    auroc, auprc = studies.ranking.areas(weights[studies.case])
    return {"auroc_per_study": auroc, "auprc_per_study": auprc}


def _confusion(scored: Scored, weights: Weights) -> tuple[float, float, float, float]:
    """Weighted tp, fp, fn and tn."""
    weight, flag, positive = weights[scored.case], scored.flag, scored.positive
    groups = (flag & positive, flag & ~positive, ~flag & positive, ~flag & ~positive)
    tp, fp, fn, tn = (float(weight @ group) for group in groups)
    return tp, fp, fn, tn


def _share(part: SupportsFloat, whole: SupportsFloat) -> float:
    return float(part) / float(whole) if whole else float("nan")
