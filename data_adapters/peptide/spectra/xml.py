"""Stream elements and decode binary arrays of untrusted mzML and mzXML files.

Elements come straight from lxml because pyteomics' readers expand entities, decompress arrays without a bound and do
not count the spectra that they cannot read.
"""

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import Any

import numpy as np
from lxml import etree
from numpy.typing import DTypeLike, NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.source import KNOWN, Bounded
from transect.data_adapters.peptide.spectrum import NO_PEAKS

MOST_PEAKS = 1 << 21
"""Maximum number of peaks of a spectrum."""

Element = Any
Peaks = tuple[NDArray[Any], NDArray[Any]]


class Unreadable(ValueError):
    """A spectrum cannot be decoded, although its file can be read."""


def elements(file: BufferedReader, path: str, *names: str) -> Iterator[tuple[str, Element]]:
    """Stream the elements of the given names as ("start", element) and ("end", element), cleared after their end.

    Raises:
        BadInput: the file is truncated or not XML, has a document type, or has too many bytes without such an element.
    """
    bounded = Bounded(file, path)
    events = etree.iterparse(
        bounded,
        events=("start", "end"),
        tag=[f"{{*}}{name}" for name in names],
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    checked = False
    try:
        for event, element in events:
            if not checked and element.getroottree().docinfo.doctype:
                raise BadInput(path, "XML", "a document type", "none", f"expected is {KNOWN}")
            checked = True
            yield event, element
            if event == "end":
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
                bounded.renew()
    except etree.XMLSyntaxError as error:
        advice = "fetch or write the file again"
        raise BadInput(path, "XML", " ".join(str(error).split())[:200], "a whole document", advice) from error
    # Read to the end, where gzip verifies its checksum.
    while file.read(1 << 16):
        pass


def usable_peaks(level: int, precursors: int, read: Callable[[], Peaks]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Decode the peaks of a spectrum if it is usable.

    Args:
        level: MS level.
        precursors: Number of precursors.
        read: Decodes the peaks; only called for MS2 spectra with at most one precursor.

    Returns:
        m/z, intensity, and the reason why the spectrum is unusable, or "".
    """
    if level > 2 or precursors > 1:
        return NO_PEAKS, NO_PEAKS, f"MS{level} spectrum" if level > 2 else f"{precursors} precursors"
    try:
        return *read(), ""
    except Unreadable as error:
        return NO_PEAKS, NO_PEAKS, str(error)


def decoded_array(text: str | None, dtype: DTypeLike, compression: str, count: int) -> NDArray[Any]:
    """Decode a base64 array of `count` numbers, decompressing no more bytes than they take.

    Args:
        text: The base64 text.
        dtype: Type of the numbers.
        compression: "none" or "zlib"; others are not supported.
        count: Number of numbers.

    Raises:
        Unreadable: the text is damaged, has another number of numbers, or uses another compression.
    """
    size = count * np.dtype(dtype).itemsize
    if not 0 <= count <= MOST_PEAKS:
        raise Unreadable(f"{count} peaks")
    if compression not in ("none", "zlib"):
        raise Unreadable(f"peaks packed as {compression}")
    try:
        content = base64.b64decode("".join((text or "").split()), validate=True)
        if compression == "zlib" and content:
            content = zlib.decompressobj().decompress(content, size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise Unreadable(f"peaks that cannot be unpacked: {error}") from error
    if len(content) != size:
        raise Unreadable(f"{len(content)} bytes of peaks where {count} peaks have {size}")
    return np.frombuffer(bytearray(content), dtype)


def number(text: str | None) -> float:
    """Parse a number; NaN if it is invalid."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def whole(text: str | None, otherwise: int = 0) -> int:
    """Parse an integer; `otherwise` if it is invalid."""
    value = number(text)
    return int(value) if math.isfinite(value) else otherwise
