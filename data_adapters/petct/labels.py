"""The tumour of a study on the grid of its PET: NIfTI masks, SEG and RTSTRUCT."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import ONE_VOLUME, TumourLabel
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, reason, text
from transect.data_adapters.volume.dicom_seg import read_seg, segments_of
from transect.data_adapters.volume.masks import components
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.resample import evened, reorient, resample
from transect.data_adapters.volume.rtstruct import read_rtstruct
from transect.data_adapters.volume.volume import Grid, Volume

OBJECTS = ("SEG", "RTSTRUCT")
"""Modality of objects that hold labels."""

SAME_VOXELS = 0.1
"""The largest distance, in voxels, of grids that are one: programs round affines."""

FRAMES = ("FrameOfReferenceUID", "ReferencedFrameOfReferenceUID")


def nifti_label(path: Path, pet: Volume, wanted: str = "") -> TumourLabel:
    """Read a NIfTI mask: any value above 0 is tumour, or the number `wanted`.

    A mask on another grid is sampled at the centres of the PET's voxels (nearest neighbour). One with the shape and the
    ends of an unevenly spaced series was written from it with one spacing: its slices are those of the series.

    Raises:
        BadInput: it is no mask, or it does not lie where the PET does.
    """
    mask = read_nifti(path, several=ONE_VOLUME)
    if mask.values.dtype.kind == "f" and (mask.values != np.round(mask.values)).any():
        raise BadInput(path, "values", "fractions", "whole numbers: a mask")
    if wanted and not wanted.isdigit():
        raise BadInput(path, "read.label", wanted, "a number, since NIfTI masks have no names")
    tumour = (mask.values == int(wanted) if wanted else mask.values > 0).astype(np.uint8)
    values, grid = reorient(tumour, mask.grid, pet.grid.orientation)
    if pet.grid.matches(grid, SAME_VOXELS):
        return _label(values)
    if pet.grid.positions is not None and evened(pet.grid).matches(grid, SAME_VOXELS):
        note = "the mask has one slice distance, the series several: its slices are taken as those of the series"
        return _label(values, (note,))
    return _resampled(path, values, grid, pet)


def _resampled(path: Path, values: NDArray[np.uint8], grid: Grid, pet: Volume) -> TumourLabel:
    """A mask at the voxel centres of the PET; lesions between its slices are counted."""
    if not resample(np.ones(grid.shape, np.uint8), grid, pet.grid, order=0).any():
        raise BadInput(
            path, "grid", "no voxel within the PET", "a mask that lies where the PET does", "is it of this scan?"
        )
    if not values.any():
        return _label(np.zeros(pet.grid.shape, np.uint8))
    parts = components(values)
    numbers = np.zeros(values.shape, np.int32)
    numbers[parts.box] = parts.labels
    sampled = resample(numbers, grid, pet.grid, order=0)
    lost = len(parts.sizes) - np.count_nonzero(np.unique(sampled))
    notes = [f"{lost} of {len(parts.sizes)} lesions of the mask reach no voxel centre of the PET"] if lost else []
    return _label((sampled > 0).astype(np.uint8), notes)


def _label(mask: NDArray[np.uint8], notes: Iterable[str] = ()) -> TumourLabel:
    return TumourLabel(np.ascontiguousarray(mask), np.asarray(mask.any(axis=(0, 1))), tuple(notes))


def dicom_label(paths: Iterable[Path], pet: Volume, ct: Grid | None, wanted: str = "") -> TumourLabel | None:
    """Read the SEG or RTSTRUCT among `paths` that has the wanted region.

    Args:
        paths: Objects in the frame of reference of the PET.
        pet: The PET.
        ct: The grid of the CT, which a SEG may lie on.
        wanted: The name of a region, or of a SEG its code; empty where there is one.

    Returns:
        The label, or None if there is no object.

    Raises:
        BadInput: an object cannot be read, there are several regions to choose from, or none is the wanted one.
    """
    found: dict[Path, TumourLabel] = {}
    faults = []
    for path in sorted(paths):
        try:
            found[path] = _object_label(path, pet, ct, wanted)
        except BadInput as error:
            faults.append(error)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        region = f"one object with {wanted!r}" if wanted else "one SEG or RTSTRUCT"
        raise BadInput(
            next(iter(found)).parent, "label", names, region, "read.label chooses by name; or move the others"
        )
    if faults and (not found or not wanted):
        raise faults[0]
    return next(iter(found.values()), None)


def frames_of(path: Path) -> set[str]:
    """The frames of reference that a SEG or RTSTRUCT lies in; empty if it names none.

    Raises:
        BadInput: it is damaged.
    """
    header = _header(path)
    items = [header, *(header.get("StructureSetROISequence") or [])]
    return {text(item, name) for item in items for name in FRAMES} - {""}


def _header(path: Path) -> Dataset:
    names = [*FRAMES, "Modality", "StudyInstanceUID", "StructureSetROISequence"]
    try:
        with quiet():
            return dcmread(path, force=True, stop_before_pixels=True, specific_tags=names)
    except FAILURES as error:
        raise BadInput(path, "header", reason(error), "a DICOM object that can be read") from error


def _object_label(path: Path, pet: Volume, ct: Grid | None, wanted: str) -> TumourLabel:
    if text(_header(path), "Modality") == "SEG":
        return _seg_label(path, pet, ct, wanted)
    region = read_rtstruct(path, pet, wanted)
    positive = np.zeros(pet.grid.shape[2], bool)
    positive[list(region.slices)] = True
    return TumourLabel(region.mask, positive, region.ignored)


def _seg_label(path: Path, pet: Volume, ct: Grid | None, wanted: str) -> TumourLabel:
    segments = segments_of(path)
    fold = wanted.casefold().strip()
    chosen = [
        name
        for name, codes in segments.items()
        if not wanted or fold in (name.casefold().strip(), *map(str.casefold, codes))
    ]
    if not chosen or (not wanted and len(chosen) > 1):
        there = ", ".join(f"{name} ({' '.join(codes)})" for name, codes in segments.items()) or "none"
        expected = f"one called {wanted!r}" if wanted else "one segment"
        raise BadInput(path, "SegmentLabel", there, expected, "read.label chooses by label or code")
    try:
        masks = read_seg(path, pet, chosen)
    except BadInput as error:
        if ct is None or error.field != "ImagePositionPatient":
            raise
        masks = read_seg(path, replace(pet, grid=ct, name="the CT"), chosen)
        return _resampled(path, np.bitwise_or.reduce(list(masks.values())), ct, pet)
    return _label(np.bitwise_or.reduce(list(masks.values())))
