"""The headers of the images that a new DICOM object refers to, made fit for libraries that take them literally."""

from pathlib import Path

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, read_headers, reason, text
from transect.data_adapters.volume.volume import Volume

REQUIRED_BUT_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
"""Elements that must be there, and may be empty (type 2); many exports lack them."""

IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""What images of a volume share; where they lack one, it is derived from the first image."""

TEXTS = ("SH", "LO", "ST", "LT", "UT", "UC", "PN")
"""Representations that a character set applies to."""


def source_headers(volume: Volume) -> list[Dataset]:
    r"""One header for each image file of a volume, in the order of its slices; an enhanced file comes once.

    Missing elements that may be empty and missing identifiers are added, dates that are none are emptied, private
    elements are dropped, and texts are decoded and declared as UTF-8 (ISO_IR 192): libraries refuse legal character
    sets such as `\ISO 2022 IR 87`.

    Raises:
        BadInput: the volume was not read from DICOM, or a file has gone.
    """
    if not volume.slices:
        raise BadInput(volume.name, "format", "no DICOM images", "a volume that was read from DICOM")
    paths = dict.fromkeys(image.path for image in volume.slices)
    first = volume.slices[0]
    identifiers = {name: first.text(name) or generate_uid(entropy_srcs=[first.uid, name]) for name in IDENTIFIERS}
    return [_header(path, identifiers) for path in paths]


def series_number(header: Dataset) -> int:
    """The number of a new series that is derived from that of an image."""
    number = text(header, "SeriesNumber")
    return (int(number) if number.isdigit() else 0) * 100 + 1 if len(number) < 7 else 1


def _header(path: Path, identifiers: dict[str, str]) -> Dataset:
    header = read_headers(path, whole=True)
    try:
        with quiet():
            header.remove_private_tags()
            header.decode()
            for element in header:
                if element.VR in TEXTS and element.value is not None:
                    element.value = _text(element.value)
            header.SpecificCharacterSet = "ISO_IR 192"
            for name in REQUIRED_BUT_EMPTY:
                if name not in header or not _valid(header[name].VR, header[name].value):
                    setattr(header, name, "")
            if header.PatientSex not in ("M", "F", "O"):
                header.PatientSex = ""
            for name, value in identifiers.items():
                setattr(header, name, value)
            if "PositionReferenceIndicator" not in header:
                header.PositionReferenceIndicator = ""
    except FAILURES as error:
        raise BadInput(path, "header", reason(error), "a DICOM header whose texts can be read") from error
    return header


def _valid(representation: str, value: object) -> bool:
    """Whether a date or a time is one; anonymized headers have others, such as "REMOVED"."""
    try:
        if representation in ("DA", "TM"):
            (DA if representation == "DA" else TM)(value or None)
    except FAILURES:
        return False
    return True


def _text(value: object) -> str | list[str]:
    return [str(part) for part in value] if isinstance(value, MultiValue) else str(value)
