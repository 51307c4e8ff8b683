"""The case of volume apps: one volume and its label, from any format."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.dicom_series import Preference, choose, read_stack
from transect.data_adapters.volume.dicom_slices import Scan, scan
from transect.data_adapters.volume.dicom_stacks import stacks_of
from transect.data_adapters.volume.identity import Identity
from transect.data_adapters.volume.labels import dicom_label, nifti_label
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.volume import Volume


@dataclass(frozen=True)
class VolumeCase(Case):
    """One volume.

    Args:
        files: The image and the label, if there is one; set from the others.
        image: A NIfTI file, or the folder (or file) of a DICOM study.
        label: A NIfTI file, or for a study a SEG or RTSTRUCT; empty for none, or for those in the study itself.
        study: StudyInstanceUID; empty for NIfTI.
        names: Number and name of each label, where the data set says so.
        identity: What must not be shown of the patient.
    """

    files: tuple[str, ...] = field(init=False)
    image: str = ""
    label: str = ""
    study: str = ""
    names: tuple[tuple[int, str], ...] = ()
    identity: Identity = field(default=Identity(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", (self.image, *filter(None, [self.label])))

    def shown(self, text: str) -> str:
        """A path or a message without what identifies the patient."""
        return self.identity.shown(text)


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume, and its label on the same grid.

    Args:
        volume: The volume.
        label: `(X, Y, Z)` of 0 and 1, or None.
        left_out: Other volumes of a study, and why they are left out.
        skipped: Files that are no images, and why.
    """

    volume: Volume
    label: NDArray[np.uint8] | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def read_case(case: VolumeCase, preference: Preference, config: VolumeConfig, label: str) -> LabelledVolume:
    """Read a case whole.

    Args:
        case: From `find_volumes`.
        preference: Which series of a study are wanted; `config.series` overrides its own.
        config: Settings.
        label: The name of the label that is wanted unless `config.label` says another, such as "liver".

    Raises:
        BadInput: as the readers of the formats; the message names no patient.
    """
    shown = case.identity if config.ids == "hash" else Identity()
    with shown.hidden():
        if not case.study:
            volume = read_nifti(case.image, config.index)
            wanted = config.label or label
            mask = nifti_label(Path(case.label), volume, wanted, dict(case.names)) if case.label else None
            return LabelledVolume(volume, mask)
        return _study(case, preference, config, label)


def _study(case: VolumeCase, preference: Preference, config: VolumeConfig, label: str) -> LabelledVolume:
    mask: NDArray[np.uint8] | None
    notes: list[str]
    found = study_of(scan(Path(case.image)), case.study)
    if not found.slices:
        there = "; ".join(f"{path.name} ({why})" for path, why in [*found.objects.items(), *found.skipped.items()][:4])
        raise BadInput(case.image, "images", there or "none", "DICOM images with a place in the patient")
    wanted = replace(preference, series=config.series or preference.series)
    stack, left_out = choose(stacks_of(found.slices), wanted)
    volume = read_stack(stack)
    name = config.label or label
    if case.label.lower().endswith((".nii", ".nii.gz")):
        mask, notes = nifti_label(Path(case.label), volume, name, dict(case.names)), []
    else:
        objects = scan(Path(case.label)).objects if case.label else found.objects
        mask, notes = dicom_label(objects, volume, name, required=bool(case.label or config.label))
    clean = case.identity.clean if config.ids == "hash" else str
    show = case.identity.shown if config.ids == "hash" else str
    facts: dict[str, Any] = {name: clean(str(value)) for name, value in volume.facts.items()}
    volume = Volume(
        volume.values,
        volume.grid,
        show(volume.name),
        volume.modality,
        facts,
        tuple(map(clean, [*volume.warnings, *notes])),
        slices=volume.slices,
    )
    skipped = {show(path): clean(why) for path, why in found.skipped.items()}
    return LabelledVolume(volume, mask, {clean(name): clean(why) for name, why in left_out.items()}, skipped)


def study_of(found: Scan, study: str) -> Scan:
    """What belongs to one study; files without a study stay."""
    return Scan(
        tuple(image for image in found.slices if image.text("StudyInstanceUID") == study), found.objects, found.skipped
    )
