"""Pairs given explicitly: two inputs on the command line, or the rows of a CSV."""

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.dates import acquisition_date, file_name, iso_day
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.change_detection.products.find import side_of_files, side_of_folder, side_of_zip
from transect.data_adapters.change_detection.products.found import Side
from transect.data_adapters.change_detection.products.links import is_item
from transect.data_adapters.listing import table_rows

SIDES = ("before", "after")
OPTIONAL = ("label", "before_date", "after_date", "split", "id")

_BAND = re.compile(r"^(?P<scene>.*?)_?B(?:\d{1,2}|8A)(?:_\d\dm)?$")


def pair_of(before: str, after: str, config: ReadConfig, base: Path | None = None) -> Pair:
    """The pair of two inputs, each a raster, band files joined by commas, or a product.

    Args:
        before: Input of the first date.
        after: Input of the second date.
        config: Settings of raster reading, which choose the bands of products.
        base: Folder that relative paths refer to; URLs and GDAL's virtual paths (`/vsi...`) are unchanged.

    Raises:
        BadInput: a folder does not hold exactly one product, or a product lacks a band.
    """
    return pair_of_sides(_side(before, config, base), _side(after, config, base))


def pair_of_sides(before: Side, after: Side) -> Pair:
    """The pair of two dates."""
    name = before.name if before.name == after.name else "__".join(filter(None, [before.name, after.name]))
    return Pair(
        id=name,
        group="",
        before=before.files,
        after=after.files,
        dates=(before.date, after.date),
        products=(before.product, after.product),
    )


def pairs_in_table(path: Path, config: ReadConfig) -> list[Pair]:
    """The pairs of a CSV with the columns before, after and optionally label, before_date, after_date, split, id.

    Paths are relative to the CSV. An empty `before` or `after` is a missing partner. A product that cannot be used is
    the fault of its pair.

    Raises:
        BadInput: a column is missing or unknown, or a row has a wrong number of fields, date or split; the message
            names the line. The whole table is refused before any case is read.
    """
    pairs = [_row_pair(path, line, cells, config) for line, cells in table_rows(path, SIDES, OPTIONAL, "a pair")]
    repeated = Counter((pair.split, pair.id) for pair, _ in pairs)
    return [pair if repeated[pair.split, pair.id] == 1 else replace(pair, id=long_name) for pair, long_name in pairs]


def labels_in_table(path: Path) -> list[str]:
    """The labels of the CSV that `pairs_in_table` reads, in the order of its rows."""
    cells = (cells.get("label", "") for _, cells in table_rows(path, SIDES, OPTIONAL, "a pair"))
    return [_resolved(label, path.parent) for label in cells if label]


def _row_pair(path: Path, line: str, cells: dict[str, str], config: ReadConfig) -> tuple[Pair, str]:
    """The pair of a row, and the longer name to use if its short name is not unique."""
    long_name = f"{cells['before']}__{cells['after']}"
    try:
        pair = pair_of(cells["before"], cells["after"], config, path.parent)
    except BadInput as error:
        before, after = ((_resolved(cells[side], path.parent),) if cells[side] else () for side in SIDES)
        pair = Pair(id=long_name, group="", before=before, after=after, fault=error)
    label = cells.get("label", "")
    dates = (_day(path, line, "before", cells) or pair.dates[0], _day(path, line, "after", cells) or pair.dates[1])
    name = cells.get("id", "")
    label = _resolved(label, path.parent) if label else ""
    pair = replace(pair, id=name or pair.id, split=cells.get("split", ""), dates=dates, label=label)
    pair = replace(pair, label_set=(str(path),), split_source="the table")
    return pair, name or long_name


def _day(path: Path, line: str, side: str, cells: dict[str, str]) -> str | None:
    text = cells.get(f"{side}_date", "")
    day = iso_day(text)
    if text and day is None:
        raise BadInput(path, f"{line}, {side}_date", text, "a day such as 2010-12-18")
    return day


def _side(text: str, config: ReadConfig, base: Path | None) -> Side:
    path = _resolved(text, base)
    if not text:
        return Side()
    if os.path.isdir(path):
        return side_of_folder(Path(path), config)
    if path.lower().endswith(".zip") and os.path.isfile(path):
        return side_of_zip(Path(path), config)
    if path.lower().endswith((".tar", ".tar.gz", ".tgz")) and os.path.isfile(path):
        raise BadInput(path, "input", "an archive", "a folder of band files", "unpack it into a folder of its own")
    if is_item(path):
        from transect.data_adapters.change_detection.products.stac import side_of_item  # pystac is slow to import

        return side_of_item(path, config)
    if os.path.isfile(path) or "," not in text:
        files: tuple[str, ...] = (path,)
    else:
        # A comma inside a URL belongs to it unless another URL follows.
        separator = r",(?=\s*(?:\w+://|/vsi))" if _is_remote(text) else ","
        files = tuple(_resolved(part.strip(), base) for part in re.split(separator, text))
    return side_of_files(files, config) or Side(files, _name(files), acquisition_date(files[0]))


def _resolved(text: str, base: Path | None) -> str:
    return text if base is None or _is_remote(text) else str(base / text)


def _is_remote(text: str) -> bool:
    return "://" in text or text.startswith("/vsi")


def _name(files: tuple[str, ...]) -> str:
    """A raster's file stem, or the common scene name of several band files."""
    if len(files) < 2:
        return "".join(PurePosixPath(file_name(path)).stem for path in files)
    return "_".join(dict.fromkeys(map(_scene_name, files)))


def _scene_name(path: str) -> str:
    """The scene of a band file; the folder name if the file is named only by its band."""
    stem = PurePosixPath(file_name(path)).stem
    match = _BAND.match(stem)
    return (match["scene"] or Path(path).parent.name) if match else stem
