"""List the cases of a data set: folders, splits by folder name, CSV tables, and case identifiers."""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.files import safe_name

SPLITS = ("train", "val", "test")

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The split that a folder of this name, in lower case, holds."""

LONGEST_ID = 120
"""Identifiers become folder names, and file systems stop at 255 bytes with whatever is added around them."""


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sub-folders and the files of `folder`, sorted by name; hidden ones (macOS `._x`) are left out.

    A file is whatever is no folder: a link to nothing too, so that opening it fails by name.

    Raises:
        BadInput: the folder is missing or may not be read.
    """
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.name.startswith("."):
                    (folders if _is_folder(entry) else files).append(Path(entry.path))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise BadInput(folder, "folder", reason(error).lower(), "a folder that can be read") from error
    return folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where this process may not look
        return False


def walk(root: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """Every folder from `root` down, depth first, with its sub-folders and its files as `contents` gives them.

    As with `os.walk`, sub-folders that the caller removes from the list are not entered. Links to folders are followed,
    except those back to a folder that is being walked (`above`).

    Raises:
        BadInput: a folder cannot be listed.
    """
    folders, files = contents(root)
    here = root.resolve()
    if here in above:
        return
    yield root, folders, files
    for folder in folders:
        yield from walk(folder, above | {here})


def split_of(folder: Path, root: Path) -> str:
    """The split that the lowest of the folders from below `root` down to `folder` names, or ""."""
    splits = [SPLIT_FOLDERS.get(name.casefold(), "") for name in folder.relative_to(root).parts]
    return next((split for split in reversed(splits) if split), "")


def phantom_splits(count: int) -> list[str]:
    """The split of each of `count` synthetic cases: 70 % for training; three or more leave at least one for each."""
    held_out = max(round(0.15 * count), 1)
    validation, test = held_out if count > 1 else 0, held_out if count > 2 else 0
    return ["train"] * (count - validation - test) + ["val"] * validation + ["test"] * test


def table_rows(
    path: Path, required: Sequence[str], optional: Sequence[str], row_holds: str, advice: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV of cases: the number of the line, as in "line 2", and the cells by column, stripped.

    Args:
        path: A CSV in UTF-8 with a header; column names are read in lower case.
        required: Columns that must be there.
        optional: Columns that may be there. One named `split` must hold one of `SPLITS`, or nothing.
        row_holds: What a row stands for, such as "a pair", for the message about a table without rows.
        advice: What to do where the columns are others.

    Raises:
        BadInput: the file cannot be read, a column is missing, unknown or repeated, there are no rows, or a row has a
            wrong number of fields or an unknown split.
    """
    line = ""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            header = [(name or "").strip().lower() for name in rows.fieldnames or ()]
            if not set(required) <= set(header) <= {*required, *optional} or len(set(header)) < len(header):
                expected = f"{' and '.join(required)}, and any of {', '.join(optional)}"
                raise BadInput(path, "columns", ", ".join(header)[:200] or "none", expected, advice)
            rows.fieldnames = header
            for row in rows:
                line = f"line {rows.line_num}"
                if None in row or None in row.values():
                    raise BadInput(path, line, "a wrong number of fields", f"{len(header)} fields")
                cells = {name: text.strip() for name, text in row.items()}
                if cells.get("split", "") not in ("", *SPLITS):
                    raise BadInput(path, f"{line}, split", cells["split"], f"{', '.join(SPLITS)} or nothing")
                yield line, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(path, "table", reason(error), "a CSV in UTF-8 that can be read") from error
    if not line:
        raise BadInput(path, "rows", "none", f"{row_holds} in each row")


def with_folders(stems: Sequence[str], folders: Sequence[str]) -> list[str]:
    """File names without ending, each preceded by its folder where another file has the same.

    Args:
        stems: The names without ending.
        folders: The folder of each, relative and separated by "/"; "" or "." where there is none to name.
    """
    counts = Counter(stem.casefold() for stem in stems)
    return [
        f"{folder.replace('/', '_')}-{stem}" if counts[stem.casefold()] > 1 and folder not in ("", ".") else stem
        for stem, folder in zip(stems, folders, strict=True)
    ]


def identifiers(names: Sequence[str], keys: Sequence[str]) -> list[str]:
    """An identifier for each case: safe as a folder name, on file systems that ignore case too.

    A name that is too long, or that another case has as well, ends in a hash of the case's key.

    Args:
        names: What each case is called.
        keys: What makes each case itself, such as its files; hashed only where it is needed.
    """
    safe = [safe_name(name) for name in names]
    counts = Counter(name.casefold() for name in safe)
    return [
        name
        if counts[name.casefold()] == 1 and len(name) <= LONGEST_ID
        else f"{name[:LONGEST_ID]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        for name, key in zip(safe, keys, strict=True)
    ]
