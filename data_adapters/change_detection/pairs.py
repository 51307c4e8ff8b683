"""One place at two dates: the case of change detection, and how it is named."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.listing import identifiers

_TILE = re.compile(r"(?<=[^_-])[_-](?:r|row|y)?\d+[_-](?:c|col|x)?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair(Case):
    """Rasters of one place at two dates, and the label that says what changed.

    `before` and `after` are each one raster, or several whose bands are stacked in the given order; empty where the
    partner is missing. `label` is the path of the label, or empty, and `coding` what its values mean. `dates` are ISO
    8601, or None where the layout does not tell. `files` is all of them.
    """

    files: tuple[str, ...] = field(init=False)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    label: str = ""
    coding: LabelCoding = LabelCoding.BINARY
    dates: tuple[str | None, str | None] = (None, None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", (*self.before, *self.after, *filter(None, [self.label])))


def scene_of(name: str) -> str:
    """The scene that a tile was cut from: `name` without a final row and column, as in `train_1_0_256`.

    Row and column are the last two numbers of the name, which may carry letters as in `_r3_c4`. A name that merely
    ends in two numbers is grouped too coarsely, which costs a finer split but can never leak a scene across one.
    """
    return _TILE.sub("", name)


def named(pairs: Iterable[Pair]) -> list[Pair]:
    """Give pairs that still bear their layout's name as `id` an identifier and a group, and sort them by it.

    The identifier is the split and the name, as `identifiers` makes them safe for a folder and unique. The group
    is the identifier without a tile's row and column; a split that the data set declares is part of it, since that
    split is taken as it is.

    Raises:
        BadInput: two pairs have the same split and name.
    """
    ordered = sorted(pairs, key=lambda pair: (pair.split, _natural(pair.id)))
    names = [_with_split(pair) for pair in ordered]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput("pairs", "name", f"{', '.join(twice[:8])} more than once", "each pair under a name of its own")
    ids = identifiers(names, names)
    return [replace(pair, id=new, group=scene_of(new)) for pair, new in zip(ordered, ids, strict=True)]


def missing_partners(pairs: Sequence[Pair]) -> list[str]:
    """What `pairs` lack, one line each: a date, or a label where other pairs of the same split have one."""
    labelled = {pair.split for pair in pairs if pair.label}
    lines = []
    for pair in pairs:
        sides = {"before": pair.before, "after": pair.after, "label": pair.label or pair.split not in labelled}
        if missing := [side for side, there in sides.items() if not there]:
            lines.append(f"{pair.id}: no {' and no '.join(missing)}")
    return lines


def _with_split(pair: Pair) -> str:
    already = not pair.split or re.match(rf"{pair.split}(?![a-zA-Z0-9])", pair.id)
    return pair.id if already else f"{pair.split}_{pair.id}"


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort `tile_2` before `tile_10`."""
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in re.split(r"(\d+)", name)]
