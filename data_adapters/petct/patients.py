"""Whose each study is, and studies of one patient under several names, which would leak from training to test."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.listing import table_rows
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.study import Person, StudyCase
from transect.data_adapters.volume.dicom_headers import read_headers, text
from transect.data_adapters.volume.dicom_pixels import read_frames
from transect.data_adapters.volume.dicom_slices import slices_of
from transect.data_adapters.volume.identity import pseudonym
from transect.data_adapters.volume.nifti import read_grid, read_slice

SAME_WEIGHT = 0.1
"""By which fraction the weight of one patient may differ between days; on one day it is the same."""

ADVICE = "give a table with the columns study and patient: read.patients"

LISTED = 6
"""Number of studies that an error names."""


def person_of(header: Dataset) -> Person:
    """What the header of an image says of the person."""
    try:
        weight = float(text(header, "PatientWeight"))
    except ValueError:
        weight = 0.0
    return Person(
        text(header, "PatientID").casefold(),
        text(header, "PatientName").casefold(),
        text(header, "PatientSex").upper(),
        text(header, "PatientBirthDate"),
        weight / 1000 if weight > 1000 else weight,
        text(header, "StudyDate"),
    )


def of_patient(case: StudyCase, name: str, config: ReadConfig) -> StudyCase:
    """The case as that of a patient whom a table names."""
    shown = f"patient-{pseudonym(name.casefold())}" if config.ids == "hash" else name
    return replace(case, group=shown, patient=shown, person=None)


def with_patients(cases: Sequence[StudyCase], config: ReadConfig) -> list[StudyCase]:
    """The cases with the patients that the table `config.patients` gives them.

    Raises:
        BadInput: the table cannot be read, names a study twice, or none of the studies.
    """
    if not config.patients:
        return list(cases)
    path = Path(config.patients)
    patients: dict[str, str] = {}
    for line, cells in table_rows(path, ("study", "patient"), (), "a study and its patient"):
        if not cells["patient"] or patients.get(cells["study"], cells["patient"]) != cells["patient"]:
            raise BadInput(path, f"{line}, patient", cells["patient"] or "nothing", "one patient of each study")
        patients[cells["study"]] = cells["patient"]
    given = [patients.get(case.id) or patients.get(case.study or "") for case in cases]
    if not any(given):
        expected = f"cases or StudyInstanceUIDs, such as {', '.join(case.id for case in cases[:LISTED])}"
        raise BadInput(path, "study", ", ".join(list(patients)[:LISTED]), expected)
    return [of_patient(case, name, config) if name else case for case, name in zip(cases, given, strict=True)]


def require_no_leaks(cases: Sequence[Case]) -> None:
    """Refuse data whose split by patients would not separate people.

    Raises:
        BadInput: a PatientID, or its lack, stands for several people or for all studies; or studies of two patients
            have the same frame of reference or the same pixels. Files and hashed patients are named.
    """
    studies = list({(case.pet, case.study): case for case in cases if isinstance(case, StudyCase)}.values())
    _require_known(studies)
    by_frame: dict[str, list[StudyCase]] = defaultdict(list)
    by_size: dict[tuple[str, ...], list[StudyCase]] = defaultdict(list)
    for study in studies:
        by_frame[study.frame].append(study)
        by_size[_size(study)].append(study)
    for frame, sharing in by_frame.items():
        if frame:
            _require_one_patient(sharing, "FrameOfReferenceUID", "the same frame of reference")
    for size, alike in by_size.items():
        if not size or len({study.patient for study in alike}) < 2:
            continue
        by_pixels: dict[str, list[StudyCase]] = defaultdict(list)
        for study in alike:
            by_pixels[_pixels(study)].append(study)
        for digest, sharing in by_pixels.items():
            if digest:
                _require_one_patient(sharing, "PixelData", "the same pixels")


def _require_one_patient(studies: Sequence[StudyCase], field: str, what: str) -> None:
    patients = sorted({study.patient for study in studies})
    if len(patients) > 1:
        advice = f"they are one patient: {ADVICE}"
        raise BadInput(
            ", ".join(patients), field, f"{what} in {_files(studies)}", "each scan under one patient", advice
        )


def _require_known(studies: Sequence[StudyCase]) -> None:
    by_number: dict[str, list[StudyCase]] = defaultdict(list)
    for study in studies:
        if study.person is not None:
            by_number[study.person.number].append(study)
    for number, own in by_number.items():
        persons = [study.person for study in own if study.person is not None]
        name, what = own[0].patient, "one value" if number else "none"
        if differing := next((why for a in persons for b in persons if (why := _differ(a, b))), ""):
            found = f"{what} for studies that differ in {differing}: {_files(own)}"
            raise BadInput(name, "PatientID", found, "one person of each PatientID", ADVICE)
        if len(own) > 1 and len(own) == len(studies):
            found = f"{what} for all {len(own)} studies: {_files(own)}"
            raise BadInput(name, "PatientID", found, "several patients, to split the studies by", ADVICE)


def _differ(one: Person, other: Person) -> str:
    """In what two records cannot be of one person, or ""."""
    for name in ("sex", "birth", *(() if one.number else ("name",))):
        values = {getattr(one, name), getattr(other, name)} - {""}
        if len(values) > 1:
            return {"sex": "PatientSex", "birth": "PatientBirthDate", "name": "PatientName"}[name]
    weights = sorted((one.weight, other.weight))
    allowed = 0.01 if one.day == other.day else SAME_WEIGHT
    return "PatientWeight" if weights[0] > 0 and weights[1] > weights[0] * (1 + allowed) else ""


def _files(studies: Sequence[StudyCase]) -> str:
    more = f" and {len(studies) - LISTED} more" if len(studies) > LISTED else ""
    return ", ".join(f"{study.shown(study.pet)} ({study.id})" for study in studies[:LISTED]) + more


def _size(study: StudyCase) -> tuple[str, ...]:
    """What studies of equal pixels share; () where it cannot be read, so that the case fails by itself."""
    if study.sample is not None:
        return study.sample.size
    try:
        return tuple(map(str, read_grid(study.pet).shape))
    except BadInput:
        return ()


def _pixels(study: StudyCase) -> str:
    """A hash of the stored values of the middle slice; "" where they cannot be read, or are all the same."""
    try:
        values = _middle(study)
    except BadInput:
        return ""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() if np.ptp(values) else ""


def _middle(study: StudyCase) -> NDArray[Any]:
    if study.sample is None:
        return read_slice(study.pet)
    path = Path(study.sample.path)
    (image,) = slices_of(path, read_headers(path))[:1]
    return read_frames([replace(image, rescale=(1.0, 0.0))])
