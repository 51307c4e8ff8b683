"""DICOM segmentations (SEG): a mask for the images of a DICOM series, each frame on its own image."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import writing
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, read_headers, reason, text
from transect.data_adapters.volume.dicom_slices import Slice, slices_of
from transect.data_adapters.volume.dicom_source import series_number, source_headers
from transect.data_adapters.volume.volume import Volume

LARGEST = 1 << 31
"""The most voxels of all frames of a segmentation."""

Code = tuple[str, str, str]
"""A coded concept: value, scheme, meaning."""


@dataclass(frozen=True)
class Segment:
    """What one value of a mask stands for.

    Args:
        label: Name for people.
        category: Code of the category.
        kind: Code of the thing itself.
    """

    label: str
    category: Code
    kind: Code


LIVER = Segment("Liver", ("91723000", "SCT", "Anatomical Structure"), ("10200004", "SCT", "Liver"))


def write_seg(
    path: Path,
    mask: NDArray[Any],
    volume: Volume,
    source: str,
    segments: Sequence[Segment] = (LIVER,),
    empty_frames: bool = False,
) -> None:
    """Write a mask as a binary SEG that refers to the images of `volume`.

    It keeps the patient, the study and the frame of reference of the images, and is a series of its own. An empty mask
    is written with all frames.

    Args:
        path: The file to write.
        mask: `(X, Y, Z)` integers: 0, or `i` for `segments[i - 1]`.
        volume: The DICOM volume that was segmented.
        source: Model name and version.
        segments: What the values stand for.
        empty_frames: Also write frames without a voxel; some viewers place the others wrongly without them.

    Raises:
        BadInput: the images cannot be referred to.
        ValueError: the mask has another shape than the volume.
        OSError: the file cannot be written.
    """
    import highdicom
    from pydicom.sr.coding import Code as Concept

    if mask.shape != volume.grid.shape:
        raise ValueError(f"mask: found shape {mask.shape}, expected {volume.grid.shape}")
    name, _, version = source.rpartition(" ")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=(name or source)[:64], family=Concept("123110", "DCM", "Artificial Intelligence"), version=version[:64]
    )
    descriptions = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment.label,
            segmented_property_category=Concept(*segment.category),
            segmented_property_type=Concept(*segment.kind),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
        )
        for number, segment in enumerate(segments, 1)
    ]
    headers = source_headers(volume)
    positions = [
        highdicom.PlanePositionSequence("PATIENT", [float(f"{value:.12g}") for value in image.position])
        for image in volume.slices
    ]
    try:
        with quiet(), _silent():
            seg = highdicom.seg.Segmentation(
                source_images=headers,
                pixel_array=np.ascontiguousarray(mask.transpose(2, 1, 0), dtype=np.uint8),
                segmentation_type="BINARY",
                segment_descriptions=descriptions,
                plane_positions=positions if len(headers) < len(volume.slices) else None,
                omit_empty_frames=not empty_frames,
                series_instance_uid=generate_uid(),
                series_number=series_number(headers[0]),
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer="Transect",
                manufacturer_model_name=(name or source)[:64],
                software_versions=version[:64] or "1",
                device_serial_number="0",
                content_label="SEGMENTATION",
                series_description=f"{', '.join(segment.label for segment in segments)} (automatic)"[:64],
            )
    except FAILURES as error:
        raise BadInput(volume.name, "header", reason(error), "images that a SEG can refer to") from error
    with writing(path):
        seg.save_as(path)


def segments_of(path: Path) -> dict[str, tuple[str, ...]]:
    """The segments of a SEG by label, each with the value and the meaning of its code.

    Raises:
        BadInput: it is damaged.
    """
    header = read_headers(path, whole=True)
    try:
        with quiet():
            return {
                str(item.SegmentLabel): tuple(
                    text(code, name)
                    for code in item.get("SegmentedPropertyTypeCodeSequence") or []
                    for name in ("CodeValue", "CodeMeaning")
                )
                for item in _described(header)
            }
    except FAILURES as error:
        raise BadInput(path, "SegmentSequence", reason(error), "the segments of a SEG") from error


def read_seg(path: Path, volume: Volume, wanted: Collection[str] | None = None) -> dict[str, NDArray[np.uint8]]:
    """Read a SEG onto the grid of `volume`: every frame by its position, not by its index.

    Args:
        path: The SEG.
        volume: The images that it belongs to.
        wanted: The labels to read; None for all.

    Returns:
        `(X, Y, Z)` of 0 and 1 by segment label. A label that several segments share has their union.

    Raises:
        BadInput: it is damaged, or its voxels are not those of the volume.
    """
    try:
        with quiet():
            dataset = dcmread(path)
            if text(dataset, "Modality") != "SEG":
                raise BadInput(path, "Modality", text(dataset, "Modality") or "none", "SEG")
            _require_same_frame(path, dataset, volume)
            size = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
            if size > LARGEST:
                raise BadInput(path, "frames", f"{size:,} voxels", f"at most {LARGEST:,}")
            labels = {int(item.SegmentNumber): str(item.SegmentLabel) for item in _described(dataset)}
            labels = {number: label for number, label in labels.items() if wanted is None or label in wanted}
            masks = {label: np.zeros(volume.grid.shape, np.uint8) for label in labels.values()}
            for number, frame, place in _frames(path, dataset):
                for value, label in labels.items():
                    if number in (0, value):
                        picked = frame == value if number == 0 else frame > 0
                        _paste(path, masks[label], picked, place, volume)
    except BadInput:
        raise
    except FAILURES as error:
        raise BadInput(path, "segmentation", reason(error), "a SEG that can be read") from error
    return masks


def _described(dataset: Dataset) -> list[Dataset]:
    """The segments, without the background that a LABELMAP may describe too: the number of its padding, usually 0."""
    background = int(dataset.get("PixelPaddingValue") or 0) if text(dataset, "SegmentationType") == "LABELMAP" else 0
    return [item for item in dataset.SegmentSequence if int(item.SegmentNumber) != background]


def _frames(path: Path, dataset: Dataset) -> Iterator[tuple[int, NDArray[Any], Slice]]:
    """For each frame its segment number (0: its values are the numbers), its pixels and its place."""
    pixels = dataset.pixel_array.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    kind = text(dataset, "SegmentationType")
    if kind == "FRACTIONAL":
        pixels = pixels >= int(dataset.MaximumFractionalValue) / 2
    places = slices_of(path, dataset)
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    for frame, place, groups in zip(pixels, places, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = 0
        if kind != "LABELMAP":
            holder = groups if "SegmentIdentificationSequence" in groups else shared[0]
            number = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        yield number, frame, place


def _paste(path: Path, mask: NDArray[np.uint8], picked: NDArray[np.bool_], place: Slice, volume: Volume) -> None:
    row, column = np.nonzero(picked)
    if not row.size:
        return
    across, down = place.cosines[0] * place.spacing[0], place.cosines[1] * place.spacing[1]
    world = (place.position + np.outer(column, across) + np.outer(row, down)) * [-1.0, -1.0, 1.0]
    index = volume.grid.index(world)
    nearest = np.round(index).astype(int)
    if np.abs(index - nearest).max() > 0.1:
        off = f"frames {np.abs(index - nearest).max():.2g} of a voxel off"
        raise BadInput(path, "ImagePositionPatient", off, "frames on the voxels of the image", f"image: {volume.name}")
    if nearest.min() < 0 or (nearest >= mask.shape).any():
        raise BadInput(path, "ImagePositionPatient", "voxels outside of the image", f"all within {volume.name}")
    mask[tuple(nearest.T)] = 1


def _require_same_frame(path: Path, dataset: Dataset, volume: Volume) -> None:
    found = text(dataset, "FrameOfReferenceUID")
    expected = volume.slices[0].text("FrameOfReferenceUID") if volume.slices else ""
    if found and expected and found != expected:
        raise BadInput(path, "FrameOfReferenceUID", found, expected, "it belongs to another scan")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep highdicom from logging about empty frames and repeated images."""
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
