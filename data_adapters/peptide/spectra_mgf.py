"""Spectra of MGF files (Mascot Generic Format): the file is cut into its blocks, and pyteomics reads each of them.

pyteomics ends a file at the first block that it cannot read; here the damage stays within its block.
"""

import io
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from pyteomics import mgf
from pyteomics.auxiliary import PyteomicsError

from data_adapters.base import BadInput
from data_adapters.peptide.peptide import Peptide
from data_adapters.peptide.spectra_checks import checked_spectrum
from data_adapters.peptide.spectra_files import KNOWN
from data_adapters.peptide.spectrum import Spectrum

CHUNK = 1 << 20
LARGEST = 1 << 24
"""Bytes that one block, or what stands before the first, may have."""

_BEGIN = re.compile(rb"BEGIN IONS[ \t]*(?=[\r\n])")
_LABEL = re.compile(rb"[\r\n][ \t]*(?:SEQ|seq)=([^\r\n]*)")
_PARAMETER = re.compile(r"^[ \t]*([A-Za-z]+)=(.*?)[ \t\r]*$", re.MULTILINE)
_TIMES = re.compile(r"^(RTINSECONDS=[0-9.]+)[-, ].*$", re.MULTILINE)
_SCAN_IN_TITLE = re.compile(r"\bscan=(\d+)|\.(\d+)\.\2\.\d*(?:\s|$)")


def mgf_spectra(file: BinaryIO, path: str) -> Iterator[Spectrum]:
    """Every block of the file as a spectrum, in order.

    Raises:
        BadInput: there is no block, one is larger than any spectrum, or the file ends within one.
    """
    pieces = _pieces(file, path)
    before, ended = next(pieces)
    if ended:
        raise BadInput(path, "spectra", "no BEGIN IONS", KNOWN)
    header = _header(before)
    for index, (block, ended) in enumerate(pieces):
        spectrum = _spectrum(index, block, header)
        if spectrum is None and ended:
            advice = "fetch or write the file again"
            raise BadInput(path, f"spectrum {index}", "the end of the file", "END IONS", advice)
        yield spectrum or _malformed(index, "no END IONS", block)


def mgf_labels(file: BinaryIO, path: str) -> Iterator[Peptide | None]:
    """The label of each block, as `mgf_spectra` reads it, without reading its peaks."""
    pieces = _pieces(file, path)
    next(pieces)
    return (_label(block) for block, _ in pieces)


def _pieces(file: BinaryIO, path: str) -> Iterator[tuple[bytes, bool]]:
    """What stands before the first BEGIN IONS, then what follows each up to the next, and whether the file ends it."""
    rest, found = file.read(CHUNK).removeprefix(b"\xef\xbb\xbf"), 0
    while True:
        start = 0
        for match in _BEGIN.finditer(rest):
            if rest[max(match.start() - 8, 0) : match.start()].rstrip(b" \t")[-1:] in (b"", b"\n", b"\r"):
                yield rest[start : match.start()], False
                start, found = match.end(), found + 1
        rest = rest[start:]
        if len(rest) > LARGEST:
            where = f"spectrum {found - 1}" if found else "spectra"
            raise BadInput(path, where, f"{LARGEST >> 20} MiB without another BEGIN IONS", KNOWN)
        chunk = file.read(CHUNK)
        if not chunk:
            yield rest, True
            return
        rest += chunk


def _header(text: bytes) -> dict[str, Any]:
    """Parameters that hold for every block without its own, such as the charge."""
    try:
        return dict(mgf.MGF(_text(text + b"\nBEGIN IONS\n")).header)
    except (PyteomicsError, ValueError):
        return {}


def _spectrum(index: int, block: bytes, header: dict[str, Any]) -> Spectrum | None:
    """The spectrum of a block, None where the block does not end."""
    try:
        read = _read(_text(b"BEGIN IONS" + block))
    except (PyteomicsError, ValueError, IndexError) as error:
        return _malformed(index, _reason(error), block)
    if read is None:
        return None
    said = header | read["params"]
    title = said.get("title", "")
    return checked_spectrum(
        index,
        scan=said.get("scans") or _scan_in(title),
        title=title,
        precursor_mz=said.get("pepmass", (math.nan,))[0],
        charges=[int(charge) for charge in said.get("charge", ())],
        retention_time=float(said.get("rtinseconds", math.nan)),
        mz=read["m/z array"],
        intensity=read["intensity array"],
        label=_label(block),
    )


def _read(text: io.StringIO) -> dict[str, Any] | None:
    try:
        return _parsed(text)
    except ValueError:
        # A range of times, which the format allows, is read as its beginning.
        return _parsed(io.StringIO(_TIMES.sub(r"\1", text.getvalue())))


def _parsed(text: io.StringIO) -> dict[str, Any] | None:
    reader = mgf.MGF(text, use_header=False, convert_arrays=1, read_charges=False, dtype=np.float64)
    found: dict[str, Any] | None = next(reader, None)
    return found


def _malformed(index: int, reason: str, block: bytes) -> Spectrum:
    said = {key.lower(): value for key, value in _PARAMETER.findall(_text(block).getvalue())}
    title = said.get("title", "")
    scan = said.get("scans") or _scan_in(title)
    return checked_spectrum(index, scan=scan, title=title, label=_label(block), problem=f"malformed: {reason}")


def _text(content: bytes) -> io.StringIO:
    return io.StringIO(content.decode("utf-8", "replace"), newline=None)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def _scan_in(title: str) -> str:
    """The scan number that a title gives, as ThermoRawFileParser or the TPP's converters write it."""
    found = _SCAN_IN_TITLE.search(title)
    return (found[1] or found[2]) if found else ""


def _label(block: bytes) -> Peptide | None:
    found = _LABEL.search(block)
    if not found:
        return None
    from data_adapters.peptide.proforma import parse_peptide

    try:
        return parse_peptide(found[1].decode("utf-8", "replace").strip())
    except ValueError:
        return None
