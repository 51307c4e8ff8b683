"""Which files hold spectra and which candidates, as their names and the folders they lie in tell."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.source import opened

SPECTRA = (".mgf", ".mzml", ".mzxml")
CANDIDATES = (".mztab", ".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl")
"""Endings of the files, in lower case; each may be followed by `.gz`."""

METADATA = 1 << 16
"""Bytes at the beginning of an mzTab that are searched for the names of its runs."""

_LOCATION = re.compile(r"^MTD\tms_run\[\d+\]-location\t(\S[^\t\r\n]*)", re.MULTILINE)


def ending(path: Path) -> str:
    """The file's ending in lower case, that of the content where it is compressed."""
    return Path(_name(path)).suffix.lower()


def stem(path: Path) -> str:
    """The file's name without its ending."""
    return Path(_name(path)).stem


def by_stem(spectra: list[Path]) -> dict[str, list[Path]]:
    """The spectra files under their names without ending; the same run may be there in two formats."""
    found: dict[str, list[Path]] = {}
    for path in spectra:
        found.setdefault(stem(path), []).append(path)
    return found


def spectra_of(candidates: Path, stems: dict[str, list[Path]]) -> list[Path]:
    """The spectra files, of those that `by_stem` gave, that a candidate file belongs to; none where nothing tells.

    Its name begins with theirs, followed by `.`, `_` or `-` (the longest such name counts), or it is an mzTab that
    names them as its runs.
    """
    name = candidates.name
    for end in range(len(name) - 1, 0, -1):
        if name[end] in "._-" and name[:end] in stems:
            return stems[name[:end]]
    runs = dict.fromkeys(_runs(candidates)) if ending(candidates) == ".mztab" else {}
    return [path for run in runs for path in stems.get(run, ())]


def _runs(mztab: Path) -> Iterator[str]:
    """The names without ending of the runs that an mzTab tells of."""
    try:
        with opened(str(mztab)) as file:
            text = file.read(METADATA).decode("utf-8", "replace")
    except BadInput:
        return
    for location in _LOCATION.findall(text):
        yield stem(Path(re.split(r"[/\\]", unquote(location).strip())[-1]))


def _name(path: Path) -> str:
    return path.name[:-3] if path.name.lower().endswith(".gz") else path.name
