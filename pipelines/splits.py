"""Assign cases to the training, validation and test splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from transect.data_adapters.base import Case


def with_splits(cases: Sequence[Case], validation_share: float, seed: int) -> list[Case]:
    """Assign a split to each case, with all cases of a group in the same split.

    Splits that the data set names are kept; other cases are assigned to "train". If no case is in "val", a share of the
    training groups is. The groups are ordered by a hash of their name, so that the assignment of a group hardly changes
    when groups are added.

    Args:
        cases: the cases.
        validation_share: fraction of the training groups for validation; at least one group, unless there is only one.
        seed: seed of the hash.
    """
    cases = [replace(case, split="train") if not case.split else case for case in cases]
    if any(case.split == "val" for case in cases):
        return cases
    groups = sorted({case.group for case in cases if case.split == "train"}, key=lambda name: _hash(name, seed))
    held_out = set(groups[: max(round(len(groups) * validation_share), 1)]) if len(groups) > 1 else set()
    return [replace(case, split="val") if case.split == "train" and case.group in held_out else case for case in cases]


def _hash(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
