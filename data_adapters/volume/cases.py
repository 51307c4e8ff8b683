"""The case of volume apps: one volume and its label, from any format."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.dicom_headers import text
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
        study: StudyInstanceUID, "" for DICOM images that have none; None for NIfTI.
        names: Number and name of each label, where the data set says so.
        identity: What must not be shown of the patient; empty where `read.ids` is "path".
    """

    files: tuple[str, ...] = field(init=False)
    image: str = ""
    label: str = ""
    study: str | None = None
    names: tuple[tuple[int, str], ...] = ()
    identity: Identity = field(default=Identity(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", (self.image, *filter(None, [self.label])))

    def shown(self, text: str) -> str:
        """A path or a message without what identifies the patient."""
        return self.identity.shown(text)


class Label(NamedTuple):
    """A label, and why other objects of a study do not count as one.

    Args:
        mask: `(X, Y, Z)` of 0 and 1, or None.
        notes: A sentence each.
    """

    mask: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A volume, and its label on the same grid, which is read when it is first asked for: prediction needs none.

    Args:
        volume: The volume.
        read_label: Reads the label.
        left_out: Other volumes of a study, and why they are left out.
        skipped: Files that are no images, and why.
    """

    volume: Volume
    read_label: Callable[[], Label] = Label
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> NDArray[np.uint8] | None:
        """`(X, Y, Z)` of 0 and 1, or None.

        Raises:
            BadInput: the label cannot be read, or does not fit the volume.
        """
        return self._label.mask

    @property
    def label_notes(self) -> tuple[str, ...]:
        """Why objects of a study do not count as its label."""
        return self._label.notes

    @cached_property
    def _label(self) -> Label:
        return self.read_label()


def read_case(case: VolumeCase, preference: Preference, config: VolumeConfig, label: str) -> LabelledVolume:
    """Read the volume of a case whole.

    Args:
        case: From `find_volumes`.
        preference: Which series of a study are wanted; `config.series` overrides its own.
        config: Settings.
        label: The name of the label that is wanted unless `config.label` says another, such as "liver".

    Raises:
        BadInput: as the readers of the formats; the message names no patient.
    """
    with case.identity.hidden():
        if case.study is not None:
            return _study(case, case.study, preference, config, config.label or label)
        volume = read_nifti(case.image, config.index)
        return LabelledVolume(volume, partial(_nifti_label, case, volume, config.label or label))


def _study(case: VolumeCase, study: str, preference: Preference, config: VolumeConfig, label: str) -> LabelledVolume:
    found = study_of(scan(Path(case.image)), study)
    if not found.slices:
        there = "; ".join(f"{path.name} ({why})" for path, why in [*found.objects.items(), *found.skipped.items()][:4])
        raise BadInput(case.image, "images", there or "none", "DICOM images with a place in the patient")
    wanted = replace(preference, series=config.series or preference.series)
    stack, left_out = choose(stacks_of(found.slices), wanted)
    volume = read_stack(stack)
    identity = case.identity
    volume = replace(
        volume,
        name=identity.shown(volume.name),
        facts={name: identity.clean(str(value)) for name, value in volume.facts.items()},
        warnings=tuple(map(identity.clean, volume.warnings)),
    )
    if case.label.lower().endswith((".nii", ".nii.gz")):
        read_label = partial(_nifti_label, case, volume, label)
    else:
        read_label = partial(_study_label, case, volume, label, found.objects, bool(case.label or config.label))
    skipped = {identity.shown(path): identity.clean(why) for path, why in found.skipped.items()}
    left_out = {identity.clean(name): identity.clean(why) for name, why in left_out.items()}
    return LabelledVolume(volume, read_label, left_out, skipped)


def _nifti_label(case: VolumeCase, volume: Volume, label: str) -> Label:
    if not case.label:
        return Label()
    with case.identity.hidden():
        return Label(nifti_label(Path(case.label), volume, label, dict(case.names)))


def _study_label(case: VolumeCase, volume: Volume, label: str, objects: dict[Path, str], required: bool) -> Label:
    with case.identity.hidden():
        given = scan(Path(case.label)).objects if case.label else objects
        mask, notes = dicom_label(given, volume, label, required)
    return Label(mask, tuple(map(case.identity.clean, notes)))


def study_of(found: Scan, study: str) -> Scan:
    """What belongs to one study; files without a study stay."""
    own = {path: header for path, header in found.images.items() if text(header, "StudyInstanceUID") == study}
    return replace(found, images=own)
