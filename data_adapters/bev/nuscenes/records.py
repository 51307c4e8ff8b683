"""Records of the JSON tables of nuScenes, read one at a time, and their fields, checked when they are used."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.bev.calibration import Place, require_quaternion
from transect.data_adapters.regular import require_regular

CHUNK = 1 << 22
"""Characters of a table that are read at a time."""

LONGEST = 1 << 20
"""Largest number of characters of one record."""

FARTHEST = 1e8
"""Largest coordinate in metres: two and a half times around the Earth."""


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a table.

    Args:
        table: Its file.
        token: What identifies it.
        fields: Its other fields, of any type.
    """

    table: Path
    token: str
    fields: Mapping[str, Any]

    @property
    def place(self) -> Place:
        """The table, for messages."""
        return Place(self.table)

    def named(self, field: str) -> str:
        """A field with the token of its record, for messages."""
        return f"{shortened(self.token)}, {field}"

    def bad(self, field: str, expected: object, advice: str = "") -> BadInput:
        """The error that names table, token and field."""
        found = shortened(self.fields[field]) if field in self.fields else "no such field"
        return self.place.bad(self.named(field), found, expected, advice)

    def repeated(self) -> BadInput:
        """The error that another record has the same token."""
        return self.place.bad("token", f"{shortened(self.token)} twice", "each token once")

    def text(self, field: str) -> str:
        """A text that is not empty and has no control characters.

        Raises:
            BadInput: the field is missing or something else.
        """
        value = self.fields.get(field)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.bad(field, "text")
        return value

    def whole(self, field: str) -> int:
        """A whole number from 0 to 2^53, as JSON holds them exactly.

        Raises:
            BadInput: the field is missing or something else.
        """
        value = self.fields.get(field)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1 << 53:
            raise self.bad(field, "a whole number of 0 or more")
        return value

    def vector(self, field: str) -> NDArray[np.float64]:
        """Three numbers, float64 `(3,)`.

        Raises:
            BadInput: the field is missing or something else.
        """
        values = self.place.numbers(self.named(field), self.fields.get(field), (3,))
        if np.abs(values).max() > FARTHEST:
            raise self.bad(field, f"at most {FARTHEST:g} m")
        return values

    def quaternion(self, field: str) -> NDArray[np.float64]:
        """A unit quaternion (w, x, y, z), float64 `(4,)`; see `require_quaternion`."""
        return require_quaternion(self.place, self.named(field), self.fields.get(field))


def read_records(path: Path, fields: Sequence[str], keep: Callable[[Row], bool] | None = None) -> Iterator[Record]:
    """Read a table, a JSON list of objects, and hold no more of it than a few megabytes at a time.

    Args:
        path: The file.
        fields: Names of the fields to keep, in addition to `token`.
        keep: Tells from all fields of a record whether it is read; all are by default.

    Raises:
        BadInput: the file is missing or damaged, or a record is no object or has no token.
    """
    for number, row in enumerate(_items(path)):
        if not isinstance(row, dict):
            raise BadInput(path, f"record {number}", type(row).__name__, "an object")
        token = row.get("token")
        if not isinstance(token, str) or not token.isprintable() or not token:
            raise BadInput(path, f"record {number}, token", shortened(token), "text")
        if keep is None or keep(row):
            yield Record(path, token, {name: row[name] for name in fields if name in row})


def by_token(records: Iterable[Record]) -> dict[str, Record]:
    """Records by their token.

    Raises:
        BadInput: two have the same.
    """
    found: dict[str, Record] = {}
    for record in records:
        if record.token in found:
            raise record.repeated()
        found[record.token] = record
    return found


def linked(record: Record, field: str, others: Mapping[str, Record], table: str) -> Record:
    """The record of another table that a field names by its token.

    Raises:
        BadInput: there is none.
    """
    token = record.fields.get(field)
    if not isinstance(token, str) or token not in others:
        raise record.bad(field, f"a token of {table}.json")
    return others[token]


def shortened(value: object) -> str:
    """A value of a damaged file for a message."""
    text = str(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 80 else f"{text[:80]}..."


def _items(path: Path) -> Iterator[Any]:
    """The items of a JSON list."""
    try:
        require_regular(path)
        with path.open(encoding="utf-8") as file:
            window = _Window(file)
            mark = window.mark()
            if mark != "[":
                raise ValueError("no list")
            if window.is_closed():
                mark = window.mark()
            while mark in ("[", ","):
                yield window.item()
                mark = window.mark()
            if mark != "]" or not window.is_at_end():
                raise ValueError(f"no comma or end of the list after {shortened(window.text[: window.position][-40:])}")
    except FileNotFoundError as error:
        raise BadInput(path, "table", "no such file", "a table of nuScenes") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: damaged JSON or UTF-8
        raise BadInput(path, "JSON", shortened(reason(error)), "a list of objects") from error


class _Window:
    """The part of a JSON text that is being read."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.text, self.position, self.ended = "", 0, False
        self.decode = json.JSONDecoder().raw_decode

    def mark(self) -> str:
        """The next bracket or comma, after which the position is; "" where something else comes next."""
        while len(self.text) - self.position < LONGEST and not self.ended:
            more = self.file.read(CHUNK)
            self.text, self.position, self.ended = self.text[self.position :] + more, 0, not more
        match = _mark.match(self.text, self.position)
        if match is None:
            return ""
        self.position = match.end()
        return match[1]

    def item(self) -> Any:
        """The next value."""
        value, self.position = self.decode(self.text, self.position)
        return value

    def is_closed(self) -> bool:
        """Whether a list ends here."""
        return self.text.startswith("]", self.position)

    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return self.ended and self.position == len(self.text)


_mark = re.compile(r"[ \t\r\n]*([\[\],])[ \t\r\n]*")
