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
"""Peaks of a spectrum that are unpacked."""

Element = Any
Peaks = tuple[NDArray[Any], NDArray[Any]]


class Unreadable(ValueError):
    """Why a spectrum cannot be read though its file can."""


def elements(file: BufferedReader, path: str, *names: str) -> Iterator[tuple[str, Element]]:
    """The elements of these names as ("start", element) and ("end", element), each cleared after its end.

    Raises:
        BadInput: the file is cut off or no XML, declares entities, or goes on for too long without such an element.
    """
    bounded = Bounded(file, path)
    found = etree.iterparse(
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
    trusted = False
    try:
        for event, element in found:
            if not trusted and element.getroottree().docinfo.doctype:
                raise BadInput(path, "XML", "a document type", "none", f"expected is {KNOWN}")
            trusted = True
            yield event, element
            if event == "end":
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
                bounded.renew()
    except etree.XMLSyntaxError as error:
        advice = "fetch or write the file again"
        raise BadInput(path, "XML", " ".join(str(error).split())[:200], "a whole document", advice) from error
    # The checksum of a compressed file stands at its end, behind what was asked for.
    while file.read(1 << 16):
        pass


def usable_peaks(level: int, precursors: int, read: Callable[[], Peaks]) -> tuple[NDArray[Any], NDArray[Any], str]:
    """m/z and intensity of a spectrum of this MS level, and why it cannot be used, or "".

    `read` unpacks them; it is called for MS2 spectra of at most one precursor alone.
    """
    if level > 2 or precursors > 1:
        return NO_PEAKS, NO_PEAKS, f"MS{level} spectrum" if level > 2 else f"{precursors} precursors"
    try:
        return *read(), ""
    except Unreadable as error:
        return NO_PEAKS, NO_PEAKS, str(error)


def unpacked(text: str | None, dtype: DTypeLike, compression: str, count: int) -> NDArray[Any]:
    """The `count` numbers that `text` holds in base64, `compression` being "none" or "zlib".

    Raises:
        Unreadable: it holds others, or too many.
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
    """The number that `text` is, NaN where it is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def whole(text: str | None, otherwise: int = 0) -> int:
    """The whole number that `text` is, else `otherwise`."""
    value = number(text)
    return int(value) if math.isfinite(value) else otherwise
