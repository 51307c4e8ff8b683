"""A PET/CT study as an app reads it: SUV, CT and label on the grid of the PET, slices from the feet to the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import Case
from transect.data_adapters.petct.suv import Suv
from transect.data_adapters.volume.identity import Identity
from transect.data_adapters.volume.volume import Volume

ONE_VOLUME = "save one volume, such as the sum of the frames, as a file of its own"
"""What to do about a NIfTI file with four axes."""


class Person(NamedTuple):
    """What a DICOM header says of a person, to recognize two under one PatientID.

    Args:
        number: PatientID in lower case.
        name: PatientName in lower case.
        sex: PatientSex.
        birth: PatientBirthDate.
        weight: kg; 0 if unknown.
        day: StudyDate, on which the weight was such.
    """

    number: str
    name: str
    sex: str
    birth: str
    weight: float
    day: str


class Sample(NamedTuple):
    """An image of a DICOM study, to recognize a copy under another PatientID.

    Args:
        path: Its file.
        size: What copies share: columns, rows and number of images.
    """

    path: str
    size: tuple[str, ...]


@dataclass(frozen=True)
class StudyCase(Case):
    """One study.

    Args:
        files: The PET, CT and label; set from the others.
        pet: A NIfTI file of SUV, or the folder (or file) of a DICOM study.
        ct: A NIfTI file; empty for none, or for that of the study.
        label: A NIfTI file, or for a study a SEG or RTSTRUCT; empty for none, or for those in the study itself.
        study: StudyInstanceUID, "" for DICOM images that have none; None for NIfTI.
        centre: The hospital, or the maker of the scanner where it is unknown; "" if neither is known.
        tracer: As far as the layout says it.
        identity: What must not be shown of the patient; empty where `read.ids` is "path".
        patient: What the patient is called in tables: the group, unless that is set later to something else.
        part: Which of how many random parts of the slices count, for a split of slices; None for all.
        person: Who it is according to the headers; None for NIfTI, and where a table says whose the study is.
        frame: FrameOfReferenceUID of the PET; "" for NIfTI.
        sample: An image of the PET; None for NIfTI.
    """

    files: tuple[str, ...] = field(init=False)
    pet: str = ""
    ct: str = ""
    label: str = ""
    study: str | None = None
    centre: str = ""
    tracer: str = ""
    identity: Identity = field(default=Identity(), repr=False)
    patient: str = ""
    part: tuple[int, int] | None = None
    person: Person | None = field(default=None, repr=False)
    frame: str = field(default="", repr=False)
    sample: Sample | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patient", self.patient or self.group)
        object.__setattr__(self, "files", (self.pet, *filter(None, [self.ct, self.label])))

    def shown(self, text: str) -> str:
        """A path or a message without what identifies the patient."""
        return self.identity.shown(text)


@dataclass(frozen=True, eq=False)
class TumourLabel:
    """The tumour on the grid of the PET.

    Args:
        mask: uint8 `(X, Y, Z)` of 0 and 1.
        positive: bool `(Z,)`: the slices with tumour. A contour smaller than a voxel makes its slice positive although
            it marks no voxel.
        notes: What was lost or left out, a sentence each.
    """

    mask: NDArray[np.uint8]
    positive: NDArray[np.bool_]
    notes: tuple[str, ...] = ()


def no_ct() -> None:
    """The CT of a study without one."""


def no_label() -> None:
    """The label of a study without one."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study on the grid of its PET.

    The third axis grows from the feet to the head, so that slice 0 is the lowest.

    Args:
        pet: SUV normalized by body weight (SUVbw), g/mL, float32 `(X, Y, Z)`.
        positions: float64 `(Z,)`, where each slice lies along the normal of the slices, mm, in DICOM's patient
            coordinates (LPS): z of axial slices. Slices may be unevenly spaced.
        read_ct: Reads the CT, HU, float32 `(X, Y, Z)` on the same grid, -1024 outside of its field; or None.
        read_label: Reads the label; or None.
        suv: How the SUV was computed; None where the file has SUV.
        tracer: Such as "FDG"; "" if unknown.
        centre: The hospital, or the maker of the scanner; "" if unknown.
        left_out: Other series of a study, and why they are left out.
        skipped: Files that are no images, and why.
        patient: As `StudyCase.patient`.
        part: As `StudyCase.part`.
    """

    pet: Volume
    positions: NDArray[np.float64]
    read_ct: Callable[[], NDArray[np.float32] | None] = no_ct
    read_label: Callable[[], TumourLabel | None] = no_label
    suv: Suv | None = None
    tracer: str = ""
    centre: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    patient: str = ""
    part: tuple[int, int] | None = None

    @cached_property
    def ct(self) -> NDArray[np.float32] | None:
        """The CT on the grid of the PET, or None.

        Raises:
            BadInput: it cannot be read, or belongs to another frame of reference.
        """
        return self.read_ct()

    @cached_property
    def label(self) -> TumourLabel | None:
        """The tumour, or None.

        Raises:
            BadInput: it cannot be read, or does not fit the PET.
        """
        return self.read_label()

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """The slices that count in training and evaluation, bool `(Z,)`; all but where a split divides slices."""
        return counted_slices(self.pet.grid.shape[2], self.part)


def counted_slices(count: int, part: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Which of `count` slices belong to a random part, bool `(count,)`; all for None."""
    if part is None:
        return np.ones(count, bool)
    number, parts = part
    return np.random.default_rng(count).permutation(count) % parts == number
