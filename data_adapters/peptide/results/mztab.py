"""Write result rows as mzTab 1.0 (Summary, Identification); pyteomics reads mzTab but does not write it."""

import math
from collections.abc import Collection, Iterator
from pathlib import Path

from transect.data_adapters.peptide.ranking import Ranking
from transect.data_adapters.peptide.results.rows import ResultRow, plain
from transect.data_adapters.peptide.spectra.source import format_of

SCORES = ("[, , Transect reranking score, ]", "[MS, MS:1002357, PSM-level probability, ]")
Q_VALUE = "[MS, MS:1002354, PSM-level q-value, ]"
ENGINE = "[, , Transect, ]"

FORMATS = {
    "mgf": "[MS, MS:1001062, Mascot MGF file, ]",
    "mzml": "[MS, MS:1000584, mzML file, ]",
    "mzxml": "[MS, MS:1000566, ISB mzXML file, ]",
}
ID_FORMATS = {
    "index": "[MS, MS:1000774, multiple peak list nativeID format, ]",
    "scan": "[MS, MS:1000776, scan number only nativeID format, ]",
}

COLUMNS = (
    "sequence",
    "PSM_ID",
    "accession",
    "unique",
    "database",
    "database_version",
    "search_engine",
    "search_engine_score[1]",
    "search_engine_score[2]",
    "search_engine_score[3]",
    "modifications",
    "retention_time",
    "charge",
    "exp_mass_to_charge",
    "calc_mass_to_charge",
    "spectra_ref",
    "pre",
    "post",
    "start",
    "end",
    "opt_global_aa_scores",
    "opt_global_cv_MS:1003169_proforma_peptidoform_sequence",
    "opt_global_rank",
    "opt_global_predicted_mass_deviation_da",
    "opt_global_margin",
    "opt_global_precursor_mass_error_ppm",
    "opt_global_fits_precursor",
    "opt_global_tools",
    "opt_global_scan",
    "opt_global_title",
)

SPREAD = "opt_global_score_spread"
"""The column of the standard deviation of an ensemble's scores."""

Modifications = Collection[tuple[str, str, str]]
"""Identifier, name and site of the modifications in the results."""


def mztab_head(ranking: Ranking, source: str, modifications: Modifications, plain_cysteine: bool) -> Iterator[str]:
    """The metadata section and the header of the PSM section.

    Args:
        ranking: Gives the run and the settings.
        source: Name and version of the model.
        modifications: The modifications in the results.
        plain_cysteine: Whether unmodified cysteine occurs; if not, carbamidomethyl cysteine is a fixed modification.
            All other modifications are variable.
    """
    run = ranking.run
    path = Path(run.source).absolute()
    metadata = [
        ("mzTab-version", "1.0.0"),
        ("mzTab-mode", "Summary"),
        ("mzTab-type", "Identification"),
        (
            "description",
            f"Peptides proposed by {', '.join(map(plain, run.tools)) or 'no tool'} and reranked by Transect",
        ),
        ("software[1]", f"[, , {_quoted(source)}, ]"),
        *((f"psm_search_engine_score[{number}]", score) for number, score in enumerate((*SCORES, Q_VALUE), 1)),
        *_modification_lines(modifications, plain_cysteine),
        *((f"software[1]-setting[{number}]", text) for number, text in enumerate(_settings(ranking), 1)),
        ("ms_run[1]-format", FORMATS[format_of(run.source)]),
        ("ms_run[1]-location", path.as_uri()),
        ("ms_run[1]-id_format", ID_FORMATS[run.reference]),
    ]
    for key, value in metadata:
        yield f"MTD\t{key}\t{value}\n"
    yield "\n"
    yield "PSH\t" + "\t".join((*COLUMNS, *([SPREAD] if ranking.has_spread else []))) + "\n"


def mztab_line(row: ResultRow, number: int, reference: str, has_spread: bool = False) -> str:
    """Format a row of the PSM section.

    Args:
        row: The row.
        number: PSM_ID, counted from 1.
        reference: "index" or "scan", as `Run.reference`.
        has_spread: As `Ranking.has_spread`.
    """
    by_scan = reference == "scan" and row.scan
    cells = (
        row.sequence,
        number,
        *(None,) * 4,
        ENGINE,
        row.score,
        row.probability,
        row.q_value,
        ",".join(f"{position}-{identifier}" for position, identifier, _, _ in row.modifications),
        row.retention_time,
        row.charge,
        row.precursor_mz,
        row.mz,
        f"ms_run[1]:scan={row.scan}" if by_scan else f"ms_run[1]:index={row.index}",
        *(None,) * 4,
        ",".join(f"{score:.5f}" for score in row.residue_scores),
        row.proforma,
        row.rank,
        row.deviation,
        row.margin,
        row.mass_error_ppm,
        int(row.fits),
        ",".join(row.tools),
        row.scan,
        row.title,
        *([row.spread] if has_spread else []),
    )
    return "PSM\t" + "\t".join(map(_cell, cells)) + "\n"


def _cell(value: str | int | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.10g}" if math.isfinite(value) else "null"
    return "null" if value is None or value == "" else str(value)


def _quoted(text: str) -> str:
    """`text` as the name of a parameter, quoted if it contains a comma."""
    text = plain(text).replace('"', "'").replace("[", "(").replace("]", ")")
    return f'"{text}"' if "," in text else text


def _settings(ranking: Ranking) -> Iterator[str]:
    yield f"candidates written of each spectrum = {ranking.top}"
    yield f"false discovery rate = {ranking.fdr:g}"
    yield f"precursor tolerance = {ranking.tolerance_ppm:g} ppm"
    for tool, reason in ranking.run.joined.items():
        yield f"candidates of {plain(tool)} joined by {plain(reason)}"


def _modification_lines(modifications: Modifications, plain_cysteine: bool) -> Iterator[tuple[str, str]]:
    fixed = [modification for modification in modifications if modification[0] == "UNIMOD:4" and not plain_cysteine]
    variable = sorted(set(modifications) - set(fixed))
    for kind, present, absent in (
        ("fixed_mod", fixed, "[MS, MS:1002453, No fixed modifications searched, ]"),
        ("variable_mod", variable, "[MS, MS:1002454, No variable modifications searched, ]"),
    ):
        if not present:
            yield f"{kind}[1]", absent
        for number, (identifier, name, site) in enumerate(present, 1):
            yield f"{kind}[{number}]", f"[{identifier.partition(':')[0]}, {identifier}, {name}, ]"
            yield f"{kind}[{number}]-site", site
