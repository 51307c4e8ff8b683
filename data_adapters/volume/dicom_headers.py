"""Headers of DICOM files of which nothing is trusted: only the elements that are needed, within limits."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from transect.data_adapters import base
from transect.data_adapters.base import BadInput
from transect.data_adapters.regular import require_regular

PATIENT = ("PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "OtherPatientIDsSequence")

TELL_APART = (
    "EchoTime",
    "EchoNumbers",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "ImageType",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "AcquisitionNumber",
)
"""What may differ between images of one position, in the order in which it is tried."""

TIMES = ("TriggerTime", "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "InstanceNumber")
"""What orders images of one position that nothing else tells apart."""

GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")

SERIES = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality"),
    *("FrameOfReferenceUID", "BodyPartExamined", "StudyDate", "SliceThickness", "SpacingBetweenSlices"),
    *("MagneticFieldStrength", "ScanningSequence", "PatientPosition", "Manufacturer"),
)

PET = ("Units", "CorrectedImage", "SeriesType", "NumberOfSlices", "InstitutionName", "PatientSex", "PatientWeight")

PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "NumberOfFrames"),
)

GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")

TAGS = [
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID"),
    *(*PATIENT, *TELL_APART, *TIMES, *GEOMETRY, *SERIES, *PET, *PIXELS, *GROUPS),
]

MOST_INFLATED = 1 << 30
"""The most bytes that a deflated file may hold."""

FAILURES = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError),
    *(MemoryError, RuntimeError, OverflowError, RecursionError, zlib.error, struct.error, AssertionError),
    *(BytesLengthException, InvalidDicomError),
)
"""What pydicom raises on damaged files."""

logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings quote values, which may identify the patient


def reason(error: Exception) -> str:
    """The message of an error, shortened: pydicom's hold whole values."""
    words = base.reason(error) or type(error).__name__
    return words if len(words) < 200 else f"{words[:200]} ..."


def text(header: Dataset, keyword: str) -> str:
    """An element as one line of text, "" if it is missing or cannot be decoded."""
    try:
        with quiet():
            value = header.get(keyword)
    except FAILURES:
        return ""
    return "" if value is None else " ".join(str(value).split())


def read_headers(path: Path, whole: bool = False) -> Dataset:
    """The header of a DICOM file without its pixels: the elements `TAGS`, or all of them.

    Returns:
        The header; its attribute `end` is where the pixels begin in the file.

    Raises:
        BadInput: it is no DICOM file, or a damaged one.
    """
    try:
        require_regular(path)
        with path.open("rb") as file, quiet():
            head = file.read(132)
            force = head[128:] != b"DICM"
            if force and not _bare(head):
                raise BadInput(path, "file", "no DICOM signature", "a DICOM file")
            _require_inflatable(path, force)
            file.seek(0)
            header = dcmread(file, force=force, stop_before_pixels=True, specific_tags=None if whole else TAGS)
            header.end = file.tell()
            return header
    except BadInput:
        raise
    except FAILURES as error:
        raise BadInput(path, "header", reason(error), "a DICOM file that can be read") from error


def _bare(head: bytes) -> bool:
    """Whether a file without preamble starts with an element of group 2 or 8, as old exports do."""
    return head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0" and len(head) == 132


def _require_inflatable(path: Path, force: bool) -> None:
    """Refuse a deflated file that would fill the memory: pydicom inflates it whole."""
    if force:
        return
    meta = read_file_meta_info(path)
    if UID(meta.get("TransferSyntaxUID", "")) != DeflatedExplicitVRLittleEndian:
        return
    start = 144 + int(meta.get("FileMetaInformationGroupLength", 0))
    inflater, count = zlib.decompressobj(-zlib.MAX_WBITS), 0
    with path.open("rb") as file:
        file.seek(start)
        while block := file.read(1 << 16):
            while block:
                count += len(inflater.decompress(block, 1 << 20))
                block = inflater.unconsumed_tail
                if count > MOST_INFLATED:
                    raise BadInput(path, "deflated data", f"more than {MOST_INFLATED:,} bytes", "one image")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings about values that violate the standard: what matters is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
