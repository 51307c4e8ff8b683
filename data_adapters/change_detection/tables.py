"""Pairs given explicitly: two inputs on the command line, or the rows of a CSV."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.bands import one_scene, scene_name
from transect.data_adapters.change_detection.dates import acquisition_date, file_name, iso_day
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.listing import table_rows

SIDES = ("before", "after")
OPTIONAL = ("label", "before_date", "after_date", "split", "id")


def pair_of(before: str, after: str, base: Path | None = None) -> Pair:
    """The pair of two inputs, each a raster, band files joined by commas, or a folder with one scene's band files.

    Args:
        before: Input of the first date.
        after: Input of the second date.
        base: Folder that relative paths refer to; URLs and GDAL's virtual paths (`/vsi...`) are unchanged.

    Raises:
        BadInput: a folder does not hold exactly one Landsat or Sentinel-2 scene in natural colour.
    """
    sides = (_files(before, base), _files(after, base))
    names = [_name(files) for files in sides]
    name = names[0] if names[0] == names[1] else "__".join(filter(None, names))
    dates = [acquisition_date(files[0]) if files else None for files in sides]
    return Pair(id=name, group="", before=sides[0], after=sides[1], dates=(dates[0], dates[1]))


def pairs_in_table(path: Path) -> list[Pair]:
    """The pairs of a CSV with the columns before, after and optionally label, before_date, after_date, split, id.

    Paths are relative to the CSV. An empty `before` or `after` is a missing partner.

    Raises:
        BadInput: a column is missing or unknown, or a row has a wrong number of fields, date or split; the message
            names the line. The whole table is refused before any case is read.
    """
    pairs = [_row_pair(path, line, cells) for line, cells in table_rows(path, SIDES, OPTIONAL, "a pair")]
    repeated = Counter((pair.split, pair.id) for pair, _ in pairs)
    return [pair if repeated[pair.split, pair.id] == 1 else replace(pair, id=long_name) for pair, long_name in pairs]


def labels_in_table(path: Path) -> list[str]:
    """The labels of the CSV that `pairs_in_table` reads, in the order of its rows."""
    cells = (cells.get("label", "") for _, cells in table_rows(path, SIDES, OPTIONAL, "a pair"))
    return [_resolved(label, path.parent) for label in cells if label]


def _row_pair(path: Path, line: str, cells: dict[str, str]) -> tuple[Pair, str]:
    """The pair of a row, and the longer name to use if its short name is not unique."""
    pair = pair_of(cells["before"], cells["after"], path.parent)
    label = cells.get("label", "")
    dates = (_day(path, line, "before", cells) or pair.dates[0], _day(path, line, "after", cells) or pair.dates[1])
    name = cells.get("id", "")
    label = _resolved(label, path.parent) if label else ""
    pair = replace(pair, id=name or pair.id, split=cells.get("split", ""), dates=dates, label=label)
    pair = replace(pair, label_set=(str(path),), split_source="the table")
    return pair, name or f"{cells['before']}__{cells['after']}"


def _day(path: Path, line: str, side: str, cells: dict[str, str]) -> str | None:
    text = cells.get(f"{side}_date", "")
    day = iso_day(text)
    if text and day is None:
        raise BadInput(path, f"{line}, {side}_date", text, "a day such as 2010-12-18")
    return day


def _files(text: str, base: Path | None) -> tuple[str, ...]:
    path = _resolved(text, base)
    if not text:
        return ()
    if os.path.isdir(path):
        return one_scene(Path(path)).colour
    if os.path.isfile(path) or "," not in text:
        return (path,)
    # A comma inside a URL belongs to it unless another URL follows.
    separator = r",(?=\s*(?:\w+://|/vsi))" if _is_remote(text) else ","
    return tuple(_resolved(part.strip(), base) for part in re.split(separator, text))


def _resolved(text: str, base: Path | None) -> str:
    return text if base is None or _is_remote(text) else str(base / text)


def _is_remote(text: str) -> bool:
    return "://" in text or text.startswith("/vsi")


def _name(files: tuple[str, ...]) -> str:
    """A raster's file stem, or the common scene name of several band files."""
    if len(files) < 2:
        return "".join(PurePosixPath(file_name(path)).stem for path in files)
    return "_".join(dict.fromkeys(map(scene_name, files)))
