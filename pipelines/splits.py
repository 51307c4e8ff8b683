"""Assign cases to the training, validation and test splits, and summarize them."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import Case
from transect.data_adapters.settings import require

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def with_splits(cases: Sequence[Case], validation_share: float, seed: int, fold: int = 0) -> list[Case]:
    """Assign a split to each case, with all cases of a group in the same split.

    Splits that the data set names are kept; other cases are assigned to "train". If no case is in "val", a share of the
    training groups is. The groups are ordered by a hash of their name, so that the assignment of a group hardly changes
    when groups are added.

    Args:
        cases: the cases.
        validation_share: fraction of the training groups for validation; at least one group, unless there is only one.
        seed: seed of the hash.
        fold: which share of the groups is for validation, in the order of the hash.

    Raises:
        ValueError: there is no such fold, or the data set has a validation split of its own.
    """
    cases = [replace(case, split="train") if not case.split else case for case in cases]
    if any(case.split == "val" for case in cases):
        require(fold == 0, "train.fold", fold, "0: the data set names its validation split")
        return cases
    groups = sorted({case.group for case in cases if case.split == "train"}, key=lambda name: _hash(name, seed))
    size = max(round(len(groups) * validation_share), 1)
    require(fold * size < max(len(groups), 1), "train.fold", fold, f"less than {-(-len(groups) // size)}")
    held_out = set(groups[fold * size : (fold + 1) * size]) if len(groups) > 1 else set()
    return [replace(case, split="val") if case.split == "train" and case.group in held_out else case for case in cases]


def summary(listed: Sequence[Case], cases: Sequence[Case], unit: str = "cases") -> str:
    """Three lines on a data set: its splits and where they come from, its groups, and its files.

    Args:
        listed: the cases as the data set lists them.
        cases: the same with their splits, from `with_splits`.
        unit: what a case is called, in the plural.
    """
    counts = Counter(case.split for case in cases)
    splits = [f"{counts[split]} {name}" for split, name in SPLIT_NAMES.items() if counts[split]]
    if len(cases) == 1:
        unit = re.sub("s$", "", re.sub("ies$", "ys", unit))
    groups = defaultdict(set)
    for case in cases:
        groups[case.group].add(case.split)
    divided = sum(len(names) > 1 for names in groups.values())
    files = [Path(file) for file in dict.fromkeys(file for case in cases for file in case.files) if "://" not in file]
    missing = sum(not file.exists() for file in files)
    counted = Counter(map(_kind, files)).most_common(5)
    kinds = ", ".join(f"{count} {kind}{'s' if kind == 'folder' and count > 1 else ''}" for kind, count in counted)
    return "\n".join(
        [
            f"{', '.join(splits)} {unit}, {_source(listed, counts)}",
            f"groups: {len(groups)}" + (f", {divided} of them in more than one split" if divided else ""),
            f"files: {kinds or 'none on this machine'}" + (f", {missing} of them missing" if missing else ""),
        ]
    )


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix[1:].isalnum():
        return suffix
    return "folder" if file.is_dir() else "no suffix"


def _source(listed: Sequence[Case], counts: Counter[str]) -> str:
    named = {case.split for case in listed} - {""}
    drawn = "validation drawn from the training groups by train.validation_share"
    if not counts["val"] and not named:
        return "no splits named"
    if not named:
        return drawn
    sources = {getattr(case, "split_source", "names") for case in listed if case.split}
    source = f"from {' and '.join(sorted(sources))}"
    return source if "val" in named or not counts["val"] else f"{source}, {drawn}"


def _hash(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
