"""Splits of a data set by text files that list the names of each split, next to the image folders."""

import logging
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.folders import by_name, read_text
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.listing import SPLIT_FOLDERS, SPLITS, contents

log = logging.getLogger("transect")

LISTS = {
    **{f"list/{split}.txt": split for split in SPLITS},
    # BRIGHT: the hold-out is the labelled validation set; its `val` is the unlabelled test set.
    "train_setlevel.txt": "train",
    "holdout_setlevel.txt": "val",
    "val_setlevel.txt": "test",
}
"""Text files that list the names of each split, next to the image folders or above the split folders, in lower case."""

_EXPECTED = "lists are read from " + ", ".join(LISTS)
_NAME = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_FOLDERS)})(?![a-z])")


def with_splits(base: Path, pairs: list[Pair], images: Collection[str]) -> list[Pair]:
    """`pairs` with the splits from list files, or from a prefix that all names have, as in `train_1`.

    A listed name without files becomes a pair without files. A list that names none of the pairs, and one at another
    place, is ignored with a warning.

    Args:
        base: Folder that holds the image folders, or the split folders.
        pairs: The pairs found there, by name.
        images: Names of the folders that hold images, in lower case; no lists are looked for in them.

    Raises:
        BadInput: a list cannot be read, names something outside the folder, or two lists have the same name.
    """
    listed = _listed(base, {pair.id for pair in pairs}, images)
    if listed:
        known = {pair.id for pair in pairs}
        absent = [Pair(id=name, group="", split=split) for name, split in listed.items() if name not in known]
        present = [replace(pair, split=listed.get(pair.id, pair.split)) for pair in pairs]
        return [replace(pair, split_source="list files") for pair in present + absent]
    prefixes = [re.match(r"(train|val|test)_", pair.id) for pair in pairs]
    if all(prefixes) and not any(pair.split for pair in pairs):
        return [replace(pair, split=match[1]) for pair, match in zip(pairs, prefixes, strict=True) if match]
    return pairs


def _listed(base: Path, known: set[str], images: Collection[str]) -> dict[str, str]:
    """The split of each name in the list files at `base`."""
    listed: dict[str, str] = {}
    for path, split in _files(base, images):
        names = _names(path)
        if names and not known & set(names):
            log.warning("%s: ignored, since no pair has any of its names, such as %s", path, names[0])
            continue
        for name in names:
            if listed.setdefault(name, split) != split:
                raise BadInput(path, "split", f"{name} in {listed[name]} and {split}", "each name in one split")
    return listed


def _files(base: Path, images: Collection[str]) -> list[tuple[Path, str]]:
    """The list files and their splits, in the order of LISTS; warns of text files that look like other lists."""
    folders, files = contents(base)
    for name, folder in by_name(folders).items():
        if name not in images and name not in SPLIT_FOLDERS:
            files += contents(folder)[1]
    found = {}
    for path in files:
        place = path.relative_to(base).as_posix().casefold()
        if place in LISTS and path.is_file():
            found[place] = path
        elif path.suffix.casefold() == ".txt" and (place.startswith("list") or _NAME.search(path.stem.casefold())):
            log.warning("%s: ignored: %s", path, _EXPECTED)
    return [(found[place], split) for place, split in LISTS.items() if place in found]


def _names(path: Path) -> list[str]:
    """The names in a list file, which may have an extension."""
    names = []
    for line in filter(None, map(str.strip, read_text(path).splitlines())):
        entry = PurePosixPath(line.replace("\\", "/"))
        if entry.is_absolute() or ".." in entry.parts:
            raise BadInput(path, "name", line, "a name inside the data set's folder")
        names.append(re.sub(r"\.(tiff?|png|jpe?g|jp2|bmp)$", "", entry.name, flags=re.IGNORECASE))
    return names
