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
    elements,
    number,
    unpacked,
    usable_peaks,
    whole,
)
from transect.data_adapters.peptide.spectrum import NO_PEAKS, Spectrum, checked_spectrum

_DURATION = re.compile(r"P(?:[\d.]+[YMD])*T(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?")


@dataclass
class _Open:
    """A scan that has begun."""

    element: Element
    index: int
    read: bool = False


def mzxml_spectra(file: BufferedReader, path: str) -> Iterator[Spectrum]:
    """The spectra above MS1, in the order in which they begin; those of all levels count in their index.

    Raises:
        BadInput: the file is cut off, is no XML, or holds no run.
    """
    within: list[_Open] = []
    index, runs = 0, 0
    for event, element in elements(file, path, "msRun", "scan", "offset"):
        name = element.tag.rpartition("}")[2]
        runs += name == "msRun"
        if name != "scan":
            continue
        # What is a scan's own stands before the scans within it.
        if within and not within[-1].read:
            within[-1].read = True
            if spectrum := _spectrum(within[-1]):
                yield spectrum
        if event == "start":
            within.append(_Open(element, index))
            index += 1
        else:
            within.pop()
    if not runs:
        raise BadInput(path, "spectra", "no msRun", "a run of scans")


def _spectrum(scan: _Open) -> Spectrum | None:
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
    told = precursor.get("precursorCharge") or precursor.get("possibleCharges") or ""
    return [whole(text) for text in told.split(",") if text.strip()]


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        return math.nan
    hours, minutes, seconds = (number(part or "0") for part in found.groups())
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
    pairs = unpacked(packed.text, dtype, packed.get("compressionType") or "none", 2 * count)
    return pairs[::2], pairs[1::2]
