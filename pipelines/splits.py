"""Which cases a model is trained, chosen and tested on."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from transect.data_adapters.base import Case


def with_splits(cases: Sequence[Case], validation_share: float, seed: int) -> list[Case]:
    """The cases with a split each, never cutting a group.

    Splits that the data set names stand. Where it names none, groups are dealt to "train" and "val"; where only a
    validation split is missing, it is taken from the training groups. Dealing goes by a hash of the group's name, so
    that a group keeps its side when others are added.
    """
    cases = [replace(case, split="train") if not case.split else case for case in cases]
    if any(case.split == "val" for case in cases):
        return cases
    groups = sorted({case.group for case in cases if case.split == "train"}, key=lambda name: _draw(name, seed))
    held_out = set(groups[: max(round(len(groups) * validation_share), 1)]) if len(groups) > 1 else set()
    return [replace(case, split="val") if case.split == "train" and case.group in held_out else case for case in cases]


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
