"""Metrics of the reranker, of de novo tools and of baselines, from per-spectrum contributions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution, Metric
from transect.apps.peptide import calibration
from transect.apps.peptide.baselines import UNTRAINED, choices
from transect.apps.peptide.config import Calibration, State
from transect.apps.peptide.dataset import GRAPH
from transect.apps.peptide.outcomes import COUNTS, RERANKER, joined, spectrum_row
from transect.apps.reliability import expected_calibration_error
from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.ranking import Ranking
from transect.data_adapters.peptide.spectrum import Run

Weights: TypeAlias = NDArray[np.float64]

COMPARED = ("peptide_recall", "peptide_recall_strict", "amino_acid_precision")
"""Metrics of every other choice; tools have scores, and so the area under their curve too."""
BEST_TOOL = "best-tool"


class PeptideMetric(Metric[Run, Ranking]):
    """Recall and precision of peptides and amino acids, for the reranker and other choices.

    Args:
        calibration: maps features to probabilities.
        fdr: false discovery rate at which winners are accepted.
        graph: whether every spectrum has candidates of the spectrum graph, which is then listed as a tool.
    """

    monitor = "peptide_recall"

    def __init__(self, calibration: Calibration, fdr: float, graph: bool) -> None:
        self.calibration, self.fdr, self.graph = calibration, fdr, graph

    def contribution(self, prediction: Ranking, sample: Run) -> Contribution:
        """The columns of `joined` for all labelled spectra, those without a candidate included.

        Raises:
            BadInput: no spectrum is labelled.
        """
        chosen = choices([*sample.tools, GRAPH] if self.graph else sample.tools)
        rows = [row for ranked in prediction.blocks if (row := spectrum_row(ranked, chosen))]
        if not rows:
            expected, advice = "labelled spectra to evaluate on", "predict needs no labels"
            raise BadInput(sample.source, "SEQ", "no labelled spectrum", expected, advice)
        return joined(rows)

    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """See `summary_of`; probabilities are those of the calibration."""
        return summary_of(calibrated(contributions, self.calibration), self.fdr, weights)

    def calibrate(self, contributions: Sequence[Contribution]) -> State:
        """The state with a calibration fitted to the correctness of the winners."""
        return State(calibration=fitted(contributions))


def choices_in(contributions: Sequence[Contribution]) -> list[str]:
    """The names of all choices, the reranker's first."""
    keys = (key.partition("/") for contribution in contributions for key in contribution)
    return list(dict.fromkeys([RERANKER, *(name for kind, _, name in keys if kind == "counts")]))


def fitted(contributions: Sequence[Contribution]) -> Calibration:
    """Fit the calibration to these winners."""
    features = np.concatenate([contribution["features"] for contribution in contributions])
    right = pool(contributions, RERANKER).count("right") > 0
    known = ~np.isnan(features).any(1)
    return calibration.fit(features[known], right[known])


def calibrated(contributions: Sequence[Contribution], by: Calibration) -> list[Contribution]:
    """The contributions with probabilities recomputed by a calibration; NaN if it is not fitted."""
    return [{**each, "probability": calibration.probabilities(by, each["features"])} for each in contributions]


def summary_of(contributions: Sequence[Contribution], fdr: float, weights: Weights | None = None) -> dict[str, float]:
    """All metrics over all labelled spectra; NaN where undefined.

    `peptide_recall` is monitored: the fraction of all labelled spectra, those without a prediction included, whose
    winner is right. `peptide_precision` is the fraction of the predicted ones, `amino_acid_precision` and
    `amino_acid_recall` are fractions of the predicted and of the true amino acids, `coverage` is the fraction of
    spectra with a prediction. A match is by DeepNovo's rule of 0.1 and 0.5 Da; "strict" is ProteoBench's of 20 and
    50 ppm, "merged" equality of sequences with I as L, "exact" equality with I and L distinguished.
    `peptide_recall_modified` is over labels with a modification other than cysteine's. `precision_coverage_auc` is the
    area under `curve`. If the reranker is calibrated, `calibration_error` is the expected calibration error,
    `accepted_share` the fraction of labelled spectra accepted at the false discovery rate `fdr`, and
    `accepted_wrong_share` the fraction of these that is wrong.

    Metrics of other choices are prefixed by their name: `vote_peptide_recall`. "best-tool" is the tool of the highest
    peptide recall on these spectra, known only in hindsight.

    Args:
        contributions: of all cases.
        fdr: false discovery rate at which winners are accepted.
        weights: of the cases, applied to their spectra; equal by default.
    """
    weights = np.ones(len(contributions)) if weights is None else weights
    names = choices_in(contributions)
    scores = {name: _scores(contributions, name, weights) for name in names}
    tools = [name for name in names if name not in (RERANKER, *UNTRAINED)]
    if tools:
        scores[BEST_TOOL] = max((scores[name] for name in tools), key=lambda score: score["peptide_recall"])
    compared = {name: COMPARED if name in UNTRAINED else (*COMPARED, "precision_coverage_auc") for name in scores}
    del compared[RERANKER]
    return {
        **scores[RERANKER],
        **_calibrated(contributions, fdr, weights),
        **{f"{name}_{metric}": scores[name][metric] for name, shown in compared.items() for metric in shown},
    }


@dataclass(frozen=True)
class Pool:
    """The labelled spectra of all cases with a choice: `counts` `(spectra, COUNTS)`, the others `(spectra,)`."""

    counts: NDArray[np.int64]
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    true: NDArray[np.int64]
    modified: NDArray[np.bool_]
    weight: Weights

    def count(self, name: str) -> NDArray[np.int64]:
        """One of COUNTS of each spectrum."""
        return self.counts[:, COUNTS.index(name)]

    def total(self, name: str) -> float:
        """The weighted sum of one of COUNTS."""
        return float(self.weight @ self.count(name))


def pool(contributions: Sequence[Contribution], name: str, weights: Weights | None = None) -> Pool:
    """Pool the spectra of the cases that have a choice and a positive weight; equal weights by default."""
    weights = np.ones(len(contributions)) if weights is None else weights
    pairs = zip(contributions, weights.tolist(), strict=True)
    pooled = [(each, weight) for each, weight in pairs if weight > 0 and f"counts/{name}" in each]
    if not pooled:
        pooled, name = [(joined([]), 1.0)], RERANKER

    def column(key: str) -> NDArray[Any]:
        return np.concatenate([each[key] for each, _ in pooled])

    return Pool(
        counts=column(f"counts/{name}"),
        score=column(f"score/{name}"),
        probability=column("probability"),
        true=column("true"),
        modified=column("modified"),
        weight=np.concatenate([np.full(len(each["true"]), weight) for each, weight in pooled]),
    )


def _scores(contributions: Sequence[Contribution], name: str, weights: Weights) -> dict[str, float]:
    """The metrics of one choice over the cases that have it."""
    pooled = pool(contributions, name, weights)
    weight, total = pooled.weight, pooled.total
    spectra, predictions = float(weight.sum()), float(weight @ (pooled.count("predicted") > 0))
    modified = weight * pooled.modified
    return {
        "peptide_recall": _share(total("right"), spectra),
        "peptide_precision": _share(total("right"), predictions),
        "amino_acid_precision": _share(total("matched"), total("predicted")),
        "amino_acid_recall": _share(total("matched"), float(weight @ pooled.true)),
        "coverage": _share(predictions, spectra),
        "peptide_recall_strict": _share(total("right_strict"), spectra),
        "amino_acid_precision_strict": _share(total("matched_strict"), total("predicted")),
        "amino_acid_recall_strict": _share(total("matched_strict"), float(weight @ pooled.true)),
        "peptide_recall_merged": _share(total("right_merged"), spectra),
        "peptide_recall_exact": _share(total("right_exact"), spectra),
        "peptide_recall_modified": _share(float(modified @ pooled.count("right")), float(modified.sum())),
        "precision_coverage_auc": _area(*curve(contributions, name, weights)),
    }


def _calibrated(contributions: Sequence[Contribution], fdr: float, weights: Weights) -> dict[str, float]:
    pooled = pool(contributions, RERANKER, weights)
    right = pooled.count("right") > 0
    if np.isnan(pooled.probability).all():
        return dict.fromkeys(("calibration_error", "accepted_share", "accepted_wrong_share"), math.nan)
    accepted, wrong = calibration.realised(pooled.probability, right, fdr, pooled.weight)
    return {
        "calibration_error": expected_calibration_error(pooled.probability, right, pooled.weight),
        "accepted_share": _share(accepted, float(pooled.weight.sum())),
        "accepted_wrong_share": wrong,
    }


def curve(
    contributions: Sequence[Contribution], name: str, weights: Weights | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`precision_coverage` of one choice over the cases that have it; empty where it has no scores.

    The reranker's winners are sorted by probability if it is calibrated, by score otherwise.
    """
    pooled = pool(contributions, name, weights)
    is_calibrated = name == RERANKER and not np.isnan(pooled.probability).all()
    scores = pooled.probability if is_calibrated else pooled.score
    known = ~np.isnan(scores)
    right, weight = pooled.count("right")[known].astype(np.float64), pooled.weight[known]
    return precision_coverage(scores[known], right, float(pooled.weight.sum()), weight)


def precision_coverage(
    scores: NDArray[np.float64], right: NDArray[np.float64], spectra: float, weights: Weights | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision-coverage curve: precision of the best-scored predictions against their fraction of all `spectra`.

    Written here because scikit-learn's curves have recall, or the rate of false positives, in place of coverage.

    Args:
        scores: `(predictions,)`, larger is better.
        right: `(predictions,)`, 1 where a prediction is right.
        spectra: number of all spectra, or the sum of their weights.
        weights: `(predictions,)`, above 0; equal by default.

    Returns:
        coverage, ascending, and precision: one point for each distinct score. Ties are accepted together, so that the
        result does not depend on the order of spectra. The curve ends at the fraction of spectra with a prediction.
    """
    weights = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    accepted, correct = (np.cumsum(values[order])[last] for values in (weights, right * weights))
    return accepted / max(spectra, 1), correct / accepted


def _area(coverage: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Area by the trapezoidal rule, extended constantly from the first point to coverage 0; NaN without points."""
    if not len(coverage):
        return math.nan
    before = np.concatenate([precision[:1], precision[:-1]])
    return float((np.diff(coverage, prepend=0) * (precision + before) / 2).sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
