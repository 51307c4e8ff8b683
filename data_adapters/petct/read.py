"""A case on the grid of its PET: SUV at once, CT and label when they are asked for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.ct_series import choose_ct, on_grid_of_pet
from transect.data_adapters.petct.labels import OBJECTS, dicom_label, frames_of, nifti_label
from transect.data_adapters.petct.pet_series import AXIAL, choose_pet, feet_first, fewer_than_said, require_complete
from transect.data_adapters.petct.study import ONE_VOLUME, Study, StudyCase, TumourLabel, no_ct, no_label
from transect.data_adapters.petct.suv import suv
from transect.data_adapters.volume.cases import study_of
from transect.data_adapters.volume.dicom_series import read_stack
from transect.data_adapters.volume.dicom_slices import Scan, scan
from transect.data_adapters.volume.dicom_stacks import Stack, stacks_of
from transect.data_adapters.volume.layouts import is_nifti
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.volume import Grid, Volume

ORIENTATION = "LPS"
"""All studies have their axes in this order, so that a model sees them alike: that of DICOM's usual images."""

LARGEST_SUV = 1000.0
"""Values above are no SUV but activity concentration: 1000 g/mL is a thousand times the mean of the body."""


def read_study(case: StudyCase, config: ReadConfig) -> Study:
    """Read the PET of a case, and prepare to read its CT and label.

    Args:
        case: From `find_cases`.
        config: Settings.

    Raises:
        BadInput: as the readers of the formats; the message names no patient.
    """
    with case.identity.hidden():
        return _nifti(case, config) if case.study is None else _dicom(case, case.study, config)


def _nifti(case: StudyCase, config: ReadConfig) -> Study:
    pet = _oriented(read_nifti(case.pet, several=ONE_VOLUME))
    low, high = float(pet.values.min()), float(pet.values.max())
    if high > LARGEST_SUV:
        advice = "it seems to be activity (Bq/mL): convert it to SUVbw, or give the DICOM files"
        raise BadInput(case.pet, "values", f"up to {high:g}", f"SUV, at most {LARGEST_SUV:g}", advice)
    if high <= 0:
        raise BadInput(case.pet, "values", f"{low:g} to {high:g}", "SUV above 0")
    pet = replace(pet, values=pet.values.astype(np.float32), modality="PT")
    return Study(
        pet,
        _positions(pet.grid),
        partial(_nifti_ct, case, pet.grid) if case.ct else no_ct,
        _label_reader(case, pet, config) or no_label,
        tracer=case.tracer,
        centre=case.centre,
        patient=case.patient,
        part=case.part,
    )


def _oriented(volume: Volume) -> Volume:
    """A volume with its axes in the order of `ORIENTATION`; its slices must be axial."""
    values, grid = reorient(volume.values, volume.grid, ORIENTATION)
    if abs(grid.normal[2]) < AXIAL:
        raise BadInput(volume.name, "affine", f"slices along {np.round(grid.normal, 3).tolist()}", "axial slices")
    return replace(volume, values=values, grid=grid, header=None)


def _positions(grid: Grid) -> NDArray[np.float64]:
    """Where each slice lies along the normal, mm, to the head."""
    places = grid.world([[0, 0, k] for k in range(grid.shape[2])])
    return np.asarray(places @ grid.normal, float) + 0.0


def _nifti_ct(case: StudyCase, grid: Grid) -> NDArray[np.float32]:
    with case.identity.hidden():
        return on_grid_of_pet(read_nifti(case.ct, several=ONE_VOLUME), grid)


def _label_reader(case: StudyCase, pet: Volume, config: ReadConfig) -> Callable[[], TumourLabel | None] | None:
    """Reads a label that is a NIfTI file of its own; None if there is no such file."""

    def read() -> TumourLabel:
        with case.identity.hidden():
            return nifti_label(Path(case.label), pet, config.label)

    return read if is_nifti(Path(case.label)) else None


def _dicom(case: StudyCase, study: str, config: ReadConfig) -> Study:
    place = Path(case.pet)
    found = study_of(scan(place, whole=True), study)
    if not found.slices:
        there = "; ".join(f"{path.name} ({why})" for path, why in [*found.objects.items(), *found.skipped.items()][:4])
        raise BadInput(place, "images", there or "none", "DICOM images with a place in the patient")
    stacks = stacks_of(found.slices)
    stack, left_out = choose_pet(stacks, config.series)
    require_complete(stack)
    images = feet_first(stack)
    ct, other = choose_ct(stacks, stack, config.ct)
    left_out |= other
    rule = suv([image.header for image in images], f"{images[0].path.parent}, {stack.name}")
    volume = _oriented(read_stack(stack))
    clean = case.identity.clean
    pet = replace(
        volume,
        values=volume.values * rule.factors.astype(np.float32),
        name=case.identity.shown(volume.name),
        facts={name: clean(str(value)) for name, value in volume.facts.items()},
        warnings=tuple(map(clean, (*volume.warnings, *fewer_than_said(stack)))),
        slices=images,
    )
    objects, others = _own_objects(found, stack)
    left_out |= others
    return Study(
        pet,
        _positions(pet.grid),
        partial(_dicom_ct, case, ct, pet.grid) if ct else no_ct,
        _label_reader(case, pet, config) or partial(_dicom_label, case, pet, ct, objects, config.label),
        rule,
        tracer=clean(rule.tracer) or case.tracer,
        centre=case.centre,
        left_out={clean(name): clean(why) for name, why in left_out.items()},
        skipped={case.identity.shown(path): clean(why) for path, why in found.skipped.items()},
        patient=case.patient,
        part=case.part,
    )


def _own_objects(found: Scan, pet: Stack) -> tuple[list[Path], dict[str, str]]:
    """The SEG and RTSTRUCT in the frame of reference of the PET, and why others are left out."""
    expected = pet.slices[0].text("FrameOfReferenceUID")
    own, left_out = [], {}
    for path, modality in found.objects.items():
        if modality not in OBJECTS:
            continue
        frames = frames_of(path)
        if not frames or not expected or expected in frames:
            own.append(path)
        else:
            left_out[f"{path.name} ({modality})"] = (
                f"FrameOfReferenceUID: found {', '.join(frames)}, expected {expected}"
            )
    return own, left_out


def _dicom_ct(case: StudyCase, ct: Stack, grid: Grid) -> NDArray[np.float32]:
    with case.identity.hidden():
        return on_grid_of_pet(read_stack(ct), grid)


def _dicom_label(
    case: StudyCase, pet: Volume, ct: Stack | None, objects: list[Path], wanted: str
) -> TumourLabel | None:
    with case.identity.hidden():
        paths = [Path(case.label)] if case.label else objects
        grid = _grid_of(ct) if ct else None
        label = dicom_label(paths, pet, grid, wanted)
    return label and replace(label, notes=tuple(map(case.identity.clean, label.notes)))


def _grid_of(ct: Stack) -> Grid | None:
    try:
        return ct.grid()
    except BadInput:
        return None
