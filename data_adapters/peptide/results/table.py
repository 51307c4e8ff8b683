"""Write result rows, in ProteoBench's custom format, and omissions as CSV that is safe for spreadsheets."""

import csv
import math
from collections.abc import Iterable, Iterator
from typing import TextIO

from transect.data_adapters.peptide.results.rows import ResultRow, plain
from transect.data_adapters.peptide.spectrum import Omission

COLUMNS = (
    "spectrum_id",
    "index",
    "scan",
    "title",
    "precursor_mz",
    "charge",
    "retention_time",
    "sequence",
    "score",
    "aa_scores",
    "probability",
    "q_value",
    "accepted",
    "deviation_da",
    "margin",
    "mass_error_ppm",
    "fits_precursor",
    "tools",
    "problem",
)


class ResultTable:
    """A CSV of the top-ranked candidates, one row per spectrum; `fdr` is the rate at which they are accepted.

    The candidates of an ensemble have the column `score_spread`.
    """

    def __init__(self, file: TextIO, fdr: float, has_spread: bool = False) -> None:
        self.writer, self.fdr, self.has_spread = csv.writer(file, lineterminator="\n"), fdr, has_spread
        self.writer.writerow((*COLUMNS, *(["score_spread"] if has_spread else [])))

    def add(self, row: ResultRow) -> None:
        """Write the top-ranked candidate of a spectrum, or a spectrum without candidates.

        `spectrum_id` is `scan=N` if the scan is a number, else `index=N`. Unknown values are empty.
        """
        answered = row.rank > 0
        self.writer.writerow(
            (
                f"scan={row.scan}" if row.scan.isdecimal() else f"index={row.index}",
                row.index,
                harmless(row.scan),
                harmless(row.title),
                _number(row.precursor_mz),
                row.charge or "",
                _number(row.retention_time),
                row.proforma,
                _number(row.score),
                ",".join(f"{score:.5f}" for score in row.residue_scores),
                _number(row.probability),
                _number(row.q_value),
                "" if math.isnan(row.q_value) else _yes_no(row.q_value <= self.fdr),
                _number(row.deviation),
                _number(row.margin),
                _number(row.mass_error_ppm),
                _yes_no(row.fits) if answered else "",
                harmless(", ".join(row.tools)),
                harmless(row.problem),
                *([_number(row.spread)] if self.has_spread else []),
            )
        )


def write_omissions(file: TextIO, omissions: Iterable[Omission]) -> None:
    """Write one row for each omission."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("file", "line", "spectrum", "what", "detail"))
    writer.writerows(_omission_cells(omissions))


def _omission_cells(omissions: Iterable[Omission]) -> Iterator[tuple[object, ...]]:
    for omission in omissions:
        texts = [harmless(plain(text)) for text in (omission.file, omission.spectrum, omission.what, omission.detail)]
        yield texts[0], omission.line or "", *texts[1:]


def harmless(text: str) -> str:
    """`text`, escaped so that no spreadsheet interprets it as a formula."""
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def _number(value: float) -> str:
    return f"{value:.10g}" if math.isfinite(value) else ""


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
