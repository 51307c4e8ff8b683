"""The case of change detection: an image pair, with its identifier and group."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.products.tree import on_disk
from transect.data_adapters.listing import identifiers

_TILE = re.compile(r"(?<=[^_-])[_-](?:r|row|y)?\d+[_-](?:c|col|x)?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair(Case):
    """Rasters of one place at two dates, and their change label.

    Args:
        files: All files of the pair on disk, such as the zip of a member; set from the others.
        before: One raster, or several whose bands are stacked in the given order; empty if missing.
        after: The same for the second date.
        label: Path of the label raster, or empty.
        coding: Meaning of the label's values.
        label_set: Where the labels of the same data set are, with which this one shares its coding: folders, a CSV of
            pairs, or files.
        cover: Paths of the land cover before and after where it changed, or empty.
        dates: ISO 8601, or None if the layout does not give them.
        products: What a satellite product says of each date's files, or None.
        split_source: What names the split: "names", of files or folders, "list files" or "the table".
        fault: Why the pair cannot be read, if this is known already.
    """

    files: tuple[str, ...] = field(init=False)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    label: str = ""
    coding: LabelCoding = LabelCoding.BINARY
    label_set: tuple[str, ...] = field(default=(), compare=False)
    cover: tuple[str, str] = ("", "")
    dates: tuple[str | None, str | None] = (None, None)
    products: tuple[Product | None, Product | None] = (None, None)
    split_source: str = "names"
    fault: BadInput | None = None

    def __post_init__(self) -> None:
        files = [*self.before, *self.after, *filter(None, [self.label])]
        for product in filter(None, self.products):
            files += [*product.metadata, *([product.quality.file] if product.quality else ())]
        object.__setattr__(self, "files", tuple(dict.fromkeys(map(on_disk, files))))


def scene_of(name: str) -> str:
    """The scene of a tile: `name` without the final row and column, as in `train_1_0_256`.

    Row and column are the last two numbers of the name, optionally with letters as in `_r3_c4`. A name that ends in two
    numbers for another reason is grouped too coarsely, which makes a split coarser but never leaks a scene.
    """
    return _TILE.sub("", name)


def named(pairs: Iterable[Pair]) -> list[Pair]:
    """Assign identifiers and groups to pairs whose `id` is the name from their layout, and sort them.

    The identifier is the split and the name, made unique and safe as a folder name by `identifiers`. The group is the
    identifier without a tile's row and column; it includes the split that the data set declares, because that split is
    kept.

    Raises:
        BadInput: two pairs have the same split and name.
    """
    ordered = sorted(pairs, key=lambda pair: (pair.split, _natural(pair.id)))
    names = [_with_split(pair) for pair in ordered]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise BadInput("pairs", "name", f"{', '.join(repeated[:8])} more than once", "a unique name for each pair")
    ids = identifiers(names, names)
    return [replace(pair, id=new, group=scene_of(new)) for pair, new in zip(ordered, ids, strict=True)]


def missing_partners(pairs: Sequence[Pair]) -> list[str]:
    """One line for each incomplete pair: a missing date, or a missing label where other pairs of its split have one."""
    labelled = {pair.split for pair in pairs if pair.label}
    lines = []
    for pair in pairs:
        sides = {"before": pair.before, "after": pair.after, "label": pair.label or pair.split not in labelled}
        if missing := [side for side, present in sides.items() if not present]:
            lines.append(f"{pair.id}: no {' and no '.join(missing)}")
    return lines


def doubts(pair: Pair) -> list[str]:
    """What is doubtful about the inputs of a pair: reversed or equal dates, or the same files on both sides."""
    before, after = pair.dates
    if pair.before and list(map(os.path.realpath, pair.before)) == list(map(os.path.realpath, pair.after)):
        return [f"before and after are the same: {', '.join(pair.before)}"]
    if before and after and before > after:
        return [f"before is of {before}, after {after}: if they are reversed, exchange the two"]
    if before and before == after:
        return [f"both dates are {before}"]
    return []


def _with_split(pair: Pair) -> str:
    already = not pair.split or re.match(rf"{pair.split}(?![a-zA-Z0-9])", pair.id)
    return pair.id if already else f"{pair.split}_{pair.id}"


def _natural(name: str) -> list[tuple[int, str]]:
    """Key for natural sorting: `tile_2` before `tile_10`."""
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in re.split(r"(\d+)", name)]
