"""Read candidates from JSON: one object per spectrum, as JSON Lines or as an array.

An array is decoded one object at a time with the standard library, so that memory is bounded without a streaming parser
as a dependency.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.candidates.row import (
    CandidateFile,
    CandidateRow,
    Damaged,
    Keys,
    Tool,
    finite,
    keys_in,
    whole,
)
from transect.data_adapters.peptide.candidates.text import LONGEST_LINE, numbered_lines, pieces

SAMPLE = 100
"""Objects at the beginning that are used to find the tools."""
MOST_TOOLS = 64

_NO_TOOLS = {"index", "scan", "title", "truth", "label", "target", "precursor_mz", "charge", "candidates"}
_BETWEEN = re.compile(r"\A[\s,\[\ufeff]*")
_NAME = re.compile(r"[\w.+-]{1,40}", re.ASCII)
_CHUNK = 1 << 16


def json_file(path: str, text: str) -> CandidateFile | None:
    """The candidate file `path`, which begins with `text`; None if it is not JSON, or its objects have no tools.

    Each object has an `index`, a `scan` or a `title`. Its candidates are a list with one of each tool, or a string or
    null for each tool under its name with the score under `<tool>_score`. `precursor_mz` and `charge` are optional.

    Raises:
        BadInput: the JSON cannot be parsed.
    """
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return None
    objects = partial(_lines if start == "{" else _array, path)
    sample = [record for _, record in islice(objects(), SAMPLE) if isinstance(record, dict)]
    names = list(dict.fromkeys(name for record in sample for name in _tool_names(record)))[:MOST_TOOLS]
    if not names:
        return None
    return CandidateFile(path, tuple(map(Tool, names)), partial(_rows, objects, names))


def _tool_names(record: dict[str, Any]) -> list[str]:
    if isinstance(listed := record.get("candidates"), list):
        return [f"candidate_{number}" for number in range(1, min(len(listed), MOST_TOOLS) + 1)]
    names = [name for name in record if name not in _NO_TOOLS and _NAME.fullmatch(name)]
    return [name for name in names if f"{name}_score" in record or isinstance(record[name], str)]


def _rows(objects: Callable[[], Iterator[tuple[int, Any]]], names: list[str]) -> Iterator[CandidateRow | Damaged]:
    for line, record in objects():
        if not isinstance(record, dict):
            yield Damaged(line, str(record))
            continue
        keys = _keys(record)
        mz, charge = finite(_text(record, "precursor_mz")), whole(_text(record, "charge"))
        listed = record.get("candidates")
        proposed = dict(zip(_tool_names(record), listed, strict=False)) if isinstance(listed, list) else record
        for tool, name in enumerate(names):
            if isinstance(proposed.get(name), str):
                sequence = _text(proposed, name)
                score = finite(_text(record, f"{name}_score"))
                yield CandidateRow(tool, line, keys, sequence, score, precursor_mz=mz, charge=charge)


def _text(record: dict[str, Any], name: str) -> str:
    """A string or number of an object as text, with lone surrogates replaced, which cannot be encoded."""
    value = record.get(name)
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, int | float | str) else ""


def _keys(record: dict[str, Any]) -> Keys:
    titled = keys_in(_text(record, "title"))
    index, scan = (keys_in(_text(record, name), name) for name in ("index", "scan"))
    return replace(
        titled,
        index=titled.index if index.index is None else index.index,
        scan=titled.scan if scan.scan is None else scan.scan,
    )


def _lines(path: str) -> Iterator[tuple[int, Any]]:
    """The line number and value of each line; an error message for a malformed line."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            value = f"no JSON: {error}"
        yield number, value if isinstance(value, dict) else str(value)[:200]


def _array(path: str) -> Iterator[tuple[int, Any]]:
    """The values of an array, one at a time, with line number 0.

    Raises:
        BadInput: the array is malformed, truncated, or has a value that is too large.
    """
    decoder = json.JSONDecoder()
    rest, count, ended = "", 0, False
    for piece in pieces(path, _CHUNK, by_line=False):
        rest += "" if ended else piece
        while not ended:
            rest = _BETWEEN.sub("", rest, count=1)
            if rest.startswith("]"):
                ended = True
                break
            try:
                value, end = decoder.raw_decode(rest)
            except (ValueError, RecursionError) as error:
                if len(rest) > LONGEST_LINE or isinstance(error, RecursionError):
                    raise BadInput(
                        path, f"object {count}", f"no JSON: {error}", "an object for each spectrum"
                    ) from error
                break
            if not isinstance(value, dict) and end == len(rest):
                break  # a number that may continue
            rest, count = rest[end:], count + 1
            yield 0, value if isinstance(value, dict) else str(value)[:200]
    if not ended:
        raise BadInput(
            path,
            f"object {count}",
            f"{rest[:40]!r}, then the end",
            "an array of objects in JSON",
            "fetch or write it again",
        )
