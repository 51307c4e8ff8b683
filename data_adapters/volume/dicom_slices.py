"""The images of a folder of DICOM files, from their headers alone: each frame with its place in the patient.

Nothing in a folder is trusted: names and instance numbers say nothing, a DICOMDIR is not followed, other files are
named and skipped, and only the elements that are needed are parsed.
"""

from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from transect.data_adapters.base import BadInput
from transect.data_adapters.listing import walk
from transect.data_adapters.volume.dicom_headers import FAILURES, TELL_APART, TIMES, quiet, read_headers, reason, text

IMAGE_MODALITIES = ("MR", "CT", "PT", "NM", "OT", "")


@dataclass(frozen=True)
class PixelFormat:
    """How stored integers are packed: `stored` of `allocated` bits, up to bit `high`."""

    allocated: int
    stored: int
    high: int
    signed: bool
    inverted: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds a stored integer."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")


@dataclass(frozen=True, eq=False)
class Slice:
    """One image: a file of one frame, or one frame of an enhanced file.

    Args:
        path: The file.
        frame: Index of the frame in an enhanced file, else 0.
        uid: SOPInstanceUID.
        position: `(3,)`, the centre of the first voxel in DICOM's patient coordinates (LPS), mm.
        cosines: `(2, 3)`, the directions in which the column index and the row index grow (LPS).
        spacing: Distance of neighbouring columns and of neighbouring rows, mm.
        size: Columns and rows.
        pixels: How its integers are packed.
        rescale: Slope and intercept.
        traits: What may tell it apart from another image of the same position.
        header: The elements `TAGS` of its file, or all but the pixels.
    """

    path: Path
    frame: int
    uid: str
    position: NDArray[np.float64]
    cosines: NDArray[np.float64]
    spacing: tuple[float, float]
    size: tuple[int, int]
    pixels: PixelFormat
    rescale: tuple[float, float]
    traits: dict[str, Any]
    header: Dataset = field(repr=False)

    def text(self, keyword: str) -> str:
        """An element of the header as text, "" if it is missing."""
        return text(self.header, keyword)


@dataclass(frozen=True, eq=False)
class Scan:
    """What a folder holds.

    Args:
        images: The headers of all image files.
        objects: Other DICOM objects by path, each with its Modality, such as "SEG" or "RTSTRUCT".
        others: Why each other file is left out.
    """

    images: dict[Path, Dataset] = field(repr=False)
    objects: dict[Path, str]
    others: dict[Path, str]

    @property
    def slices(self) -> tuple[Slice, ...]:
        """All images with a place in the patient."""
        return self._placed[0]

    @property
    def skipped(self) -> dict[Path, str]:
        """Why each other file is left out, and images without a place."""
        return self._placed[1]

    @cached_property
    def _placed(self) -> tuple[tuple[Slice, ...], dict[Path, str]]:
        """Found when they are asked for: to list studies headers are enough."""
        slices: list[Slice] = []
        skipped = dict(self.others)
        for path, header in self.images.items():
            try:
                with quiet():
                    slices += slices_of(path, header)
            except BadInput as error:
                skipped[path] = f"{error.field}: found {error.found}, expected {error.expected}"
            except FAILURES as error:
                skipped[path] = f"header: {reason(error)}"
        return tuple(slices), skipped


def scan(root: Path, skip: Container[Path] = (), whole: bool = False) -> Scan:
    """Read the headers of every file below `root`, or of one file, except those in `skip`.

    Args:
        root: The folder or the file.
        skip: Files that are known to be something else.
        whole: Keep all elements of the headers, not only `TAGS`.

    Raises:
        BadInput: a folder cannot be listed.
    """
    images: dict[Path, Dataset] = {}
    objects: dict[Path, str] = {}
    others: dict[Path, str] = {}
    for path in [root] if root.is_file() else _files(root):
        if path in skip:
            continue
        try:
            with quiet():
                header = read_headers(path, whole)
                if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                    others[path] = "a directory of files (DICOMDIR), which is not followed"
                elif text(header, "Modality") not in IMAGE_MODALITIES or "Rows" not in header:
                    objects[path] = text(header, "Modality") or "no image"
                else:
                    images[path] = header
        except BadInput as error:
            others[path] = f"{error.field}: found {error.found}, expected {error.expected}"
        except FAILURES as error:
            others[path] = f"header: {reason(error)}"
    return Scan(images, objects, others)


def slices_of(path: Path, header: Dataset) -> list[Slice]:
    """The images of one file.

    Raises:
        BadInput: it has no place in the patient, or is no image of one value a voxel.
    """
    samples = header.get("SamplesPerPixel") or 1
    if samples != 1:
        raise BadInput(path, "SamplesPerPixel", samples, "1: one value a voxel")
    if "ModalityLUTSequence" in header:
        raise BadInput(path, "ModalityLUTSequence", "a table of values", "RescaleSlope and RescaleIntercept")
    if "PerFrameFunctionalGroupsSequence" not in header:
        frames = int(header.get("NumberOfFrames") or 1)
        if frames != 1:
            raise BadInput(path, "NumberOfFrames", frames, "1, or the place of each frame (an enhanced object)")
        return [_slice(path, 0, header, [header])]
    frames = header.PerFrameFunctionalGroupsSequence
    if len(frames) != int(header.get("NumberOfFrames") or 1):
        count = int(header.get("NumberOfFrames") or 1)
        raise BadInput(path, "PerFrameFunctionalGroupsSequence", f"{len(frames)} items", f"{count}, one a frame")
    shared = header.get("SharedFunctionalGroupsSequence") or []
    return [
        _slice(path, index, header, [*_items(frame), *_items(*shared), header]) for index, frame in enumerate(frames)
    ]


def _items(*groups: Dataset) -> list[Dataset]:
    """The items of the functional groups, with those one level deeper (the b-value's gradient)."""
    items = [item for group in groups for element in group if element.VR == "SQ" for item in element.value]
    deeper = [inner for item in items for element in item if element.VR == "SQ" for inner in element.value]
    return items + deeper


def _slice(path: Path, frame: int, header: Dataset, sources: list[Dataset]) -> Slice:
    def first(*keywords: str) -> Any:
        """The first value in the frame's own groups, then the shared ones, then the file."""
        values = (source.get(keyword) for source in sources for keyword in keywords)
        return next((value for value in values if value not in (None, "")), None)

    def numbers(keyword: str, count: int) -> NDArray[np.float64]:
        value = first(keyword)
        try:
            array = np.atleast_1d(np.array(value, dtype=float)) if value is not None else np.empty(0)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape != (count,) or not np.isfinite(array).all():
            raise BadInput(path, keyword, "none" if value is None else value, f"{count} numbers")
        return array

    position, cosines = numbers("ImagePositionPatient", 3), numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if np.abs(cosines @ cosines.T - np.eye(2)).max() > 1e-2:
        raise BadInput(path, "ImageOrientationPatient", cosines.ravel().tolist(), "two perpendicular directions")
    rows_apart, columns_apart = numbers("PixelSpacing", 2)
    if min(rows_apart, columns_apart) <= 0:
        raise BadInput(path, "PixelSpacing", [rows_apart, columns_apart], "two distances above 0 mm")
    size = _whole(path, header, "Columns", range(1, 1 << 16)), _whole(path, header, "Rows", range(1, 1 << 16))
    scale, offset = first("RescaleSlope"), first("RescaleIntercept")
    slope, intercept = 1.0 if scale is None else float(scale), 0.0 if offset is None else float(offset)
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise BadInput(path, "RescaleSlope and RescaleIntercept", f"{slope} and {intercept}", "finite numbers, not 0")
    uid = text(header, "SOPInstanceUID")
    traits = {name: _trait(first(name)) for name in (*TELL_APART, *TIMES)}
    traits["EchoTime"] = _trait(first("EffectiveEchoTime", "EchoTime"))
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    spacing = float(columns_apart), float(rows_apart)
    pixels = _pixel_format(path, header)
    return Slice(path, frame, uid, position, cosines, spacing, size, pixels, (slope, intercept), traits, header)


def _pixel_format(path: Path, header: Dataset) -> PixelFormat:
    allocated = _whole(path, header, "BitsAllocated", (1, 8, 16, 32))
    stored = _whole(path, header, "BitsStored", range(1, allocated + 1))
    high = _whole(path, header, "HighBit", range(stored - 1, allocated))
    signed = _whole(path, header, "PixelRepresentation", (0, 1)) == 1
    return PixelFormat(allocated, stored, high, signed, text(header, "PhotometricInterpretation") == "MONOCHROME1")


def _whole(path: Path, header: Dataset, keyword: str, allowed: Collection[int]) -> int:
    value = header.get(keyword)
    if not isinstance(value, int) or value not in allowed:
        some = f"{min(allowed)} to {max(allowed)}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
        raise BadInput(path, keyword, "none" if value is None else value, some)
    return int(value)


def _trait(value: Any) -> Any:
    """A value that can be compared and hashed."""
    if value is None or isinstance(value, int | float):
        return value if value is None else float(value)
    return tuple(map(str, value)) if hasattr(value, "__iter__") and not isinstance(value, str) else str(value)


def _files(root: Path) -> Iterator[Path]:
    for _, _, files in walk(root):
        yield from files
