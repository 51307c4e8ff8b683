"""CSV tables of a rig: the times of a camera's images or frames, and poses of the vehicle by time."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.rig.yaml_file import read_text

TIME = ("microseconds", "timestamp")
"""Names of the column of times in microseconds."""

LARGEST = 1 << 26
"""Largest size of a table in bytes."""

LATEST = 1 << 53
"""Largest time in microseconds, in the year 2255; nanoseconds since 1970 are larger."""


def read_times(path: Path) -> dict[str | int, int]:
    """The times of a camera's images by file name, or of its video's frames by their number from 0.

    The columns are `file` or `frame`, and `microseconds`. The line with these names may be left out where they are in
    this order.

    Raises:
        BadInput: a column or a value is something else, or an image, a frame or a time is there twice.
    """
    rows = list(_lines(path))
    for line, row in rows:
        if len(row) != 2:
            raise BadInput(path, f"line {line}", f"{len(row)} cells", "2: file or frame, microseconds")
    kind = ""
    if rows and not _is_whole(rows[0][1][1]):
        kind, unit = (name.strip().lower() for name in rows.pop(0)[1])
        if kind in TIME:
            kind, unit = unit, kind
            rows = [(line, row[::-1]) for line, row in rows]
        if kind not in ("file", "frame") or unit not in TIME:
            raise BadInput(path, "columns", f"{kind}, {unit}"[:200], f"file or frame, and {' or '.join(TIME)}")
    if not rows:
        raise BadInput(path, "rows", "none", "an image or a frame in each row")
    by_frame = kind == "frame" or (not kind and all(_is_whole(name) for _, (name, _) in rows))
    times: dict[str | int, int] = {}
    seen: set[int] = set()
    for line, (name, text) in rows:
        key = _whole(path, f"line {line}, frame", name) if by_frame else name.strip()
        time = _whole(path, f"line {line}, microseconds", text)
        if key in times or time in seen:
            raise BadInput(path, f"line {line}", f"{name.strip()[:80]}, {time}", "each image and each time once")
        times[key] = time
        seen.add(time)
    return times


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, list[float]]:
    """The numbers of a table with these columns, in any order, and one of the names of `TIME`, here "microseconds".

    Raises:
        BadInput: a column is missing, unknown or there twice, a value is no finite number, or there is no row.
    """
    lines = _lines(path)
    _, header = next(lines, (0, []))
    names = [name.strip().lower() for name in header]
    names = ["microseconds" if name in TIME else name for name in names]
    if sorted(names) != sorted([*columns, "microseconds"]):
        raise BadInput(path, "columns", ", ".join(names)[:200] or "none", ", ".join(["microseconds", *columns]))
    found: dict[str, list[float]] = {name: [] for name in names}
    for line, row in lines:
        if len(row) != len(names):
            raise BadInput(path, f"line {line}", f"{len(row)} cells", f"{len(names)} cells")
        for name, text in zip(names, row, strict=True):
            where = f"line {line}, {name}"
            found[name].append(_whole(path, where, text) if name == "microseconds" else _number(path, where, text))
    if not found["microseconds"]:
        raise BadInput(path, "rows", "none", "a pose in each row")
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    rows = csv.reader(read_text(path, LARGEST).splitlines(), skipinitialspace=True)
    try:
        for row in rows:
            if row:
                yield rows.line_num, row
    except csv.Error as error:
        raise BadInput(path, f"line {rows.line_num}", error, "comma-separated values") from error


def _is_whole(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.isdigit() and len(text) < 20


def _whole(path: Path, field: str, text: str) -> int:
    if not _is_whole(text) or int(text) > LATEST:
        raise BadInput(path, field, repr(text.strip()[:80]), "a whole number from 0 to 2^53")
    return int(text)


def _number(path: Path, field: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) <= 1e9:
        raise BadInput(path, field, repr(text.strip()[:80]), "a finite number")
    return number
