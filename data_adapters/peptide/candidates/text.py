"""Read candidate files as text line by line, decompressed and with size limits."""

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.source import opened

HEAD = 1 << 16
"""Characters at the beginning of a file that are used to detect its dialect."""
LONGEST_LINE = 1 << 20
"""Maximum number of characters in a line."""
MOST_UNPACKED = 200
"""Maximum compression ratio of a file, above 64 MiB."""


@contextmanager
def opened_text(path: str) -> Iterator[TextIO]:
    """Open a text file, decompressing gzip: UTF-8, or UTF-16 with a byte order mark; invalid bytes become U+FFFD.

    Raises:
        BadInput: it cannot be read, or its compressed data is damaged or truncated.
    """
    with opened(path) as file:
        wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        file.seek(0)
        with io.TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig", errors="replace") as text:
            yield text


def head(path: str) -> str:
    """The first `HEAD` characters.

    Raises:
        BadInput: the file cannot be read.
    """
    with opened_text(path) as text:
        return text.read(HEAD)


def pieces(path: str, size: int, by_line: bool) -> Iterator[str]:
    """Read the text in pieces of at most `size` characters; if `by_line`, pieces end at line ends.

    Raises:
        BadInput: the file cannot be read, or is a decompression bomb.
    """
    left = (1 << 26) + MOST_UNPACKED * (os.path.getsize(path) if os.path.exists(path) else 0)
    with opened_text(path) as text:
        while piece := text.readline(size) if by_line else text.read(size):
            yield piece
            left -= len(piece)
            if left < 0:
                raise BadInput(path, "gzip", f"more than {MOST_UNPACKED} times its size", "a table of candidates")


def numbered_lines(path: str) -> Iterator[tuple[int, str]]:
    """The lines without line ends, numbered from 1.

    Raises:
        BadInput: the file cannot be read, or a line has more than `LONGEST_LINE` characters.
    """
    for number, line in enumerate(pieces(path, LONGEST_LINE, by_line=True), 1):
        if len(line) == LONGEST_LINE and line[-1] != "\n":
            raise BadInput(path, f"line {number}", f"more than {LONGEST_LINE} characters", "a row of a table")
        yield number, line.rstrip("\n")


def fields(line: str, delimiter: str) -> list[str]:
    """The fields of a line. Quoted fields never span lines, so that a malformed quote affects only its row."""
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return []
