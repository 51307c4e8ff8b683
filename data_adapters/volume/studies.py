"""The DICOM studies of a folder, each called by its patient's pseudonym."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.listing import identifiers, split_of
from transect.data_adapters.volume.dicom_headers import PATIENT, read_headers, text
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.identity import Identity, identity_of

LABELS = ("SEG", "RTSTRUCT")
"""Modality of objects that may hold the label of a study."""

SCANNERS = ("MR", "CT", "PT", "NM")
"""Modality of images that make up volumes; others may be screenshots."""

LISTED = 4
"""Number of files that are named in an error."""


@dataclass(frozen=True)
class FoundStudy:
    """A study in a folder.

    Args:
        id: Unique below the root, safe as a folder name.
        uid: StudyInstanceUID, "" where the images have none.
        place: The deepest folder that holds it with its segmentations and structure sets, or its file.
        patient: What the patient is called.
        identity: What must not be shown; empty where patients are shown as their files are called.
        split: As folders name it.
        images: The headers of its image files.
    """

    id: str
    uid: str
    place: Path
    patient: str
    identity: Identity
    split: str
    images: dict[Path, Dataset] = field(repr=False)


def studies(root: Path, ids: str = "hash", skip: frozenset[Path] = frozenset()) -> list[FoundStudy]:
    """List the studies below a folder, or of one file.

    Args:
        root: The folder or file.
        ids: How patients are shown: "hash", or "path" as their files are called.
        skip: Files that are known to be something else.

    Returns:
        Studies sorted by identifier. A study of a scanner is listed even if none of its images can be used, so that it
        fails by name.
    """
    by_study: dict[str, dict[Path, Dataset]] = defaultdict(dict)
    found = scan(root, skip)
    for path, header in found.images.items():
        by_study[text(header, "StudyInstanceUID")][path] = header
    by_study = {
        study: images
        for study, images in by_study.items()
        if any(text(header, "Modality") in SCANNERS for header in images.values())
        or any(path not in found.skipped for path in images)
    }
    files = {study: list(images) for study, images in by_study.items()}
    for path in (path for path, modality in found.objects.items() if modality in LABELS):
        files.get(text(read_headers(path), "StudyInstanceUID"), []).append(path)
    patients = {study: _patient(list(images.values())) for study, images in by_study.items()}
    places = {study: _folder(root, paths) for study, paths in files.items()}
    neighbours = {
        study: tuple(
            patients[other] for other in by_study if other != study and places[other].is_relative_to(places[study])
        )
        for study in by_study
    }
    names = {study: patients[study].name if ids == "hash" else _path(root, places[study]) for study in by_study}
    order = sorted(by_study, key=lambda study: (names[study], study))
    return [
        FoundStudy(
            new,
            study,
            places[study],
            patients[study].name,
            replace(patients[study], others=neighbours[study]) if ids == "hash" else Identity(),
            split_of(places[study], root),
            by_study[study],
        )
        for study, new in zip(order, identifiers([names[study] for study in order], order), strict=True)
    ]


def _patient(images: list[Dataset]) -> Identity:
    """The patient of a study; its images may spell the name or the number in several ways."""
    distinct = {tuple(text(header, keyword) for keyword in PATIENT): header for header in images}
    return identity_of(*distinct.values())


def nothing_in(root: Path, ids: str, expected: str) -> BadInput:
    """The error of a folder or file without a case, which says why its DICOM files are none."""
    found = scan(root)
    reasons = {**found.objects, **found.skipped}
    counts = Counter(image.text("Modality") or "none" for image in found.slices)
    there, place = [f"{count} images of Modality {name}" for name, count in counts.items()], str(root)
    for path, why in reasons.items():
        try:
            patient = identity_of(read_headers(path)) if ids == "hash" else Identity()
        except BadInput:  # no DICOM file
            continue
        there.append(f"{patient.shown(path.name)} ({patient.clean(why)})")
        place = patient.shown(place)
    more = f"; and {len(there) - LISTED} more" if len(there) > LISTED else ""
    text = "; ".join(there[:LISTED]) + more or ("a file that is neither" if root.is_file() else "no such files")
    return BadInput(place, "volumes", text, expected)


def _folder(root: Path, files: list[Path]) -> Path:
    if root.is_file():
        return root
    folders = {file.parent for file in files}
    place = next(iter(folders))
    while not all(folder.is_relative_to(place) for folder in folders):
        place = place.parent
    return place


def _path(root: Path, place: Path) -> str:
    return "_".join(place.relative_to(root).parts) or root.resolve().name
