"""Find the runs of a folder, of a table, or of individual files."""

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
NAMING = "name it after its spectra file, as in run1.casanovo.mztab next to run1.mgf, or list both in a table"


@dataclass
class _RunFiles:
    """A spectra file, possibly missing, with its candidate files."""

    spectra: Path
    candidates: list[Path]
    folder: str = ""
    split: str = ""


def find_runs(*inputs: str) -> list[RunCase]:
    """List the runs of a data set.

    A folder is searched recursively, and every spectra file is a run. Its candidates are the files in the same folder
    that are named after it (`run1.casanovo.mztab` and `run1_instanovo.csv` for `run1.mgf`), mzTab files with it as an
    ms_run location, and all other files of a known dialect if it is the folder's only spectra file. Candidates without
    spectra are listed as a run whose spectra are missing. Folders named train, val or test give the split. A table is a
    `.csv` with the columns `spectra`, `candidates` (separated by `;`, may be empty) and optionally `split`; paths are
    relative to it.

    Args:
        inputs: One folder, one table, or the files of one or several runs in any order.

    Raises:
        BadInput: an input does not exist, there is no spectra file, or a candidate file matches none of several.
    """
    paths = [Path(file) for text in inputs for file in _separate(text)]
    if not paths:
        raise BadInput("inputs", "number", 0, f"one folder, one table, or files: {KNOWN}")
    only = paths[0] if len(paths) == 1 else None
    if only and not only.exists():
        raise BadInput(only, "input", "nothing there", f"a folder, a table or a file: {KNOWN}")
    if only and only.is_dir():
        runs = [*_in_folder(only)]
        if not runs:
            raise BadInput(only, "runs", "no file of spectra or candidates", KNOWN)
    elif only and ending(only) == ".csv":
        runs = [*_in_table(only)]
    else:
        runs = _among(paths)
    return _named(runs)


def divided(case: RunCase) -> list[RunCase]:
    """Divide a labelled run into parts by peptide, so that a split never separates spectra of one peptide.

    A peptide is in the same part in every run; parts of the same number and split form one group.

    Returns:
        The non-empty parts, or the run itself if it has no labels.
    """
    try:
        parts = {part_of(label) for label in read_labels(case.spectra) if label}
    except BadInput:  # Keep the run whole; it fails by itself when read.
        parts = set()
    prefix = f"{case.split} " if case.split else ""
    return [
        replace(case, id=f"{case.id}-part{part:02d}", group=f"{prefix}part {part}", part=part) for part in sorted(parts)
    ] or [case]


def _separate(given: str) -> list[str]:
    """Split an input with several files separated by `;`."""
    if os.path.exists(given):
        return [given]
    return [text.strip() for text in given.split(";") if text.strip()]


def _in_folder(root: Path) -> Iterator[_RunFiles]:
    for folder, _, files in walk(root):
        spectra, candidates = ([path for path in files if ending(path) in kinds] for kinds in (SPECTRA, CANDIDATES))
        by_spectra: dict[Path, list[Path]] = {path: [] for path in spectra}
        stems = by_stem(spectra)
        for path in candidates:
            owners = spectra_of(path, stems)
            if not owners and _is_foreign(path):
                continue
            owners = owners or (spectra if len(spectra) == 1 else [_missing(path)])
            for owner in owners:
                by_spectra.setdefault(owner, []).append(path)
        subfolder, split = folder.relative_to(root).as_posix(), split_of(folder, root)
        for path in sorted(by_spectra):
            yield _RunFiles(path, by_spectra[path], subfolder, split)


def _is_foreign(path: Path) -> bool:
    """Whether a file that matches no spectra by name has no known dialect, such as a README or a sample table."""
    from transect.data_adapters.peptide.candidates.read import open_candidates

    try:
        open_candidates(str(path))
    except BadInput as error:  # Damaged or empty files are kept, so that reading them fails.
        return error.field == "dialect"
    return False


def _missing(candidates: Path) -> Path:
    """The presumed spectra file of a candidate file without one."""
    return candidates.with_name(f"{candidates.name.partition('.')[0]}.mgf")


def _in_table(path: Path) -> Iterator[_RunFiles]:
    advice = "candidates are given together with their spectra file, or listed in a table with these columns"
    for line, cells in table_rows(path, ("spectra", "candidates"), ("split",), "a run", advice):
        if not cells["spectra"]:
            raise BadInput(path, f"{line}, spectra", "nothing", "a file of spectra")
        spectra = path.parent / cells["spectra"]
        candidates = [path.parent / text.strip() for text in cells["candidates"].split(";") if text.strip()]
        yield _RunFiles(spectra, candidates, spectra.parent.name, cells.get("split", ""))


def _among(paths: Sequence[Path]) -> list[_RunFiles]:
    """The runs of individually given files."""
    for path in paths:
        if path.is_dir():
            raise BadInput(path, "input", "a folder among several inputs", f"one folder alone, or files: {KNOWN}")
    spectra = [path for path in dict.fromkeys(paths) if _holds_spectra(path)]
    if not spectra:
        raise BadInput(paths[0], "inputs", "no file of spectra", KNOWN, "give the spectra file as well")
    by_spectra: dict[Path, list[Path]] = defaultdict(list)
    stems = by_stem(spectra)
    for path in dict.fromkeys(paths):
        if path not in spectra:
            owners = spectra if len(spectra) == 1 else spectra_of(path, stems)
            if not owners:
                raise BadInput(path, "spectra", f"none of {len(spectra)} files that it belongs to", "one", NAMING)
            for owner in owners:
                by_spectra[owner].append(path)
    return [_RunFiles(path, by_spectra[path], path.parent.name) for path in spectra]


def _holds_spectra(path: Path) -> bool:
    """Whether a file has spectra: by its suffix, or by its content if the suffix is unknown."""
    if ending(path) in (*SPECTRA, *CANDIDATES):
        return ending(path) in SPECTRA
    try:
        with path.open("rb") as file:
            head = file.read(1 << 14)
    except OSError:
        return False
    return any(mark in head for mark in (b"BEGIN IONS", b"<mzML", b"<indexedmzML", b"<mzXML"))


def _named(found: Sequence[_RunFiles]) -> list[RunCase]:
    """The runs, each with a unique identifier."""
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
