"""Read spectra from mzML files by PSI-MS accessions; `xml` says why pyteomics' reader is not used."""

import re
from collections.abc import Iterator
from io import BufferedReader

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.peptide.spectra.xml import (
    Element,
    Peaks,
    decoded_array,
    elements,
    number,
    usable_peaks,
    whole,
)
from transect.data_adapters.peptide.spectrum import NO_PEAKS, Spectrum, checked_spectrum

LEVEL, TITLE, START_TIME, MINUTE = "MS:1000511", "MS:1000796", "MS:1000016", "UO:0000031"
SELECTED_MZ, CHARGE, POSSIBLE_CHARGE = "MS:1000744", "MS:1000041", "MS:1000633"
MZ_ARRAY, INTENSITY_ARRAY = "MS:1000514", "MS:1000515"
DTYPES = {"MS:1000521": "<f4", "MS:1000523": "<f8", "MS:1000519": "<i4", "MS:1000522": "<i8"}
COMPRESSIONS = {
    "MS:1000576": "none",
    "MS:1000574": "zlib",
    **dict.fromkeys(("MS:1002312", "MS:1002313", "MS:1002314"), "MS-Numpress"),
    **dict.fromkeys(("MS:1002746", "MS:1002747", "MS:1002748"), "MS-Numpress and zlib"),
}

Params = dict[str, list[Element]]
"""The cvParams of an element by accession, including those of referenced param groups."""

_SCAN = re.compile(r"(?:^|\s)scan(?:Id)?=(\d+)")


def mzml_spectra(file: BufferedReader, path: str) -> Iterator[Spectrum]:
    """Read the spectra above MS1, in the order of the file; `index` counts the spectra of all levels.

    Raises:
        BadInput: the file is truncated, not XML, or has no spectrumList.
    """
    groups: dict[str, Params] = {}
    index, listed = 0, False
    names = ("referenceableParamGroupList", "spectrumList", "spectrum", "chromatogram", "offset")
    for event, element in elements(file, path, *names):
        name = element.tag.rpartition("}")[2]
        listed = listed or name == "spectrumList"
        if event == "end" and name == "referenceableParamGroupList":
            groups = {group.get("id", ""): _copied(_params(group, {})) for group in element}
        elif event == "end" and name == "spectrum":
            spectrum = _spectrum(index, element, groups)
            if spectrum:
                yield spectrum
            index += 1
    if not listed:
        raise BadInput(path, "spectra", "no spectrumList", "a list of spectra")


def _spectrum(index: int, element: Element, groups: dict[str, Params]) -> Spectrum | None:
    params = _params(element, groups)
    precursors = element.findall("{*}precursorList/{*}precursor")
    level = whole(_value(params, LEVEL), 2 if precursors else 1)
    if level < 2:
        return None
    native = element.get("id", "")
    scan = _SCAN.search(native)
    ions = [_params(ion, groups) for ion in element.iterfind("{*}precursorList//{*}selectedIon")]
    mz, intensity, problem = usable_peaks(level, len(ions), lambda: _peaks(element, groups))
    return checked_spectrum(
        index,
        scan=scan[1] if scan else "",
        title=_value(params, TITLE) or native,
        precursor_mz=number(_value(ions[0], SELECTED_MZ)) if ions else np.nan,
        charges=_charges(ions[0]) if ions else (),
        retention_time=_seconds(element, groups),
        mz=mz,
        intensity=intensity,
        problem=problem,
    )


def _params(element: Element, groups: dict[str, Params]) -> Params:
    found: Params = {}
    for reference in element.iterfind("{*}referenceableParamGroupRef"):
        found |= groups.get(reference.get("ref", ""), {})
    for param in element.iterfind("{*}cvParam"):
        found[param.get("accession", "")] = [*found.get(param.get("accession", ""), ()), param]
    return found


def _copied(params: Params) -> Params:
    """A copy of params that remains valid after their parent element is cleared."""
    return {accession: [dict(param.attrib) for param in found] for accession, found in params.items()}


def _value(params: Params, accession: str) -> str:
    return str(params[accession][0].get("value", "")) if accession in params else ""


def _charges(ion: Params) -> list[int]:
    """The determined charge, or else the possible ones."""
    params = ion.get(CHARGE) or ion.get(POSSIBLE_CHARGE) or []
    return [whole(param.get("value")) for param in params]


def _seconds(element: Element, groups: dict[str, Params]) -> float:
    scan = element.find("{*}scanList/{*}scan")
    start = _params(scan, groups).get(START_TIME) if scan is not None else None
    if not start:
        return np.nan
    return number(start[0].get("value")) * (60 if start[0].get("unitAccession") == MINUTE else 1)


def _peaks(element: Element, groups: dict[str, Params]) -> Peaks:
    arrays = {MZ_ARRAY: NO_PEAKS, INTENSITY_ARRAY: NO_PEAKS}
    count = whole(element.get("defaultArrayLength"))
    for array in element.iterfind("{*}binaryDataArrayList/{*}binaryDataArray"):
        params = _params(array, groups)
        kind = next((kind for kind in arrays if kind in params), None)
        if kind:
            dtype = next((DTYPES[term] for term in params if term in DTYPES), "<f8")
            compression = next((COMPRESSIONS[term] for term in params if term in COMPRESSIONS), "none")
            length = whole(array.get("arrayLength"), count)
            arrays[kind] = decoded_array(array.findtext("{*}binary"), dtype, compression, length)
    return arrays[MZ_ARRAY], arrays[INTENSITY_ARRAY]
