"""Outcomes of the reranker, of de novo tools and of baselines on single labelled spectra."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np

from transect.apps.base import Contribution
from transect.apps.peptide import calibration
from transect.apps.peptide.baselines import Choice, FirstOf
from transect.apps.peptide.matching import DALTON, STRICT, residue_matches
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.ranking import RankedSpectrum

Row: TypeAlias = dict[str, Any]
"""The contribution of one labelled spectrum, see `spectrum_row`."""
RERANKER = "reranker"
COUNTS = ("predicted", "matched", "matched_strict", "right", "right_strict", "right_merged", "right_exact")


def spectrum_row(ranked: RankedSpectrum, choices: Mapping[str, Choice]) -> Row | None:
    """The contribution of a spectrum to the metrics; None without a label.

    Returns:
        `true`, the length of the label; `modified`, 1 if it has a modification other than cysteine's; `features` of the
        winner and its `probability`, None without a winner; and `outcomes` of the reranker and of all `choices` by
        name: `COUNTS` in order, then its score, None where it has none. A spectrum without candidates counts as one
        without a prediction.
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
    """`COUNTS` of one prediction; None for a missing one.

    `predicted`: its length; `matched` and `matched_strict`: its right amino acids by the rules of DeepNovo and of
    ProteoBench, at most the length of the shorter peptide, which pairing from both ends could exceed. `right` and
    `right_strict`: 1 if all match; `right_merged` and `right_exact`: 1 if the sequence equals the label, with
    isoleucine and leucine merged or distinguished.
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


def joined(rows: Iterable[Row]) -> Contribution:
    """Stack the rows of a case as columns.

    Returns:
        `true` int64 and `modified` bool `(spectra,)`; `features` float64 `(spectra, FEATURES)` and `probability`
        float64 `(spectra,)`, NaN without a winner; and for each choice `counts/NAME` int64 `(spectra, COUNTS)` and
        `score/NAME` float64 `(spectra,)`, NaN where it has none.
    """
    table = list(rows)
    names = list(table[0]["outcomes"]) if table else [RERANKER]
    blank = (math.nan,) * calibration.FEATURES
    columns: Contribution = {
        "true": np.array([row["true"] for row in table], np.int64),
        "modified": np.array([row["modified"] for row in table], np.bool_),
        "features": np.array([row["features"] or blank for row in table], np.float64).reshape(-1, len(blank)),
        "probability": np.array([row["probability"] for row in table], np.float64),
    }
    for name in names:
        outcomes = np.array([row["outcomes"][name] for row in table], np.float64).reshape(-1, len(COUNTS) + 1)
        columns[f"counts/{name}"] = outcomes[:, :-1].astype(np.int64)
        columns[f"score/{name}"] = outcomes[:, -1]
    return columns
