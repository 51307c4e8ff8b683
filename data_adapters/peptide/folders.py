"""Identify files of spectra and candidates by suffix, and assign candidate files to spectra files by name."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.source import opened

SPECTRA = (".mgf", ".mzml", ".mzxml")
CANDIDATES = (".mztab", ".csv", ".tsv", ".tab", ".txt", ".json", ".jsonl")
"""Suffixes in lower case; each may be followed by `.gz`."""

METADATA = 1 << 16
"""Bytes at the beginning of an mzTab that are searched for its ms_run locations."""

_LOCATION = re.compile(r"^MTD\tms_run\[\d+\]-location\t(\S[^\t\r\n]*)", re.MULTILINE)


def ending(path: Path) -> str:
    """The file's suffix in lower case, without `.gz`."""
    return Path(_name(path)).suffix.lower()


def stem(path: Path) -> str:
    """The file's name without its suffix and `.gz`."""
    return Path(_name(path)).stem


def by_stem(spectra: list[Path]) -> dict[str, list[Path]]:
    """The spectra files by stem; a run may exist in two formats."""
    stems: dict[str, list[Path]] = {}
    for path in spectra:
        stems.setdefault(stem(path), []).append(path)
    return stems


def spectra_of(candidates: Path, stems: dict[str, list[Path]]) -> list[Path]:
    """The spectra files that a candidate file belongs to.

    Its name begins with their stem, followed by `.`, `_` or `-` (the longest match counts), or it is an mzTab with
    their stem as an ms_run location.

    Args:
        candidates: The candidate file.
        stems: Spectra files from `by_stem`.

    Returns:
        The spectra files; empty if there is no match.
    """
    name = candidates.name
    for end in range(len(name) - 1, 0, -1):
        if name[end] in "._-" and name[:end] in stems:
            return stems[name[:end]]
    runs = dict.fromkeys(_runs(candidates)) if ending(candidates) == ".mztab" else {}
    return [path for run in runs for path in stems.get(run, ())]


def _runs(mztab: Path) -> Iterator[str]:
    """The stems of the ms_run locations in an mzTab."""
    try:
        with opened(str(mztab)) as file:
            text = file.read(METADATA).decode("utf-8", "replace")
    except BadInput:
        return
    for location in _LOCATION.findall(text):
        yield stem(Path(re.split(r"[/\\]", unquote(location).strip())[-1]))


def _name(path: Path) -> str:
    return path.name[:-3] if path.name.lower().endswith(".gz") else path.name
