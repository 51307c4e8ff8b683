"""Detect the format of a spectra file from its content, and read its bytes, decompressed and with size limits."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from typing import cast

from transect.data_adapters.base import BadInput, reason

HEAD = 1 << 14
"""Bytes at the beginning of a file that are used to detect its format."""

LONGEST = 1 << 26
"""Maximum bytes between the ends of two spectra of an XML file, a limit on the parser's memory."""

KNOWN = "MGF, mzML or mzXML, also compressed by gzip"

ROOTS = {b"<mzML": "mzml", b"<indexedmzML": "mzml", b"<mzXML": "mzxml", b"<msRun": "mzxml"}
"""Beginning of the root element of each XML format."""


class Bounded:
    """A binary file that raises `BadInput` after `LONGEST` bytes without `renew`, to bound a parser's memory.

    Args:
        file: The file to read.
        path: Its path, for the message.
    """

    def __init__(self, file: BufferedReader, path: str) -> None:
        self.file, self.path, self.left = file, path, LONGEST

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end."""
        content = self.file.read1(min(size, HEAD) if size > 0 else HEAD)
        self.left -= len(content)
        if self.left < 0:
            raise BadInput(self.path, "spectra", f"{LONGEST >> 20} MiB in which none ends", KNOWN)
        return content

    def renew(self) -> None:
        """Reset the limit at the end of a spectrum."""
        self.left = LONGEST


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """Open a file as bytes, decompressing gzip by content, not by name.

    Raises:
        BadInput: it cannot be read, or, while reading, its compressed data is damaged or truncated.
    """
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if compressed else nullcontext(file) as content:
                yield cast(BufferedReader, content)  # GzipFile has the same methods
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(path, "gzip", str(error).lower(), "a whole file", "fetch or write it again") from error
    except OSError as error:
        raise BadInput(path, "file", reason(error).lower(), "a file that can be read") from error


def format_of(path: str) -> str:
    """Detect the format of a spectra file from its content: "mgf", "mzml" or "mzxml".

    Raises:
        BadInput: it cannot be read, is empty, or is XML of another format.
    """
    with opened(path) as file:
        head = file.read1(HEAD)
    if not head.strip():
        raise BadInput(path, "content", "nothing", KNOWN)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"<"):
        return "mgf"
    first = [(text.find(root), name) for root, name in ROOTS.items() if root in text]
    if not first:
        raise BadInput(path, "format", f"XML that begins with {text[:40].decode('latin-1')!r}", KNOWN)
    return min(first)[1]
