"""Detect the format of a spectra file from its content, and read its bytes, decompressed and with size limits."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedReader
from typing import cast

from transect.data_adapters.base import BadInput, reason

HEAD = 1 << 14
"""Bytes at the beginning of a file that tell its format."""

LONGEST = 1 << 26
"""Bytes between the ends of two spectra of an XML file, beyond which it is taken for an attack on memory."""

KNOWN = "MGF, mzML or mzXML, also compressed by gzip"

ROOTS = {b"<mzML": "mzml", b"<indexedmzML": "mzml", b"<mzXML": "mzxml", b"<msRun": "mzxml"}
"""How the first element of each XML format begins."""


class Bounded:
    """A binary file for a parser that keeps what it reads: it ends in `BadInput` where no spectrum ends for too long.

    Args:
        file: The file to read.
        path: Its name, for the message.
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
        """Tell that a spectrum has ended."""
        self.left = LONGEST


@contextmanager
def opened(path: str) -> Iterator[BufferedReader]:
    """The file's bytes, decompressed where it is gzip, whatever its name.

    Raises:
        BadInput: it cannot be read, or, while it is read, its compressed data is damaged or cut off.
    """
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with gzip.open(file) if compressed else nullcontext(file) as content:
                yield cast(BufferedReader, content)  # GzipFile has all that it has
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(path, "gzip", str(error).lower(), "a whole file", "fetch or write it again") from error
    except OSError as error:
        raise BadInput(path, "file", reason(error).lower(), "a file that can be read") from error


def format_of(path: str) -> str:
    """The format of a file of spectra, "mgf", "mzml" or "mzxml", told from its content.

    Raises:
        BadInput: it cannot be read, is empty, or is XML of another kind.
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
