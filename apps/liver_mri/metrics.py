"""Metrics of liver masks: overlap, surface distances in mm, and volumes, each the mean over cases.

An undefined ratio has a value: where neither the prediction nor the label has liver, Dice, Jaccard, precision, recall
and NSD are 1 and distances 0; where only one of them has, all of the former are 0 and distances are infinite. Infinite
distances, and errors in percent of an empty label, are left out of the means; `one_empty_cases` says how many cases
these are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.liver_mri.postprocess import fill_holes, largest_component
from transect.apps.liver_mri.surface import surface_scores
from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.segmentation import Segmentation
from transect.data_adapters.volume.cases import LabelledVolume
from transect.data_adapters.volume.masks import Mask

NSD_TOLERANCE_MM = 2.0
Values = NDArray[np.float64]
"""float64 `(cases,)`."""


class LiverMetric(Metric[LabelledVolume, Segmentation]):
    """Scores of the final mask, and Dice with and without post-processing of any settings."""

    monitor = "dice"

    def contribution(self, prediction: Segmentation, sample: LabelledVolume) -> Contribution:
        """Voxels that agree and differ, surface scores, and Dice with and without post-processing; float64 `()` each.

        `tp`, `fp` and `fn` are numbers of voxels, of `voxel_ml` each. `dice_raw` is that of the mask by the threshold,
        `dice_postprocessed` that of its largest component with holes filled.
        """
        label = sample.label
        if label is None:
            raise BadInput(sample.volume.name, "label", "none", "a mask of the liver to compare with")
        scores = surface_scores(prediction.mask, label, sample.volume.grid, NSD_TOLERANCE_MM)
        tp, fp, fn = overlap(prediction.mask, label)
        values = {
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "voxel_ml": sample.volume.grid.voxel_volume / 1000,
            "hd95_mm": scores.hd95_mm,
            "assd_mm": scores.assd_mm,
            "nsd_2mm": scores.nsd,
            "dice_raw": float(dice(*overlap(prediction.raw, label))),
            "dice_postprocessed": float(dice(*overlap(fill_holes(largest_component(prediction.raw)), label))),
        }
        return {name: np.asarray(value, np.float64) for name, value in values.items()}

    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """Means over cases.

        `volume_difference_ml` is predicted minus labelled volume, `volume_error_percent` its size in percent of the
        label. `one_empty_cases` and `both_empty_cases` count the cases in which only one, or none, of prediction and
        label has liver.
        """
        tp, fp, fn, voxel_ml, hd95, assd, nsd, raw, postprocessed = (
            np.array([contribution[name] for contribution in contributions], np.float64) for name in NAMES
        )
        weights = np.ones(len(tp)) if weights is None else weights
        predicted, labelled = tp + fp, tp + fn
        means = {
            "dice": dice(tp, fp, fn),
            "jaccard": _ratio(tp, tp + fp + fn, 1.0),
            "precision": _ratio(tp, predicted, labelled == 0),
            "recall": _ratio(tp, labelled, predicted == 0),
            "hd95_mm": hd95,
            "assd_mm": assd,
            "nsd_2mm": nsd,
            "volume_difference_ml": (predicted - labelled) * voxel_ml,
            "volume_error_percent": 100 * _ratio(abs(predicted - labelled), labelled, np.where(predicted, np.inf, 0)),
            "dice_raw": raw,
            "dice_postprocessed": postprocessed,
        }
        empty = (predicted == 0).astype(int) + (labelled == 0)
        return {name: _mean(values, weights) for name, values in means.items()} | {
            "one_empty_cases": float(weights @ (empty == 1)),
            "both_empty_cases": float(weights @ (empty == 2)),
        }


NAMES = ("tp", "fp", "fn", "voxel_ml", "hd95_mm", "assd_mm", "nsd_2mm", "dice_raw", "dice_postprocessed")
"""The arrays of a contribution."""


def overlap(mask: Mask, label: Mask) -> tuple[int, int, int]:
    """Numbers of voxels in both masks, only in `mask`, and only in `label`: tp, fp and fn."""
    both = int(np.count_nonzero(mask & label))
    return both, int(np.count_nonzero(mask)) - both, int(np.count_nonzero(label)) - both


def dice(tp: NDArray[np.float64] | int, fp: NDArray[np.float64] | int, fn: NDArray[np.float64] | int) -> Values:
    """2 tp / (2 tp + fp + fn), and 1 where there is nothing to find and nothing found."""
    twice = 2.0 * np.asarray(tp, np.float64)
    return _ratio(twice, twice + fp + fn, 1.0)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64], undefined: NDArray[np.generic] | float) -> Values:
    """`part / whole`, and `undefined` where `whole` is 0."""
    return np.where(whole == 0, undefined, part / np.where(whole == 0, 1, whole))


def _mean(values: Values, weights: Values) -> float:
    """The weighted mean of the finite values; NaN if no case with a weight has one."""
    weights = weights * np.isfinite(values)
    total = weights.sum()
    return float(np.where(weights, values, 0) @ weights / total) if total else float("nan")
