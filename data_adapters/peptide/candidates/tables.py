"""Read candidates from tables with a header: the columns of each tool, and the rows parsed from them.

Lines are parsed one by one rather than with pandas, so that memory is bounded and a malformed line affects one row.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from transect.data_adapters.peptide.candidates.row import (
    CandidateFile,
    CandidateRow,
    Damaged,
    Keys,
    Tool,
    finite,
    keys_in,
    run_name,
    whole,
)
from transect.data_adapters.peptide.candidates.text import fields, numbered_lines
from transect.data_adapters.peptide.peptide import MODIFICATIONS
from transect.data_adapters.peptide.proforma import parse_peptide

DELIMITERS = ("\t", ",", ";")


@dataclass(frozen=True)
class Dialect:
    """The table of a tool; column names are in lower case.

    Args:
        tool: Name of the tool.
        required: Columns that identify the dialect.
        keys: Columns that refer to the spectrum, each with the meaning of a bare number in it: "index", "scan", or
            "number" if versions differ.
        sequence: Column of the peptide.
        score: Column of the score.
        precursor_mz: Column of the precursor m/z.
        charge: Column of the precursor charge.
        run: Column of the spectra file, or a key column whose text begins with it, as in `run:7`.
        mass: Column of the peptide mass, which shows whether a plain C means carbamidomethyl cysteine.
        fixed_cysteine: See `parse_peptide`.
        lower_case: See `parse_peptide`.
        others: Tools with the same table, recognized by the file name.
    """

    tool: str
    required: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    sequence: str = "sequence"
    score: str = "score"
    precursor_mz: str = ""
    charge: str = ""
    run: str = ""
    mass: str = ""
    fixed_cysteine: bool = False
    lower_case: bool = False
    others: tuple[str, ...] = ()


DIALECTS = (
    Dialect("pepnet", ("title", "denovo"), (("title", "number"),), sequence="denovo", fixed_cysteine=True),
    Dialect(
        "primenovo",
        ("label", "prediction", "score"),
        (("label", "number"),),
        sequence="prediction",
        charge="charge",
        others=("refinenovo",),
    ),
    Dialect(
        "deepnovo",
        ("scan", "output_seq"),
        (("scan", "number"),),
        sequence="output_seq",
        score="output_score",
        run="scan",
    ),
    Dialect(
        "pointnovo",
        ("feature_id", "predicted_sequence"),
        (("scan_list_original", "scan"), ("feature_id", "number")),
        sequence="predicted_sequence",
        score="predicted_score",
        precursor_mz="precursor_mz",
        charge="precursor_charge",
        others=("deepnovo",),
    ),
    Dialect(
        "instanovo",
        ("spectrum_id", "predictions"),
        (("scan_number", "scan"), ("spectrum_id", "number")),
        sequence="predictions",
        score="log_probs",
        precursor_mz="precursor_mz",
        charge="precursor_charge",
        run="spectrum_id",
    ),
    Dialect(
        "peaks",
        ("scan", "peptide", "alc (%)"),
        (("scan", "scan"),),
        sequence="peptide",
        score="alc (%)",
        precursor_mz="m/z",
        charge="z",
        run="source file",
        mass="mass",
    ),
    Dialect(
        "smsnet",
        ("index", "sequence", "peptide_score"),
        (("index", "index"),),
        score="peptide_score",
        fixed_cysteine=True,
        lower_case=True,
    ),
    Dialect(
        "novob",
        ("spectrum_id", "sequence", "score"),
        (("spectrum_id", "number"),),
        fixed_cysteine=True,
        lower_case=True,
    ),
    Dialect(
        "custom",
        ("spectrum_id", "sequence", "score"),
        (("spectrum_id", "number"),),
        precursor_mz="precursor_mz",
        charge="charge",
    ),
)

_BEAM = re.compile(r"(instanovo_|diffusion_)?predictions(?:_beam_([0-9]+))?")
_RUN = re.compile(r"(?!F[0-9]+:)([^=]+):[0-9]+\s*\Z")
_FIXED = next(modification.delta for modification in MODIFICATIONS if modification.name == "Carbamidomethyl")


def table_file(path: str, text: str, name: str) -> CandidateFile | None:
    """The candidate file `path` named `name`, which begins with `text`; None if its header matches no dialect."""
    start, header = _first_line(text)
    for delimiter in DELIMITERS:
        columns = [cell.strip().lower() for cell in fields(header, delimiter)]
        for dialect in DIALECTS:
            if set(dialect.required) <= set(columns) and not _is_proteobench(dialect, columns, delimiter, text, name):
                named = next((other for other in dialect.others if other in name), dialect.tool)
                tool = Tool(named, dialect.fixed_cysteine, dialect.lower_case)
                rows = partial(_rows, path, start, columns, delimiter, dialect)
                return CandidateFile(path, (tool,), rows)
    return None


def _first_line(text: str) -> tuple[int, str]:
    return next(((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()), (1, ""))


def _is_proteobench(dialect: Dialect, columns: list[str], delimiter: str, text: str, name: str) -> bool:
    """Whether a table with NovoB's header is ProteoBench's: NovoB is recognized by name or by lower case letters."""
    if dialect.tool != "novob" or "novob" in name:
        return False
    column = columns.index("sequence")
    sequences = [cells[column] for line in text.split("\n")[1:] if len(cells := fields(line, delimiter)) > column]
    return any(set(sequence) & set("[(+") for sequence in sequences) or not any(
        set(sequence) & set("mnqsty") for sequence in sequences
    )


def _rows(
    path: str, start: int, columns: list[str], delimiter: str, dialect: Dialect
) -> Iterator[CandidateRow | Damaged]:
    beams = _beams(columns, dialect)
    positions = {name: position for position, name in enumerate(columns)}

    def cell(name: str) -> str:
        return cells[positions[name]].strip() if name in positions else ""

    for number, line in numbered_lines(path):
        if number <= start or not line.strip():
            continue
        cells = fields(line, delimiter)
        while len(cells) > len(columns) and not cells[-1].strip():
            cells.pop()
        if len(cells) != len(columns):
            yield Damaged(number, f"{len(cells)} columns instead of {len(columns)}")
            continue
        keys = _merged([keys_in(cell(column), bare) for column, bare in dialect.keys if column in positions])
        if dialect.run:
            keys = replace(keys, run=_run(cell(dialect.run), within_key=dialect.run in dict(dialect.keys)))
        mz, charge = finite(cell(dialect.precursor_mz)), whole(cell(dialect.charge))
        for rank, (sequence, score) in enumerate(beams, 1):
            if rank == 1 or cell(sequence):
                yield CandidateRow(
                    tool=0,
                    line=number,
                    keys=keys,
                    sequence=_resolve_cysteine(cell(sequence), finite(cell(dialect.mass))),
                    score=finite(cell(score)),
                    rank=rank if len(beams) > 1 else 0,
                    precursor_mz=mz,
                    charge=charge,
                )


def _beams(columns: list[str], dialect: Dialect) -> list[tuple[str, str]]:
    """The columns of sequence and score, best first; several for InstaNovo's beams."""
    pairs = [(dialect.sequence, dialect.score)]
    if dialect.tool == "instanovo":
        for column in columns:
            beam = _BEAM.fullmatch(column)
            if beam and column != dialect.sequence:
                tail = f"_beam_{beam[2]}" if beam[2] else ""
                score = f"{beam[1]}log_probabilities{tail}" if beam[1] else f"predictions_log_probability{tail}"
                pairs.append((column, score))
    return pairs


def _merged(keys: list[Keys]) -> Keys:
    """Merge the keys of several columns; later ones take precedence."""
    merged, *others = keys
    for other in others:
        merged = Keys(
            merged.index if other.index is None else other.index,
            merged.scan if other.scan is None else other.scan,
            merged.number if other.number is None else other.number,
            other.title or merged.title,
        )
    return merged


def _run(text: str, within_key: bool) -> str:
    if within_key:
        prefix = _RUN.match(text)
        text = prefix[1] if prefix else ""
    return run_name(text) if text else ""


def _resolve_cysteine(sequence: str, mass: float) -> str:
    """`sequence` with plain C read as carbamidomethyl cysteine if only then its mass is `mass` (Da)."""
    if not mass > 0 or not re.search(r"C(?![(\[+])", sequence):
        return sequence
    fixed = re.sub(r"C(?![(\[+])", f"C(+{_FIXED:.2f})", sequence)
    try:
        errors = [abs(parse_peptide(text).mass - mass) for text in (sequence, fixed)]
    except ValueError:
        return sequence
    return fixed if errors[1] < 0.5 <= errors[0] else sequence
