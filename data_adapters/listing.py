"""List the cases of a data set: folders, splits by folder name, CSV tables, and case identifiers."""

import csv
import errno
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.files import safe_name

log = logging.getLogger("transect")

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
"""Largest length of an identifier in bytes. It becomes a folder name, with a prefix and a suffix; file systems allow
255 bytes."""


def contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The sub-folders and the files of `folder`, sorted by name, without hidden ones (macOS `._x`).

    Every entry that is not a folder counts as a file, dangling links included, so that opening it fails with its name.
    A link to itself is skipped with a warning.

    Raises:
        BadInput: the folder is missing or may not be read.
    """
    folders: list[Path] = []
    files: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.name.startswith("."):
                    try:
                        (folders if entry.is_dir() else files).append(Path(entry.path))
                    except OSError as error:
                        if error.errno == errno.ELOOP:
                            log.warning("%s: skipped, since it is a link to itself", entry.path)
                        else:  # no permission
                            files.append(Path(entry.path))
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise BadInput(folder, "folder", reason(error).lower(), "a folder that can be read") from error
    return folders, files


def walk(root: Path, above: frozenset[Path] = frozenset()) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """Walk the folders from `root` down, depth first.

    As with `os.walk`, sub-folders that the caller removes from the list are not entered. Links to folders are followed,
    except those back to a folder that is being walked.

    Args:
        root: Folder to start at.
        above: Resolved parent folders, for the recursion.

    Yields:
        Each folder with its sub-folders and files as `contents` returns them.

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
    """The split named by the deepest folder between `root` and `folder`, or "" if none names one."""
    splits = [SPLIT_FOLDERS.get(name.casefold(), "") for name in folder.relative_to(root).parts]
    return next((split for split in reversed(splits) if split), "")


def phantom_splits(count: int) -> list[str]:
    """The split of each of `count` synthetic cases: 70 % train; with three or more cases no split is empty."""
    held_out = max(round(0.15 * count), 1)
    validation, test = held_out if count > 1 else 0, held_out if count > 2 else 0
    return ["train"] * (count - validation - test) + ["val"] * validation + ["test"] * test


def table_rows(
    path: Path, required: Sequence[str], optional: Sequence[str], row_holds: str, advice: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the rows of a CSV table of cases.

    Args:
        path: A CSV in UTF-8 with a header; column names are read in lower case.
        required: Columns that must be there.
        optional: Columns that may be there. One named `split` must hold one of `SPLITS`, or nothing.
        row_holds: What a row stands for, such as "a pair", for the message about a table without rows.
        advice: What to do if the columns differ.

    Yields:
        The line number, as in "line 2", and the cells by column, stripped.

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
    """File stems, each prefixed with its folder where several files share the stem.

    Args:
        stems: File names without suffix.
        folders: The folder of each file, relative and separated by "/"; "" or "." for none.
    """
    counts = Counter(stem.casefold() for stem in stems)
    return [
        f"{folder.replace('/', '_')}-{stem}" if counts[stem.casefold()] > 1 and folder not in ("", ".") else stem
        for stem, folder in zip(stems, folders, strict=True)
    ]


def identifiers(names: Sequence[str], keys: Sequence[str]) -> list[str]:
    """An identifier for each case: safe as a folder name, also on case-insensitive file systems.

    A name that is too long, or that several cases share, ends in a hash of the case's key.

    Args:
        names: Display name of each case.
        keys: What identifies each case, such as its files; hashed only where needed.
    """
    safe = [safe_name(name) for name in names]
    counts = Counter(name.casefold() for name in safe)
    return [
        name
        if counts[name.casefold()] == 1 and len(name.encode()) <= LONGEST_ID
        else f"{name.encode()[:LONGEST_ID].decode(errors='ignore')}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        for name, key in zip(safe, keys, strict=True)
    ]
