"""Read candidates from mzTab: all versions of Casanovo, AdaNovo, ContraNovo, and any other tool that writes PSM rows.

`pyteomics.mztab` is not used because it loads the whole file into memory and stops at the first malformed line.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import safe_name
from transect.data_adapters.peptide.candidates.row import (
    CandidateFile,
    CandidateRow,
    Damaged,
    Tool,
    finite,
    keys_in,
    run_name,
    whole,
)
from transect.data_adapters.peptide.candidates.text import numbered_lines

PROFORMA = "opt_global_cv_ms:1003169_proforma_peptidoform_sequence"

_RUN = re.compile(r"ms_run\[([0-9]+)\]:?")
_MODIFICATION = re.compile(r"([0-9]+)(?:\[[^\]]*\])?(?:\|[0-9]+(?:\[[^\]]*\])?)*-(?:CHEMMOD:)?(\S+)")


def is_mztab(text: str) -> bool:
    """Whether a file that begins with `text` is mzTab."""
    return text.startswith(("MTD\t", "PSH\t", "COM\t", "PSM\t")) or "\nMTD\t" in text or "\nPSH\t" in text


def mztab_file(path: str, text: str, named: str) -> CandidateFile:
    """The candidate file `path`, which begins with `text`.

    Args:
        path: The file.
        text: Its beginning.
        named: The tool by the file name; if empty, the tool is taken from the mzTab's software.
    """
    software = re.search(r"^MTD\tsoftware\[1\]\t\[[^,\]]*,[^,\]]*,([^,\]]*)", text, re.MULTILINE)
    name = named or safe_name(software[1].strip().lower() if software else "mztab")
    return CandidateFile(path, (Tool(name),), partial(_rows, path))


def with_modifications(sequence: str, modifications: str) -> str:
    """`sequence` in ProForma with the `modifications` of an mzTab row, such as `0-UNIMOD:1,3-UNIMOD:35`.

    Raises:
        ValueError: a modification cannot be parsed.
    """
    letters = [*sequence]
    terminal = ""
    for modification in re.split(r",(?![^\[]*\])", modifications):
        match = _MODIFICATION.match(modification.strip())
        if not match:
            raise ValueError(f"modification {modification!r} has no place and name")
        position, suffix = int(match[1]), f"[{match[2]}]"
        if position == 0:
            terminal += f"{suffix}-"
        elif position <= len(letters):
            letters[position - 1] += suffix
        else:
            letters.append(f"-{suffix}")
    return terminal + "".join(letters)


def _rows(path: str) -> Iterator[CandidateRow | Damaged]:
    columns: dict[str, int] = {}
    runs: dict[str, str] = {}
    width = 0
    for number, line in numbered_lines(path):
        kind, _, rest = line.partition("\t")
        if kind == "PSM" and columns:
            cells = rest.rstrip("\r").split("\t")
            if len(cells) != width:
                yield Damaged(number, f"{len(cells)} columns instead of {width}")
            else:
                yield from _candidates(number, cells, columns, runs)
        elif kind == "PSM":
            yield Damaged(number, "a PSM row before the PSH row")
        elif kind == "PSH":
            names = [name.strip().lower() for name in rest.split("\t")]
            columns, width = {name: column for column, name in enumerate(names)}, len(names)
            if missing := [name for name in ("sequence", "spectra_ref") if name not in columns]:
                raise BadInput(path, f"line {number}", f"no column {missing[0]}", "a PSM section of mzTab")
        elif kind == "MTD" and "-location" in rest:
            name, _, location = rest.partition("\t")
            if run := _RUN.match(name):
                runs[run[1]] = run_name(location)
    if not columns:
        raise BadInput(path, "mzTab", "no PSH row", "a PSM section")


def _candidates(
    line: int, cells: list[str], columns: dict[str, int], runs: dict[str, str]
) -> Iterator[CandidateRow | Damaged]:
    """A row for each spectrum of a PSM: one, unless spectra were merged."""

    def cell(name: str) -> str:
        text = cells[columns[name]].strip() if name in columns else ""
        return "" if text == "null" else text

    sequence, modifications = cell("sequence"), cell("modifications")
    if proforma := cell(PROFORMA):
        sequence = proforma
    elif modifications and sequence.isalpha():
        try:
            sequence = with_modifications(sequence, modifications)
        except ValueError as error:
            yield Damaged(line, str(error))
            return
    for reference in cell("spectra_ref").split("|"):
        run = _RUN.match(reference)
        if not run:
            yield Damaged(line, f"spectra_ref {reference or 'null'}, which names no ms_run")
            continue
        keys = replace(keys_in(reference[run.end() :]), title="", run=runs.get(run[1], f"ms_run[{run[1]}]"))
        yield CandidateRow(
            tool=0,
            line=line,
            keys=keys,
            sequence=sequence,
            score=finite(cell("search_engine_score[1]")),
            precursor_mz=finite(cell("exp_mass_to_charge")),
            charge=whole(cell("charge")),
        )
