"""The DICOM studies with PET below a folder, as cases."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.injection import injection_of
from transect.data_adapters.petct.patients import person_of
from transect.data_adapters.petct.study import Sample, StudyCase
from transect.data_adapters.volume.dicom_headers import FAILURES, read_headers, text
from transect.data_adapters.volume.identity import pseudonym
from transect.data_adapters.volume.studies import FoundStudy, studies

log = logging.getLogger("transect")


def dicom_cases(
    root: Path, config: ReadConfig, skip: frozenset[Path] = frozenset(), labels: Sequence[Path] = ()
) -> list[StudyCase]:
    """List the studies that have PET images.

    Args:
        root: A folder or a file.
        config: Settings.
        skip: Files that are known to be something else.
        labels: NIfTI labels; one belongs to the only study in its folder, or around it.
    """
    found = [study for study in studies(root, config.ids, skip) if _pet(study)]
    return [_case(study, _label(study, found, labels)) for study in found]


def _case(study: FoundStudy, label: str) -> StudyCase:
    headers = _pet(study)
    first = next(iter(headers.values()))
    number = text(first, "PatientID")
    frames = Counter(text(header, "FrameOfReferenceUID") for header in headers.values())
    return StudyCase(
        study.id,
        study.patient if number else f"patient-{pseudonym('')}",  # without PatientID all may be one patient
        split=study.split,
        pet=str(study.place),
        label=label,
        study=study.uid,
        centre=study.identity.clean(text(first, "InstitutionName") or text(first, "Manufacturer")),
        tracer=study.identity.clean(_tracer(next(iter(headers)))),
        identity=study.identity,
        person=person_of(first),
        frame=frames.most_common(1)[0][0],
        sample=_sample(headers),
    )


def _pet(study: FoundStudy) -> dict[Path, Dataset]:
    return {path: header for path, header in study.images.items() if text(header, "Modality") == "PT"}


def _tracer(path: Path) -> str:
    """The radiopharmaceutical; "" where it is unknown or there are several, which fails when the study is read."""
    try:
        return injection_of(read_headers(path, whole=True), path).tracer
    except (BadInput, *FAILURES):
        return ""


def _sample(headers: dict[Path, Dataset]) -> Sample:
    """The middle one of the corrected images, or of all, by position: copies of a study have the same."""
    corrected = {path: header for path, header in headers.items() if "ATTN" in text(header, "CorrectedImage")}
    chosen = corrected or headers
    order = sorted(chosen, key=lambda path: (_height(chosen[path]), text(chosen[path], "SeriesDescription"), str(path)))
    middle = order[len(order) // 2]
    size = tuple(text(chosen[middle], name) for name in ("Columns", "Rows"))
    return Sample(str(middle), (*size, str(len(chosen))))


def _height(header: Dataset) -> float:
    try:
        return float(header.ImagePositionPatient[2])
    except FAILURES:
        return 0.0


def _label(study: FoundStudy, found: Sequence[FoundStudy], labels: Sequence[Path]) -> str:
    own = [label for label in labels if [each for each in found if _near(label, each.place)] == [study]]
    if len(own) > 1:
        names = ", ".join(study.identity.shown(label.name) for label in own[:4])
        log.warning("%s: several labels (%s): none is taken, name one in a table", study.id, names)
    return str(own[0]) if len(own) == 1 else ""


def _near(label: Path, place: Path) -> bool:
    return place.is_relative_to(label.parent) or label.is_relative_to(place)
