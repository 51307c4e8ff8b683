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
"""Maximum bytes of a block, and of the header before the first."""

_BEGIN = re.compile(rb"BEGIN IONS[ \t]*(?=[\r\n])")
_LABEL = re.compile(rb"[\r\n][ \t]*(?:SEQ|seq)=([^\r\n]*)")
_COMMENTS = "#;!/"
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+")
_SCAN_IN_TITLE = re.compile(r"\bscan=(\d+)|\.(\d+)\.\2\.\d*(?:\s|$)")


def mgf_spectra(file: BufferedReader, path: str) -> Iterator[Spectrum]:
    """Read every block of the file as a spectrum, in order.

    Raises:
        BadInput: there is no block, a block is too large, or the file ends within one.
    """
    blocks = _blocks(file, path)
    before, ended = next(blocks)
    if ended:
        raise BadInput(path, "spectra", "no BEGIN IONS", KNOWN)
    header = _parameters(_lines(before))
    for index, (block, ended) in enumerate(blocks):
        spectrum = _spectrum(index, block, header)
        if spectrum is None and ended:
            advice = "fetch or write the file again"
            raise BadInput(path, f"spectrum {index}", "the end of the file", "END IONS", advice)
        yield spectrum or _malformed(index, "no END IONS", block)


def mgf_labels(file: BufferedReader, path: str) -> Iterator[Peptide | None]:
    """The label of each block, as in `mgf_spectra`, without parsing the peaks."""
    blocks = _blocks(file, path)
    next(blocks)
    return (_label(block) for block, _ in blocks)


def _blocks(file: BufferedReader, path: str) -> Iterator[tuple[bytes, bool]]:
    """Split the file at BEGIN IONS: the header, then each block, with whether it ends at the end of the file."""
    rest, count = file.read1(CHUNK).removeprefix(b"\xef\xbb\xbf"), 0
    while True:
        start = 0
        for match in _BEGIN.finditer(rest):
            if rest[max(match.start() - 8, 0) : match.start()].rstrip(b" \t")[-1:] in (b"", b"\n", b"\r"):
                yield rest[start : match.start()], False
                start, count = match.end(), count + 1
        rest = rest[start:]
        if len(rest) > LARGEST:
            field = f"spectrum {count - 1}" if count else "spectra"
            raise BadInput(path, field, f"{LARGEST >> 20} MiB without another BEGIN IONS", KNOWN)
        chunk = file.read1(CHUNK)
        if not chunk:
            yield rest, True
            return
        rest += chunk


def _spectrum(index: int, block: bytes, header: dict[str, str]) -> Spectrum | None:
    """The spectrum of a block, or None if it has no END IONS."""
    lines = _lines(block)
    if "END IONS" not in lines:
        return None
    lines = lines[: lines.index("END IONS")]
    params = header | _parameters(lines)
    try:
        mz, intensity = _peaks([line for line in lines if line and "=" not in line and line[0] not in _COMMENTS])
        precursor, charges = _precursor(params)
    except (PyteomicsError, ValueError, IndexError) as error:
        return _malformed(index, " ".join(str(error).split())[:100], block)
    scan, title = _names(params)
    return checked_spectrum(
        index,
        scan=scan,
        title=title,
        precursor_mz=precursor,
        charges=charges,
        retention_time=_seconds(params.get("rtinseconds", "")),
        mz=mz,
        intensity=intensity,
        label=_label(block),
    )


def _malformed(index: int, reason: str, block: bytes) -> Spectrum:
    scan, title = _names(_parameters(_lines(block)))
    return checked_spectrum(index, scan=scan, title=title, label=_label(block), problem=f"malformed: {reason}")


def _parameters(lines: list[str]) -> dict[str, str]:
    """The KEY=VALUE lines by lower-case key; those of the header apply to all blocks."""
    pairs = [line.split("=", 1) for line in lines if "=" in line and line[0] not in _COMMENTS]
    return {key.lower(): value.strip() for key, value in pairs}


def _peaks(lines: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """m/z and intensity, the first two columns; some converters add a column of charges."""
    table = np.loadtxt(lines, usecols=(0, 1), ndmin=2, comments=None) if lines else np.empty((0, 2))
    return table[:, 0], table[:, 1]


def _precursor(params: dict[str, str]) -> tuple[float, list[int]]:
    """The precursor m/z, NaN for none, and its possible charges; a charge in PEPMASS takes precedence."""
    (mz, _), charge = (
        mgf.MGF.parse_pepmass_charge(params["pepmass"]) if params.get("pepmass") else ((math.nan, None), None)
    )
    text = charge or params.get("charge", "")
    return mz, [int(value) for value in mgf.MGF.parse_precursor_charge(text, list_only=True)] if text else []


def _seconds(text: str) -> float:
    """The retention time; for a range its beginning."""
    match = _NUMBER.match(text)
    return float(match[0]) if match else math.nan


def _names(params: dict[str, str]) -> tuple[str, str]:
    """Scan number and title; without SCANS, the scan number that converters write into the title."""
    title = params.get("title", "")
    match = _SCAN_IN_TITLE.search(title)
    return params.get("scans") or ((match[1] or match[2]) if match else ""), title


def _lines(content: bytes) -> list[str]:
    return [line.strip() for line in content.decode("utf-8", "replace").replace("\r", "\n").split("\n")]


def _label(block: bytes) -> Peptide | None:
    match = _LABEL.search(block)
    if not match:
        return None
    from transect.data_adapters.peptide.proforma import parse_peptide

    try:
        return parse_peptide(match[1].decode("utf-8", "replace").strip())
    except ValueError:
        return None
