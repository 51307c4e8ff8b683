"""The runs of a folder, of a table, or of files given one by one."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.listing import identifiers, split_of, table_rows, walk, with_folders
from transect.data_adapters.peptide.folders import (
    CANDIDATES,
    SPECTRA,
    by_stem,
    ending,
    spectra_of,
    stem,
)
from transect.data_adapters.peptide.spectra.read import read_labels
from transect.data_adapters.peptide.spectrum import RunCase, part_of

KNOWN = f"spectra as {', '.join(SPECTRA)} and candidates as {', '.join(CANDIDATES)}, also with .gz"
BY_NAME = "name it after its spectra file, as in run1.casanovo.mztab beside run1.mgf, or list both in a table"


@dataclass
class _Found:
    """A spectra file, which may be missing, and its candidate files."""

    spectra: Path
    candidates: list[Path]
    folder: str = ""
    split: str = ""


def find_runs(*inputs: str) -> list[RunCase]:
    """The runs that `inputs` hold: one folder, one table, or the files of one or several runs in any order.

    In a folder, searched to its bottom, every spectra file is a run. Its candidates are the files beside it that are
    named after it (`run1.casanovo.mztab` and `run1_instanovo.csv` for `run1.mgf`), mzTab files that name it as their
    run, and all others of a known dialect if it is the folder's only spectra file. Candidates without spectra are
    listed as a run whose spectra are missing. Folders named train, val or test give the split. A table is a `.csv` with
    the columns `spectra`, `candidates` (joined by `;`, or empty) and, if wanted, `split`; its paths are relative to it.

    Raises:
        BadInput: there is no such input, no spectra file, or a candidate file that belongs to none of several.
    """
    paths = [Path(text) for given in inputs for text in _separate(given)]
    if not paths:
        raise BadInput("inputs", "number", 0, f"one folder, one table, or files: {KNOWN}")
    only = paths[0] if len(paths) == 1 else None
    if only and not only.exists():
        raise BadInput(only, "input", "nothing there", f"a folder, a table or a file: {KNOWN}")
    if only and only.is_dir():
        found = [*_in_folder(only)]
        if not found:
            raise BadInput(only, "runs", "no file of spectra or candidates", KNOWN)
    elif only and ending(only) == ".csv":
        found = [*_in_table(only)]
    else:
        found = _among(paths)
    return _named(found)


def divided(case: RunCase) -> list[RunCase]:
    """The run in parts by peptide, those that none of its labels falls in left out; itself where it has no labels.

    A peptide is in the same part in every run, and parts of one number and split are one group.
    """
    try:
        parts = {part_of(label) for label in read_labels(case.spectra) if label}
    except BadInput:  # It is read as a whole, and fails alone.
        parts = set()
    front = f"{case.split} " if case.split else ""
    return [
        replace(case, id=f"{case.id}-part{part:02d}", group=f"{front}part {part}", part=part) for part in sorted(parts)
    ] or [case]


def _separate(given: str) -> list[str]:
    """Several files may stand in one input, joined by `;`."""
    if os.path.exists(given):
        return [given]
    return [text.strip() for text in given.split(";") if text.strip()]


def _in_folder(root: Path) -> Iterator[_Found]:
    for folder, _, files in walk(root):
        spectra, candidates = ([path for path in files if ending(path) in kinds] for kinds in (SPECTRA, CANDIDATES))
        belonging: dict[Path, list[Path]] = {path: [] for path in spectra}
        stems = by_stem(spectra)
        for path in candidates:
            owners = spectra_of(path, stems)
            if not owners and _is_foreign(path):
                continue
            owners = owners or (spectra if len(spectra) == 1 else [_missing(path)])
            for owner in owners:
                belonging.setdefault(owner, []).append(path)
        place, split = folder.relative_to(root).as_posix(), split_of(folder, root)
        for path in sorted(belonging):
            yield _Found(path, belonging[path], place, split)


def _is_foreign(path: Path) -> bool:
    """Whether a file that is named after no spectra, such as a README or a table of samples, is of no known dialect."""
    from transect.data_adapters.peptide.candidates.read import open_candidates

    try:
        open_candidates(str(path))
    except BadInput as error:  # A damaged or empty file is not foreign: reading it tells.
        return error.field == "dialect"
    return False


def _missing(candidates: Path) -> Path:
    """The spectra file that a candidate file without one seems to have had."""
    return candidates.with_name(f"{candidates.name.partition('.')[0]}.mgf")


def _in_table(path: Path) -> Iterator[_Found]:
    advice = "candidates are given together with their spectra file, or listed in a table with these columns"
    for line, cells in table_rows(path, ("spectra", "candidates"), ("split",), "a run", advice):
        if not cells["spectra"]:
            raise BadInput(path, f"{line}, spectra", "nothing", "a file of spectra")
        spectra = path.parent / cells["spectra"]
        candidates = [path.parent / text.strip() for text in cells["candidates"].split(";") if text.strip()]
        yield _Found(spectra, candidates, spectra.parent.name, cells.get("split", ""))


def _among(paths: Sequence[Path]) -> list[_Found]:
    """The runs of files that were given one by one."""
    for path in paths:
        if path.is_dir():
            raise BadInput(path, "input", "a folder among several inputs", f"one folder alone, or files: {KNOWN}")
    spectra = [path for path in dict.fromkeys(paths) if _holds_spectra(path)]
    if not spectra:
        raise BadInput(paths[0], "inputs", "no file of spectra", KNOWN, "give the spectra file as well")
    belonging: dict[Path, list[Path]] = defaultdict(list)
    stems = by_stem(spectra)
    for path in dict.fromkeys(paths):
        if path not in spectra:
            owners = spectra if len(spectra) == 1 else spectra_of(path, stems)
            if not owners:
                raise BadInput(path, "spectra", f"none of {len(spectra)} files that it belongs to", "one", BY_NAME)
            for owner in owners:
                belonging[owner].append(path)
    return [_Found(path, belonging[path], path.parent.name) for path in spectra]


def _holds_spectra(path: Path) -> bool:
    """Told from the name, and from the content where the name has no known ending."""
    if ending(path) in (*SPECTRA, *CANDIDATES):
        return ending(path) in SPECTRA
    try:
        with path.open("rb") as file:
            head = file.read(1 << 14)
    except OSError:
        return False
    return any(mark in head for mark in (b"BEGIN IONS", b"<mzML", b"<indexedmzML", b"<mzXML"))


def _named(found: Sequence[_Found]) -> list[RunCase]:
    """The runs, each with an identifier of its own."""
    names = with_folders([stem(run.spectra) for run in found], [run.folder for run in found])
    repeats: Counter[Path] = Counter()  # a table may list the same files twice
    keys = []
    for run in found:
        repeat = repeats[run.spectra]
        keys.append("\0".join(map(str, (run.spectra, *run.candidates, *([repeat] if repeat else [])))))
        repeats[run.spectra] += 1
    cases = []
    for run, name in zip(found, identifiers(names, keys), strict=True):
        spectra, candidates = str(run.spectra), tuple(map(str, run.candidates))
        cases.append(RunCase(name, name, (spectra, *candidates), run.split, spectra, candidates))
    return cases
