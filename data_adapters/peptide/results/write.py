"""A ranking as the files that a proteomics lab opens: mzTab, a table of winners, and what was not used."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transect.data_adapters.peptide.ranking import Ranking
from transect.data_adapters.peptide.results.mztab import mztab_head, mztab_line
from transect.data_adapters.peptide.results.rows import ResultRow, rows_of
from transect.data_adapters.peptide.results.table import ResultTable, write_omissions


def write_ranking(ranking: Ranking, folder: Path, source: str) -> dict[str, float | str]:
    """Write `results.mztab`, `results.csv` and `omitted.csv` into `folder`.

    The mzTab has a row for each of the best candidates of a spectrum, the table one for every spectrum, and the third a
    row for everything in the inputs that was not used. The spectra are drained once and kept on disk until the
    q-values, which take all of them, are known; memory holds a number for each. Equal rankings make equal bytes.

    Args:
        ranking: The answers, drained here.
        folder: An empty one.
        source: The model and its version in a line.

    Returns:
        `spectra`, `answered`, where the model was calibrated those `accepted` at `fdr`, `tools` and `omissions`.

    Raises:
        OSError: a file could not be written whole; what is in `folder` then is worth nothing.
    """
    with TemporaryFile("w+", dir=folder, encoding="utf-8") as kept:
        found = _drain(ranking, kept)
        q = q_values(found.probabilities)
        with (
            open(folder / "results.mztab", "w", encoding="utf-8", newline="\n") as mztab,
            open(folder / "results.csv", "w", encoding="utf-8", newline="") as table,
        ):
            mztab.writelines(mztab_head(ranking, source, found.modifications, found.plain_cysteine))
            results, number = ResultTable(table, ranking.fdr), 0
            for rows, q_value in zip(_kept(kept), q, strict=True):
                winner = replace(rows[0], q_value=float(q_value))
                results.add(winner)
                for row in [winner, *rows[1:]]:
                    if row.rank:
                        number += 1
                        mztab.write(mztab_line(row, number, ranking.run.reference))
    with open(folder / "omitted.csv", "w", encoding="utf-8", newline="") as file:
        write_omissions(file, ranking.run.omissions)
    facts: dict[str, float | str] = {"spectra": len(q), "answered": found.answered}
    if not np.isnan(q).all():
        facts |= {"accepted": int((q <= ranking.fdr).sum()), "fdr": ranking.fdr}
    facts |= {"tools": ", ".join(ranking.run.tools), "omissions": len(ranking.run.omissions)}
    return facts


@dataclass
class _Found:
    """What only the end of the spectra tells."""

    probabilities: "array[float]" = field(default_factory=lambda: array("d"))
    modifications: set[tuple[str, str, str]] = field(default_factory=set)
    plain_cysteine: bool = False
    answered: int = 0


def _drain(ranking: Ranking, kept: IO[str]) -> _Found:
    """Write the rows of each spectrum as a line of JSON to `kept`."""
    found = _Found()
    for ranked in ranking.blocks:
        rows = list(rows_of(ranked, ranking.top))
        kept.write(json.dumps([vars(row) for row in rows]) + "\n")
        found.probabilities.append(rows[0].probability)
        found.answered += rows[0].rank > 0
        found.modifications.update(one[1:] for row in rows for one in row.modifications)
        found.plain_cysteine |= any("C" in one.candidate.peptide.residues for one in ranked.ranking[: ranking.top])
    return found


def q_values(probabilities: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """The false discovery rate among all winners that are at least as probable as each, by their probabilities.

    That is the mean of 1 - p over them, as Winnow estimates it without decoys (InstaDeep 2025); it grows as the
    probability falls. NaN where the probability is.

    Args:
        probabilities: of the winners, `(winners,)`.
        weights: of the winners, above 0; equal by default.
    """
    p = np.asarray(probabilities, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    descending = known[np.argsort(-p[known], kind="stable")]
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    rates = np.cumsum((1 - p[descending]) * weight[descending]) / np.cumsum(weight[descending])
    # Equal probabilities are accepted together: they have the rate of the last of them.
    last = np.searchsorted(-p[descending], -p[descending], side="right") - 1
    q = np.full(len(p), np.nan)
    q[descending] = rates[last]
    return q


def _kept(file: IO[str]) -> Iterator[list[ResultRow]]:
    file.seek(0)
    for line in file:
        yield [ResultRow(**one) for one in json.loads(line)]
