"""Read spectra from MGF files (Mascot Generic Format).

The blocks are split here because pyteomics stops at the first malformed block, buffers lines of any length, and parses
peaks more slowly than numpy. Charges and precursors are parsed by pyteomics.
"""

import math
import re
from collections.abc import Iterator
from io import BufferedReader

import numpy as np
from numpy.typing import NDArray
from pyteomics import mgf
from pyteomics.auxiliary import PyteomicsError

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectra.source import KNOWN
from transect.data_adapters.peptide.spectrum import Spectrum, checked_spectrum

CHUNK = 1 << 20
LARGEST = 1 << 24
"""Bytes that one block, or what stands before the first, may have."""

_BEGIN = re.compile(rb"BEGIN IONS[ \t]*(?=[\r\n])")
_LABEL = re.compile(rb"[\r\n][ \t]*(?:SEQ|seq)=([^\r\n]*)")
_COMMENTS = "#;!/"
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")
_SCAN_IN_TITLE = re.compile(r"\bscan=(\d+)|\.(\d+)\.\2\.\d*(?:\s|$)")


def mgf_spectra(file: BufferedReader, path: str) -> Iterator[Spectrum]:
    """Every block of the file as a spectrum, in order.

    Raises:
        BadInput: there is no block, one is larger than any spectrum, or the file ends within one.
    """
    pieces = _pieces(file, path)
    before, ended = next(pieces)
    if ended:
        raise BadInput(path, "spectra", "no BEGIN IONS", KNOWN)
    header = _parameters(_lines(before))
    for index, (block, ended) in enumerate(pieces):
        spectrum = _spectrum(index, block, header)
        if spectrum is None and ended:
            advice = "fetch or write the file again"
            raise BadInput(path, f"spectrum {index}", "the end of the file", "END IONS", advice)
        yield spectrum or _malformed(index, "no END IONS", block)


def mgf_labels(file: BufferedReader, path: str) -> Iterator[Peptide | None]:
    """The label of each block, as `mgf_spectra` reads it, without reading its peaks."""
    pieces = _pieces(file, path)
    next(pieces)
    return (_label(block) for block, _ in pieces)


def _pieces(file: BufferedReader, path: str) -> Iterator[tuple[bytes, bool]]:
    """What stands before the first BEGIN IONS, then what follows each up to the next, and whether the file ends it."""
    rest, found = file.read1(CHUNK).removeprefix(b"\xef\xbb\xbf"), 0
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
        chunk = file.read1(CHUNK)
        if not chunk:
            yield rest, True
            return
        rest += chunk


def _spectrum(index: int, block: bytes, header: dict[str, str]) -> Spectrum | None:
    """The spectrum of a block, None where the block does not end."""
    lines = _lines(block)
    if "END IONS" not in lines:
        return None
    lines = lines[: lines.index("END IONS")]
    said = header | _parameters(lines)
    try:
        mz, intensity = _peaks([line for line in lines if line and "=" not in line and line[0] not in _COMMENTS])
        precursor, charges = _precursor(said)
    except (PyteomicsError, ValueError, IndexError) as error:
        return _malformed(index, " ".join(str(error).split())[:100], block)
    scan, title = _names(said)
    return checked_spectrum(
        index,
        scan=scan,
        title=title,
        precursor_mz=precursor,
        charges=charges,
        retention_time=_seconds(said.get("rtinseconds", "")),
        mz=mz,
        intensity=intensity,
        label=_label(block),
    )


def _malformed(index: int, reason: str, block: bytes) -> Spectrum:
    scan, title = _names(_parameters(_lines(block)))
    return checked_spectrum(index, scan=scan, title=title, label=_label(block), problem=f"malformed: {reason}")


def _parameters(lines: list[str]) -> dict[str, str]:
    """What the lines KEY=VALUE say, by key in lower case; before the first block it holds for all."""
    pairs = [line.split("=", 1) for line in lines if "=" in line and line[0] not in _COMMENTS]
    return {key.lower(): value.strip() for key, value in pairs}


def _peaks(lines: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first two columns, m/z and intensity; some converters add that of the charges."""
    table = np.loadtxt(lines, usecols=(0, 1), ndmin=2, comments=None) if lines else np.empty((0, 2))
    return table[:, 0], table[:, 1]


def _precursor(said: dict[str, str]) -> tuple[float, list[int]]:
    """The precursor's m/z, NaN for none, and its possible charges; that behind PEPMASS comes first."""
    (mz, _), charge = mgf.MGF.parse_pepmass_charge(said["pepmass"]) if said.get("pepmass") else ((math.nan, None), None)
    text = charge or said.get("charge", "")
    return mz, [int(one) for one in mgf.MGF.parse_precursor_charge(text, list_only=True)] if text else []


def _seconds(text: str) -> float:
    """The retention time, the beginning of it where a range is given."""
    found = _NUMBER.match(text)
    return float(found[0]) if found else math.nan


def _names(said: dict[str, str]) -> tuple[str, str]:
    """Scan number and title; where there is no scan, that which converters write into the title."""
    title = said.get("title", "")
    found = _SCAN_IN_TITLE.search(title)
    return said.get("scans") or ((found[1] or found[2]) if found else ""), title


def _lines(content: bytes) -> list[str]:
    return [line.strip() for line in content.decode("utf-8", "replace").replace("\r", "\n").split("\n")]


def _label(block: bytes) -> Peptide | None:
    found = _LABEL.search(block)
    if not found:
        return None
    from transect.data_adapters.peptide.proforma import parse_peptide

    try:
        return parse_peptide(found[1].decode("utf-8", "replace").strip())
    except ValueError:
        return None
