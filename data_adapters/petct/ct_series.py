"""Which CT series of a study belongs to its PET, and the CT on the grid of the PET."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.pet_series import AXIAL, feet_first, heights_of, upwards
from transect.data_adapters.volume.dicom_series import NO_SOURCE, common_folder, matches, unique_name
from transect.data_adapters.volume.dicom_stacks import Stack
from transect.data_adapters.volume.resample import resample
from transect.data_adapters.volume.volume import Grid, Volume

AIR = -1024.0
"""HU outside of the field of the CT; lower values are padding."""


def choose_ct(stacks: Sequence[Stack], pet: Stack, wanted: str = "") -> tuple[Stack | None, dict[str, str]]:
    """The CT that covers most slices of the PET, of the same patient and in the same frame of reference.

    Args:
        stacks: The volumes of the study.
        pet: Its PET.
        wanted: Words of the description, the number or the SeriesInstanceUID of a CT series that must be read.

    Returns:
        The series, or None, and for each other CT series its name and why it is left out.

    Raises:
        BadInput: the wanted series is not there, or does not belong to the PET.
    """
    left_out: dict[str, str] = {}
    fit, faults = [], []
    for stack in (stack for stack in stacks if stack.slices[0].text("Modality") == "CT"):
        if why := "" if matches(stack, wanted) else f"does not match {wanted!r}":
            left_out[unique_name(stack, left_out)] = why
        elif fault := _unfit(stack, pet):
            faults.append(fault)
            left_out[unique_name(stack, left_out)] = f"{fault.field}: found {fault.found}, expected {fault.expected}"
        else:
            fit.append(stack)
    if wanted and not fit:
        if faults:
            raise faults[0]
        found = "; ".join(left_out) or "none"
        raise BadInput(
            common_folder(stacks), "CT series", found, f"a CT series that matches {wanted!r}", "read.ct chooses one"
        )
    fit.sort(key=lambda stack: (-_covered(stack, pet), -len(stack.slices), stack.name))
    for stack in fit[1:]:
        left_out[unique_name(stack, left_out)] = "another CT covers the PET better, or has more slices"
    return (fit[0] if fit else None), left_out


def _unfit(stack: Stack, pet: Stack) -> BadInput | None:
    """Why a series cannot be the CT of a PET."""
    first, other = stack.slices[0], pet.slices[0]
    place = f"{first.path.parent}, {stack.name}"
    if shown := NO_SOURCE.search(f"{first.text('ImageType')} {first.text('SeriesDescription')}".replace("_", " ")):
        return BadInput(place, "ImageType and SeriesDescription", shown[0], "an acquired volume")
    if first.text("PatientID").casefold() != other.text("PatientID").casefold():
        return BadInput(place, "PatientID", "another", "that of the PET", "it belongs to another patient")
    found, expected = first.text("FrameOfReferenceUID"), other.text("FrameOfReferenceUID")
    if found != expected:
        advice = "it does not lie in the space of the PET"
        return BadInput(place, "FrameOfReferenceUID", found or "none", f"{expected or 'none'}, as the PET", advice)
    if len(stack.slices) < 2:
        return BadInput(place, "images", "1", "two or more that make up a volume")
    if abs(upwards(stack)) < AXIAL:
        return BadInput(place, "ImageOrientationPatient", "no axial slices", "axial slices")
    if not _covered(stack, pet):
        return BadInput(place, "ImagePositionPatient", "no slice within the PET", "a CT that covers the PET")
    return None


def _covered(stack: Stack, pet: Stack) -> int:
    """How many slices of the PET lie between the first and the last slice of a CT."""
    low, high = heights_of([feet_first(stack)[0], feet_first(stack)[-1]])
    heights = heights_of(pet.slices)
    return int(((heights >= low) & (heights <= high)).sum())


def on_grid_of_pet(ct: Volume, grid: Grid) -> NDArray[np.float32]:
    """A CT on the grid of its PET, by linear interpolation; `AIR` outside of its field.

    Returns:
        HU, float32 `(X, Y, Z)`.

    Raises:
        BadInput: the CT covers no voxel of the PET.
    """
    if ct.grid.matches(grid):
        return np.maximum(ct.values.astype(np.float32), np.float32(AIR))
    signed = np.can_cast(np.int16, ct.values.dtype)
    values = np.maximum(ct.values, np.array(AIR, ct.values.dtype if signed else np.float32))
    inside = resample(np.ones((1, 1, 1), np.uint8), _block(ct.grid), grid, order=0)
    if not inside.any():
        raise BadInput(ct.name, "grid", "no voxel within the PET", "a CT that covers the PET", "is it of this patient?")
    return resample(values, ct.grid, grid, order=1, fill=AIR)


def _block(grid: Grid) -> Grid:
    """The field of a grid as one voxel."""
    corners = grid.world(np.array([[0, 0, 0], grid.shape]) - 0.5)
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] * np.array(grid.shape)
    affine[:3, 3] = corners.mean(axis=0)
    return Grid((1, 1, 1), affine)
