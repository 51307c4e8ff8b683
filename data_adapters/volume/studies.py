"""The DICOM studies of a folder, each a case that is called by its patient's pseudonym."""

from collections import defaultdict
from pathlib import Path

from transect.data_adapters.listing import identifiers
from transect.data_adapters.volume.cases import VolumeCase
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.dicom_slices import Slice, scan
from transect.data_adapters.volume.identity import Identity, identity_of


def studies(root: Path, config: VolumeConfig, skip: frozenset[Path] = frozenset()) -> list[VolumeCase]:
    """List the studies below a folder, or of one file.

    Args:
        root: The folder or file.
        config: Settings; `ids` is how patients are shown.
        skip: Files that are known to be something else.

    Returns:
        Cases sorted by identifier. Their `image` is the deepest folder that holds the study.
    """
    by_study: dict[str, list[Slice]] = defaultdict(list)
    for image in scan(root, skip).slices:
        by_study[image.text("StudyInstanceUID")].append(image)
    patients = {study: identity_of(images[0].header) for study, images in by_study.items()}
    places = {study: _folder(root, images) for study, images in by_study.items()}
    names = {study: patients[study].name if config.ids == "hash" else _path(root, places[study]) for study in by_study}
    order = sorted(by_study, key=lambda study: (names[study], study))
    ids = identifiers([names[study] for study in order], order)
    return [
        VolumeCase(
            new,
            patients[study].name,
            image=str(places[study]),
            study=study,
            identity=patients[study] if config.ids == "hash" else Identity(),
        )
        for study, new in zip(order, ids, strict=True)
    ]


def _folder(root: Path, images: list[Slice]) -> Path:
    if root.is_file():
        return root
    folders = {image.path.parent for image in images}
    place = next(iter(folders))
    while not all(folder.is_relative_to(place) for folder in folders):
        place = place.parent
    return place


def _path(root: Path, place: Path) -> str:
    return "_".join(place.relative_to(root).parts) or root.resolve().name
