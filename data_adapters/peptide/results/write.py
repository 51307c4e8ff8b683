"""Write a ranking as mzTab, a CSV of top-ranked candidates, and a CSV of omitted inputs."""

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

    `results.mztab` has a row for each of the best `ranking.top` candidates of a spectrum, `results.csv` one row per
    spectrum, and `omitted.csv` one row per input that was not used. Rows are buffered on disk until the q-values, which
    depend on all spectra, are known; memory holds one number per spectrum. Equal rankings give equal bytes.

    Args:
        ranking: Its blocks are consumed here, once.
        folder: An empty folder.
        source: Name and version of the model in one line.

    Returns:
        `spectra`, `answered`, with calibration the number `accepted` at `fdr`, `tools` and `omissions`.

    Raises:
        OSError: a file could not be written completely; discard the contents of `folder`.
    """
    with TemporaryFile("w+", dir=folder, encoding="utf-8") as buffer:
        totals = _consume(ranking, buffer)
        q = q_values(totals.probabilities)
        with (
            open(folder / "results.mztab", "w", encoding="utf-8", newline="\n") as mztab,
            open(folder / "results.csv", "w", encoding="utf-8", newline="") as table,
        ):
            mztab.writelines(mztab_head(ranking, source, totals.modifications, totals.plain_cysteine))
            results, number = ResultTable(table, ranking.fdr, ranking.has_spread), 0
            for rows, q_value in zip(_buffered_rows(buffer), q, strict=True):
                first = replace(rows[0], q_value=float(q_value))
                results.add(first)
                for row in [first, *rows[1:]]:
                    if row.rank:
                        number += 1
                        mztab.write(mztab_line(row, number, ranking.run.reference, ranking.has_spread))
    with open(folder / "omitted.csv", "w", encoding="utf-8", newline="") as file:
        write_omissions(file, ranking.run.omissions)
    facts: dict[str, float | str] = {"spectra": len(q), "answered": totals.answered}
    if not np.isnan(q).all():
        facts |= {"accepted": int((q <= ranking.fdr).sum()), "fdr": ranking.fdr}
    facts |= {"tools": ", ".join(ranking.run.tools), "omissions": len(ranking.run.omissions)}
    return facts


@dataclass
class _Totals:
    """Totals over all spectra of a run."""

    probabilities: "array[float]" = field(default_factory=lambda: array("d"))
    modifications: set[tuple[str, str, str]] = field(default_factory=set)
    plain_cysteine: bool = False
    answered: int = 0


def _consume(ranking: Ranking, buffer: IO[str]) -> _Totals:
    """Consume the ranking and buffer the rows of each spectrum as a line of JSON."""
    totals = _Totals()
    for ranked in ranking.blocks:
        rows = list(rows_of(ranked, ranking.top))
        buffer.write(json.dumps([vars(row) for row in rows]) + "\n")
        totals.probabilities.append(rows[0].probability)
        totals.answered += rows[0].rank > 0
        totals.modifications.update(item[1:] for row in rows for item in row.modifications)
        totals.plain_cysteine |= any("C" in item.candidate.peptide.residues for item in ranked.ranking[: ranking.top])
    return totals


def q_values(probabilities: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """q-values from calibrated probabilities, without decoys.

    The q-value is the mean of 1 - p over all PSMs that are at least as probable, as in Winnow (InstaDeep 2025).

    Args:
        probabilities: `(psms,)`, probability of each PSM to be correct; may be NaN.
        weights: `(psms,)`, positive; equal by default.

    Returns:
        `(psms,)` float64, non-increasing in the probability; NaN for NaN.
    """
    p = np.asarray(probabilities, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    descending = known[np.argsort(-p[known], kind="stable")]
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    rates = np.cumsum((1 - p[descending]) * weight[descending]) / np.cumsum(weight[descending])
    # Equal probabilities are accepted together, so each gets the rate of the last of them.
    last = np.searchsorted(-p[descending], -p[descending], side="right") - 1
    q = np.full(len(p), np.nan)
    q[descending] = rates[last]
    return q


def _buffered_rows(file: IO[str]) -> Iterator[list[ResultRow]]:
    file.seek(0)
    for line in file:
        yield [ResultRow(**fields) for fields in json.loads(line)]
