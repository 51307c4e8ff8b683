"""Scores of a reranker, and of choices that need none, from what single spectra contribute."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transect.apps.peptide import calibration
from transect.apps.peptide.baselines import UNTRAINED, Choice, FirstOf
from transect.apps.peptide.config import Calibration
from transect.apps.peptide.matching import DALTON, STRICT, residue_matches
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.ranking import RankedSpectrum

Row: TypeAlias = dict[str, Any]
"""What a labelled spectrum contributes, in plain numbers: see `spectrum_row`."""
Measures: TypeAlias = dict[str, Any]
"""The rows of a case by column: see `joined`."""

RERANKER = "reranker"
COUNTS = ("predicted", "matched", "matched_strict", "right", "right_strict", "right_merged", "right_exact")
BESIDE = ("peptide_recall", "peptide_recall_strict", "amino_acid_precision")
"""The metrics that are told of every choice beside the reranker's; of tools, which have scores, the area too."""
BEST_TOOL = "best-tool"
CACHED_SUMS = 2048
"""Sums that are kept: a bootstrap asks a thousand times for those of the same measures, which nobody changes."""


def spectrum_row(ranked: RankedSpectrum, choices: Mapping[str, Choice]) -> Row | None:
    """What a spectrum contributes to the scores; None without a label.

    Returns:
        `true`, the number of the label's elements; `modified`, 1 if any but a cysteine is; `features` of the winner and
        its `probability`, None where there is none; and `outcomes` of the reranker and of all `choices` by name:
        `COUNTS` in order, then the score by which it would be accepted, None where it has none. A spectrum without
        candidates counts as one that nothing was predicted for.
    """
    candidate_set, label = ranked.candidate_set, ranked.candidate_set.spectrum.label
    if label is None:
        return None
    counts: dict[int | None, list[int]] = {None: outcome(None, label)}

    def counts_of(index: int | None) -> list[int]:
        if index is not None and index not in counts:
            counts[index] = outcome(candidate_set.candidates[index].peptide, label)
        return counts[index]

    winner = ranked.ranking[0] if ranked.ranking else None
    won = outcome(winner.candidate.peptide if winner else None, label)
    outcomes: dict[str, list[float | None]] = {RERANKER: [*won, winner.score if winner else None]}
    for name, choose in choices.items():
        index = choose(candidate_set)
        score = math.nan
        if index is not None and isinstance(choose, FirstOf):
            score = choose.score(candidate_set.candidates[index])
        outcomes[name] = [*counts_of(index), _known(score)]
    return {
        "true": len(label.residues),
        "modified": int(any("[" in residue and residue[0] != "C" for residue in label.residues)),
        "features": None if winner is None else list(calibration.features(ranked)),
        "probability": _known(ranked.probability) if winner else None,
        "outcomes": outcomes,
    }


def outcome(predicted: Peptide | None, label: Peptide) -> list[int]:
    """`COUNTS` of one prediction, None being a missing one.

    `predicted`: its elements; `matched` and `matched_strict`: those of them that are right by the rules of DeepNovo and
    of ProteoBench, never more than either peptide has, which pairs from both ends could make of them. `right` and
    `right_strict`: 1 if all are; `right_merged` and `right_exact`: 1 if it is spelled like the label, with isoleucine
    and leucine merged or told apart.
    """
    if predicted is None:
        return [0] * len(COUNTS)
    most = min(len(predicted.residues), len(label.residues))
    loose, strict = (residue_matches(predicted, label, rule) for rule in (DALTON, STRICT))
    return [
        len(predicted.residues),
        min(int(loose.sum()), most),
        min(int(strict.sum()), most),
        int(loose.all()),
        int(strict.all()),
        int(predicted.merged == label.merged),
        int(predicted.proforma == label.proforma),
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def joined(rows: Iterable[Row]) -> Measures:
    """The rows of a case by column, and those of each choice below `outcomes` by `COUNTS` and "score"."""
    table = list(rows)
    names = list(table[0]["outcomes"]) if table else [RERANKER]
    outcomes = {
        name: {
            column: [row["outcomes"][name][place] for row in table] for place, column in enumerate((*COUNTS, "score"))
        }
        for name in names
    }
    plain = ("true", "modified", "features", "probability")
    return {name: [row[name] for row in table] for name in plain} | {"outcomes": outcomes}


def fitted(measures: Sequence[Measures]) -> Calibration:
    """The calibration that was right on these measures."""
    rows = [
        (row, bool(right))
        for one in measures
        for row, right in zip(one["features"], one["outcomes"][RERANKER]["right"], strict=True)
        if row is not None
    ]
    return calibration.fit([row for row, _ in rows], [right for _, right in rows])


def calibrated(measures: Sequence[Measures], by: Calibration) -> list[Measures]:
    """The measures with the probabilities that a calibration gives; without any if it is not fitted."""
    return [{**one, "probability": _probabilities(_Same(one["features"]), by)} for one in measures]


def summary_of(measures: Sequence[Measures], fdr: float) -> dict[str, float]:
    """All metrics over all labelled spectra; NaN where there is nothing to divide by.

    `peptide_recall` is the goal: winners that are right, of all labelled spectra, those without a prediction included.
    `peptide_precision` is of the predicted ones, `amino_acid_precision` and `amino_acid_recall` are of the predicted
    and of the true amino acids, `coverage` is the share with a prediction. Right is what DeepNovo's rule of 0.1 and
    0.5 Da calls so; "strict" is ProteoBench's of 20 and 50 ppm, "merged" the spelling with I as L, "exact" the spelling
    with I and L told apart. `peptide_recall_modified` is of the labels with a modification other than cysteine's.
    `precision_coverage_auc` is the area under `curve`. Where the reranker is calibrated,
    `calibration_error` is the expected one, `accepted_share` of the labelled spectra is accepted at the false discovery
    rate `fdr`, and `accepted_wrong_share` of these is wrong.

    Metrics of other choices have their name in front: `vote_peptide_recall`. The best tool is the one of the highest
    peptide recall, which nobody knows beforehand.
    """
    names = dict.fromkeys([RERANKER, *(name for one in measures for name in one["outcomes"])])
    scores = {name: _scores(measures, name) for name in names}
    tools = [name for name in names if name not in (RERANKER, *UNTRAINED)]
    if tools:
        scores[BEST_TOOL] = max((scores[name] for name in tools), key=lambda one: one["peptide_recall"])
    beside = {name: BESIDE if name in UNTRAINED else (*BESIDE, "precision_coverage_auc") for name in scores}
    beside.pop(RERANKER, None)
    return {
        **scores.get(RERANKER, {}),
        **_calibrated(measures, fdr),
        **{f"{name}_{metric}": scores[name][metric] for name, shown in beside.items() for metric in shown},
    }


def _scores(measures: Sequence[Measures], name: str) -> dict[str, float]:
    """The metrics of one choice over the cases that have it."""
    added = np.sum([one.counts for one in _having(measures, name)] or [np.zeros(len(ADDED), np.int64)], 0)
    total = dict(zip(ADDED, added.tolist(), strict=True))
    spectra, true, predictions = total["spectra"], total["true"], total["predictions"]
    return {
        "peptide_recall": _share(total["right"], spectra),
        "peptide_precision": _share(total["right"], predictions),
        "amino_acid_precision": _share(total["matched"], total["predicted"]),
        "amino_acid_recall": _share(total["matched"], true),
        "coverage": _share(predictions, spectra),
        "peptide_recall_strict": _share(total["right_strict"], spectra),
        "amino_acid_precision_strict": _share(total["matched_strict"], total["predicted"]),
        "amino_acid_recall_strict": _share(total["matched_strict"], true),
        "peptide_recall_merged": _share(total["right_merged"], spectra),
        "peptide_recall_exact": _share(total["right_exact"], spectra),
        "peptide_recall_modified": _share(total["modified_right"], total["modified"]),
        "precision_coverage_auc": _area(*curve(measures, name)),
    }


class _Same:
    """A key that equals itself alone; it keeps `it` alive, so that nothing else can have its identity."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


class _Sums(NamedTuple):
    """One choice in one case: what is `ADDED` up over its spectra, and two columns as arrays."""

    counts: NDArray[np.int64]
    right: NDArray[np.float64]
    score: NDArray[np.float64]


ADDED = (*COUNTS, "predictions", "spectra", "true", "modified", "modified_right")


def _having(measures: Sequence[Measures], name: str) -> list[_Sums]:
    """The sums of one choice in the cases that have it."""
    having = [one for one in measures if name in one["outcomes"]]
    return [_sums(_Same(one["outcomes"][name]), _Same(one["true"]), _Same(one["modified"])) for one in having]


@lru_cache(CACHED_SUMS)
def _sums(columns: _Same, true: _Same, modified: _Same) -> _Sums:
    table = np.array([columns.it[count] for count in COUNTS], np.int64)
    is_modified, right = np.array(modified.it, np.bool_), np.array(columns.it["right"], np.int64)
    predictions = (table[COUNTS.index("predicted")] > 0).sum()
    besides = (predictions, len(true.it), sum(true.it), is_modified.sum(), right[is_modified].sum())
    counts = np.array([*table.sum(1), *besides], np.int64)
    return _Sums(counts, right.astype(np.float64), np.array(columns.it["score"], np.float64))


@lru_cache(CACHED_SUMS)
def _probabilities(of: _Same, by: Calibration) -> list[float | None]:
    return [None if row is None else _known(calibration.probability(by, row)) for row in of.it]


def _calibrated(measures: Sequence[Measures], fdr: float) -> dict[str, float]:
    probabilities, right = winners(measures)
    if np.isnan(probabilities).all():
        return dict.fromkeys(("calibration_error", "accepted_share", "accepted_wrong_share"), math.nan)
    accepted, wrong = calibration.realised(probabilities, right, fdr)
    return {
        "calibration_error": calibration.expected_calibration_error(probabilities, right),
        "accepted_share": _share(accepted, sum(len(one["true"]) for one in measures)),
        "accepted_wrong_share": wrong,
    }


def winners(measures: Sequence[Measures]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probabilities of all spectra, NaN where there is none, and whether their winners are right, `(spectra,)`."""
    probabilities = [value for one in measures for value in one["probability"]]
    right = [value for one in measures for value in one["outcomes"][RERANKER]["right"]]
    return np.array(probabilities, np.float64), np.array(right, np.bool_)


def curve(measures: Sequence[Measures], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`precision_coverage` of one choice over the cases that have it; empty where it has no scores.

    The reranker's winners go by their probabilities, once it is calibrated.
    """
    having = _having(measures, name)
    if not having:
        return precision_coverage(np.empty(0), np.empty(0), 0)
    scores = np.concatenate([one.score for one in having])
    if name == RERANKER and not np.isnan(probabilities := winners(measures)[0]).all():
        scores = probabilities
    right = np.concatenate([one.right for one in having])
    known = ~np.isnan(scores)
    return precision_coverage(scores[known], right[known], sum(len(one.right) for one in having))


def precision_coverage(
    scores: NDArray[np.float64], right: NDArray[np.float64], spectra: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision of the predictions with the best scores, beside the share of all `spectra` that they are.

    Returns:
        coverage, ascending, and precision: one point for each distinct score. Equals are accepted together, so that the
        order of the files decides nothing. The curve ends at the share of spectra that have a prediction.
    """
    order = np.argsort(-scores, kind="stable")
    accepted = 1 + np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    return accepted / max(spectra, 1), np.cumsum(right[order])[accepted - 1] / accepted


def _area(coverage: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Under the straight lines between the points, and as high as the first of them in front of it; NaN without any."""
    if not len(coverage):
        return math.nan
    before = np.concatenate([precision[:1], precision[:-1]])
    return float((np.diff(coverage, prepend=0) * (precision + before) / 2).sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
