"""Read spectra from mzXML files, whose scans may be nested; `xml` says why pyteomics' reader is not used."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.xml import (
    Element,
    Peaks,
    Unreadable,
    decoded_array,
    elements,
    number,
    usable_peaks,
    whole,
)
from transect.data_adapters.peptide.spectrum import NO_PEAKS, Spectrum, checked_spectrum

_DURATION = re.compile(r"P(?:[\d.]+[YMD])*T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?")


@dataclass
class _OpenScan:
    """A scan element that has started but not ended."""

    element: Element
    index: int
    read: bool = False


def mzxml_spectra(file: BufferedReader, path: str) -> Iterator[Spectrum]:
    """Read the spectra above MS1, in the order of their start tags; `index` counts the spectra of all levels.

    Raises:
        BadInput: the file is truncated, not XML, or has no msRun.
    """
    open_scans: list[_OpenScan] = []
    index, runs = 0, 0
    for event, element in elements(file, path, "msRun", "scan", "offset"):
        name = element.tag.rpartition("}")[2]
        runs += name == "msRun"
        if name != "scan":
            continue
        # A scan's own elements precede its nested scans.
        if open_scans and not open_scans[-1].read:
            open_scans[-1].read = True
            if spectrum := _spectrum(open_scans[-1]):
                yield spectrum
        if event == "start":
            open_scans.append(_OpenScan(element, index))
            index += 1
        else:
            open_scans.pop()
    if not runs:
        raise BadInput(path, "spectra", "no msRun", "a run of scans")


def _spectrum(scan: _OpenScan) -> Spectrum | None:
    element = scan.element
    precursors = element.findall("{*}precursorMz")
    level = whole(element.get("msLevel"), 2 if precursors else 1)
    if level < 2:
        return None
    mz, intensity, problem = usable_peaks(level, len(precursors), lambda: _peaks(element))
    return checked_spectrum(
        scan.index,
        scan=element.get("num", ""),
        precursor_mz=number(precursors[0].text) if precursors else math.nan,
        charges=_charges(precursors[0]) if precursors else (),
        retention_time=_seconds(element.get("retentionTime", "")),
        mz=mz,
        intensity=intensity,
        problem=problem,
    )


def _charges(precursor: Element) -> list[int]:
    charges = precursor.get("precursorCharge") or precursor.get("possibleCharges") or ""
    return [whole(text) for text in charges.split(",") if text.strip()]


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        return math.nan
    hours, minutes, seconds = (number(part or "0") for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _peaks(element: Element) -> Peaks:
    packed = element.find("{*}peaks")
    if packed is None:
        return NO_PEAKS, NO_PEAKS
    content = packed.get("contentType") or packed.get("pairOrder") or "m/z-int"
    if content != "m/z-int" or packed.get("byteOrder", "network") != "network":
        raise Unreadable(f"peaks of {content} in byte order {packed.get('byteOrder')}")
    dtype = ">f8" if packed.get("precision") == "64" else ">f4"
    count = whole(element.get("peaksCount"))
    pairs = decoded_array(packed.text, dtype, packed.get("compressionType") or "none", 2 * count)
    return pairs[::2], pairs[1::2]
