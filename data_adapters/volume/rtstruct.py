"""DICOM structure sets (RTSTRUCT): regions as contours on the slices of a series, in and out."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import writing
from transect.data_adapters.volume.contours import Polygon, area, filled, outlines
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, reason, text
from transect.data_adapters.volume.dicom_source import source_headers
from transect.data_adapters.volume.volume import Volume

PATIENT_AND_STUDY = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
)

AREAS = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")

IN_PLANE = 0.5
"""The most that the points of a contour may leave a slice, in slice distances."""

HALFWAY = 1e-4
"""What rounding may add to an index halfway between two slices."""

SAME_PLANE = 0.05
"""The largest distance of contours that were drawn on one plane, in slice distances."""


@dataclass(frozen=True, eq=False)
class Contours:
    """One region of a structure set on the grid of a volume.

    Args:
        name: ROIName.
        mask: `(X, Y, Z)` of 0 and 1: voxels whose centres lie inside by the even-odd rule, in any of the planes of
            contours that are nearest to their slice.
        slices: Indices of the slices with a contour of positive area, even if no voxel centre lies inside.
        ignored: What was left out, such as single points, one sentence each.
    """

    name: str
    mask: NDArray[np.uint8]
    slices: tuple[int, ...]
    ignored: tuple[str, ...] = ()


def read_rtstruct(path: Path, volume: Volume, roi: str = "") -> Contours:
    """Read one region. A contour belongs to the nearest slice within half a slice distance.

    Contours of one plane follow the even-odd rule, so that one inside of another is a hole; planes that share a slice,
    where they were drawn on a finer series, add up, and so do regions of one name. Regions in another frame of
    reference do not count.

    Args:
        path: The structure set.
        volume: The series that it was drawn on.
        roi: ROIName, in upper or lower case unless two names differ in that alone; may be empty where only one region
            has contours, or where there is only one.

    Raises:
        BadInput: it is damaged, belongs to another scan, has no such region or several to choose from (they are named),
            or its contours do not lie on the slices of the volume.
    """
    try:
        with quiet():
            dataset = dcmread(path, force=True)
            if text(dataset, "Modality") != "RTSTRUCT":
                raise BadInput(path, "Modality", text(dataset, "Modality") or "none", "RTSTRUCT")
            regions = _regions(path, dataset, volume, roi)
            name = _choose(path, regions, roi)
            return _read(path, name, list(regions[name].values()), volume)
    except BadInput:
        raise
    except FAILURES as error:
        raise BadInput(path, "structure set", reason(error), "a structure set that can be read") from error


def _name(item: Dataset) -> str:
    return text(item, "ROIName") or f"unnamed {text(item, 'ROINumber')}"


def _regions(path: Path, dataset: Dataset, volume: Volume, roi: str) -> dict[str, dict[int, list[Dataset]]]:
    """The contours in the frame of reference of the volume, by ROIName and ROINumber: a name may be given twice."""
    expected = volume.slices[0].text("FrameOfReferenceUID") if volume.slices else ""
    regions: dict[str, dict[int, list[Dataset]]] = defaultdict(dict)
    names: dict[int, str] = {}
    elsewhere: dict[int, Dataset] = {}
    for item in dataset.StructureSetROISequence:
        number = int(item.ROINumber)
        if expected and text(item, "ReferencedFrameOfReferenceUID") not in ("", expected):
            elsewhere[number] = item
        else:
            names[number] = _name(item)
            regions[names[number]][number] = []
    wanted = [item for item in elsewhere.values() if not roi or _alike(_name(item), roi)]
    if wanted and not any(not roi or _alike(name, roi) for name in regions):
        found = text(wanted[0], "ReferencedFrameOfReferenceUID")
        raise BadInput(path, "ReferencedFrameOfReferenceUID", found, expected, "it belongs to another scan")
    for item in dataset.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        if number not in elsewhere:
            contours = regions[names.get(number, "unnamed")].setdefault(number, [])
            contours += item.get("ContourSequence") or []
    return regions


def _alike(name: str, wanted: str) -> bool:
    return name.casefold().strip() == wanted.casefold().strip()


def _choose(path: Path, regions: dict[str, dict[int, list[Dataset]]], roi: str) -> str:
    there = ", ".join(regions) or "none"
    if roi:
        matching = [name for name in regions if name == roi] or [name for name in regions if _alike(name, roi)]
    else:
        matching = [name for name, own in regions.items() if len(regions) == 1 or any(own.values())]
    if len(matching) != 1:
        advice = "read.label chooses one by its name" if len(regions) > 1 else ""
        raise BadInput(path, "ROIName", there, f"one called {roi!r}" if roi else "one region with contours", advice)
    return matching[0]


def _read(path: Path, name: str, regions: list[list[Dataset]], volume: Volume) -> Contours:
    polygons: dict[int, dict[tuple[int, float], list[Polygon]]] = defaultdict(dict)
    ignored: list[str] = []
    contours = [(region, contour) for region, own in enumerate(regions) for contour in own]
    for number, (region, contour) in enumerate(contours, 1):
        label = f"{name}, contour {number}"
        kind = text(contour, "ContourGeometricType")
        points = _points(contour)
        if kind not in AREAS or points.size < 9:
            ignored.append(f"{label} ({kind or 'no type'} of {points.size // 3} points) has no area")
            continue
        if points.size % 3 or not np.isfinite(points).all():
            raise BadInput(path, f"{label}, ContourData", f"{points.size} numbers", "finite x, y, z of each point")
        index = volume.grid.index(points.reshape(-1, 3) * [-1.0, -1.0, 1.0])
        height = float(index[:, 2].mean())
        k = _nearest(height, volume.grid.shape[2])
        if np.abs(index[:, 2] - height).max() > IN_PLANE:
            raise BadInput(path, label, "points on several slices", f"contours in the planes of {volume.name}")
        low, high = index[:, :2].min(axis=0), index[:, :2].max(axis=0)
        if not 0 <= k < volume.grid.shape[2] or (high < -0.5).any() or (low + 0.5 > volume.grid.shape[:2]).any():
            ignored.append(f"{label} lies outside of the image")
        elif area(index[:, :2]) == 0:
            ignored.append(f"{label} has no area")
        else:
            planes = polygons[k]
            drawn = (at for of, at in planes if of == region and abs(at - height) < SAME_PLANE)
            planes.setdefault((region, next(drawn, height)), []).append(index[:, :2])
    if contours and not polygons:
        raise BadInput(path, name, "; ".join(ignored[:4]), f"a contour with an area within {volume.name}")
    mask = np.zeros(volume.grid.shape, np.uint8)
    for k, planes in polygons.items():
        for shapes in planes.values():
            mask[:, :, k] |= filled(shapes, volume.grid.shape[:2])
    return Contours(name, mask, tuple(sorted(polygons)), tuple(ignored))


def _nearest(height: float, count: int) -> int:
    """The slice nearest to an index, the upper one halfway between two; halfway beyond the last one is its own."""
    k = int(np.floor(height + 0.5 + HALFWAY))
    return k - 1 if k == count and height <= count - 0.5 + HALFWAY else k


def _points(contour: Dataset) -> NDArray[np.float64]:
    """ContourData; bytes where it is too long for its representation, which writers then call unknown (UN)."""
    data = contour.get("ContourData")
    if isinstance(data, bytes):
        data = data.decode("ascii").strip(" \0").split("\\")
    return np.array(data if data else [], float).ravel()


def write_rtstruct(path: Path, mask: NDArray[Any], volume: Volume, source: str, name: str = "Liver") -> None:
    """Write the outlines of a mask as one region; holes are contours inside of others (the even-odd rule).

    Args:
        path: The file to write.
        mask: `(X, Y, Z)`; what is not 0 belongs to the region. It may be empty.
        volume: The DICOM volume that was segmented; its patient, study and frame of reference are kept.
        source: Model name and version.
        name: ROIName.

    Raises:
        BadInput: the images cannot be referred to.
        ValueError: the mask has another shape than the volume.
        OSError: the file cannot be written.
    """
    if mask.shape != volume.grid.shape:
        raise ValueError(f"mask: found shape {mask.shape}, expected {volume.grid.shape}")
    headers = source_headers(volume)
    first = headers[0]
    dataset = _object(first, source)
    images = Items([_reference(header) for header in headers])
    series = _item(SeriesInstanceUID=first.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=first.StudyInstanceUID,
        RTReferencedSeriesSequence=Items([series]),
    )
    frame = _item(FrameOfReferenceUID=first.FrameOfReferenceUID, RTReferencedStudySequence=Items([study]))
    dataset.ReferencedFrameOfReferenceSequence = Items([frame])
    region = _item(ROINumber=1, ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID, ROIName=name)
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    dataset.StructureSetROISequence = Items([region])
    by_uid = {header.SOPInstanceUID: header for header in headers}
    contours = _item(ROIDisplayColor=[221, 130, 101], ReferencedROINumber=1)
    shapes = [
        _contour(polygon, k, volume, by_uid[volume.slices[k].uid])
        for k in range(mask.shape[2])
        for polygon in outlines(mask[:, :, k] != 0)
    ]
    if shapes:
        contours.ContourSequence = Items(shapes)
    dataset.ROIContourSequence = Items([contours])
    observation = _item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="")
    dataset.RTROIObservationsSequence = Items([observation])
    with writing(path), quiet():
        dataset.save_as(path, enforce_file_format=True)


def _object(header: Dataset, source: str) -> Dataset:
    """A structure set of the patient and study of `header`, without regions."""
    now = datetime.now()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian  # the explicit one limits a contour to 64 kB
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            dataset[keyword] = header[keyword]
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, generate_uid()
    dataset.SeriesInstanceUID, dataset.Modality = generate_uid(), "RTSTRUCT"
    dataset.SeriesNumber, dataset.SeriesDescription = None, "Contours (automatic)"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Transect", source[:64]
    dataset.InstanceCreationDate = dataset.StructureSetDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.StructureSetTime = now.strftime("%H%M%S")
    dataset.StructureSetLabel, dataset.OperatorsName, dataset.ApprovalStatus = "AUTOMATIC", "", "UNAPPROVED"
    return dataset


def _contour(polygon: Polygon, k: int, volume: Volume, header: Dataset) -> Dataset:
    points = volume.grid.world(np.column_stack([polygon, np.full(len(polygon), k)])) * [-1.0, -1.0, 1.0]
    return _item(
        ContourImageSequence=Items([_reference(header)]),
        ContourGeometricType="CLOSED_PLANAR",
        NumberOfContourPoints=len(points),
        ContourData=[f"{value:.4f}" for value in points.ravel()],
    )


def _reference(header: Dataset) -> Dataset:
    return _item(ReferencedSOPClassUID=header.SOPClassUID, ReferencedSOPInstanceUID=header.SOPInstanceUID)


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item
