"""A volume out of a folder of DICOM files: choose the series that fits, name the others, read it."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_pixels import read_frames
from transect.data_adapters.volume.dicom_slices import Slice
from transect.data_adapters.volume.dicom_stacks import Stack
from transect.data_adapters.volume.volume import Volume

NO_SOURCE = re.compile(r"\b(localizer|projection image|mip|mpr|screen save|scout|localiser|survey|3[- ]?plane)\b", re.I)
"""Image types and descriptions of series that are no acquired volume."""

FACTS = (
    *("Modality", "SeriesNumber", "SeriesDescription", "ProtocolName", "BodyPartExamined", "Manufacturer"),
    *("MagneticFieldStrength", "EchoTime", "SliceThickness", "PatientPosition"),
)


@dataclass(frozen=True)
class Preference:
    """Which series of a study an app wants.

    Args:
        modalities: Those that it reads.
        series: Chosen by a person: a part of the description, the series number, the SeriesInstanceUID, or one of these
            with a trait, as in "5 EchoTime 4.6"; words in any order, in upper or lower case. Empty for the best fit.
        prefer: Regular expressions for descriptions, the best first.
        covers: What it should cover from its first to its last image, in mm; shorter ones come after all others.
    """

    modalities: tuple[str, ...]
    series: str = ""
    prefer: tuple[str, ...] = ()
    covers: float = 0.0


def choose(stacks: Sequence[Stack], preference: Preference) -> tuple[Stack, dict[str, str]]:
    """The volume of a study to use.

    The order is: a requested series number, a sufficient extent (`covers`), a description that `prefer` names, an
    original image, in-phase, axial, the larger extent, the series number, the shorter echo time.

    Args:
        stacks: All volumes of a study, at least one.
        preference: What is wanted.

    Returns:
        The volume, and for each other one its name and why it is left out.

    Raises:
        BadInput: nothing fits; the message names what there is.
    """
    place = common_folder(stacks)
    left_out: dict[str, str] = {}
    fitting: list[Stack] = []
    for stack in stacks:
        why = _unfit(stack, preference)
        if why:
            left_out[unique_name(stack, left_out)] = why
        else:
            fitting.append(stack)
    if not fitting:
        found = "; ".join(f"{name} ({why})" for name, why in list(left_out.items())[:8])
        expected = f"one that matches {preference.series!r}" if preference.series else "a volume"
        wanted = f"{expected} of {' or '.join(preference.modalities)}"
        raise BadInput(place, "series", found, wanted, _advice(preference))
    fitting.sort(key=lambda stack: _rank(stack, preference))
    for stack in fitting[1:]:
        left_out[unique_name(stack, left_out)] = "fits less well than the chosen one"
    return fitting[0], left_out


def read_stack(stack: Stack) -> Volume:
    """Read the images of one volume.

    Raises:
        BadInput: images are missing, share a position or are damaged; or they are compressed, and a decoder is missing.
    """
    grid = stack.grid()
    values = read_frames(stack.slices)
    first = stack.slices[0]
    warnings = [f"{len(stack.left_out)} images of the series are left out: {'; '.join(stack.left_out[:4])}"]
    if grid.positions is not None:
        warnings.append("the slices are unevenly spaced: each keeps its own position")
    place = f"{first.path.parent}, {stack.name}"
    facts = {**series_facts(first), **stack.traits}
    modality = first.text("Modality")
    return Volume(
        values, grid, place, modality, facts, tuple(warnings[0 if stack.left_out else 1 :]), slices=stack.slices
    )


def series_facts(image: Slice) -> dict[str, Any]:
    """What the header says of the series, without anything that identifies the patient."""
    facts = {name: image.text(name) for name in FACTS}
    if image.traits.get("EchoTime") is not None:
        facts["EchoTime"] = f"{image.traits['EchoTime']:g}"
    return {name: value for name, value in facts.items() if value}


def _unfit(stack: Stack, preference: Preference) -> str:
    """Why a volume is not used, or ""."""
    first = stack.slices[0]
    modality = first.text("Modality")
    if preference.series:
        return "" if matches(stack, preference.series) else f"does not match {preference.series!r}"
    if modality not in preference.modalities:
        return f"Modality {modality or 'unknown'}, expected {' or '.join(preference.modalities)}"
    kind = f"{first.text('ImageType')} {first.text('SeriesDescription')}".replace("_", " ")
    if match := NO_SOURCE.search(kind):
        return f"{match[0].lower()}: no acquired volume"
    if len(stack.slices) < 2:
        return "a single image"
    return ""


def matches(stack: Stack, wanted: str) -> bool:
    """Whether each word of `wanted` is a part of the name; a number is a whole word of it, or the UID or its end."""
    return all(_matches(word, stack) for word in wanted.casefold().split())


def _matches(word: str, stack: Stack) -> bool:
    name = stack.name.casefold()
    if not re.fullmatch(r"[\d.]+", word):
        return word in name
    uid = stack.slices[0].text("SeriesInstanceUID")
    return word in re.split(r"[\s,]+", name) or (len(word) >= 8 and uid.endswith(word))


def _rank(stack: Stack, preference: Preference) -> tuple[Any, ...]:
    first, last = stack.slices[0], stack.slices[-1]
    description = f"{first.text('SeriesDescription')} {first.text('ProtocolName')}"
    preferred = [bool(re.search(pattern, description, re.I)) for pattern in preference.prefer]
    kind = first.text("ImageType").upper()
    axial = abs(first.cosines[0][2]) < 0.5 and abs(first.cosines[1][2]) < 0.5
    extent = float(abs(last.position - first.position).max())
    number = first.text("SeriesNumber")
    return (
        number not in preference.series.split(),
        extent < preference.covers,
        preferred.index(True) if True in preferred else len(preferred),
        "ORIGINAL" not in kind,
        not re.search(r"IN_?PHASE|\bIP\b", kind),
        not axial,
        -round(extent),
        int(number) if number.isdigit() else 0,
        first.traits.get("EchoTime") or 0.0,
        stack.name,
    )


def unique_name(stack: Stack, names: Collection[str]) -> str:
    """The name of a volume, with the end of its UID where `names` has it."""
    name = stack.name
    return name if name not in names else f"{name} ({stack.slices[0].text('SeriesInstanceUID')[-12:]}, {len(names)})"


def common_folder(stacks: Sequence[Stack]) -> Path:
    """The deepest folder that holds all volumes."""
    folders = [stack.slices[0].path.parent for stack in stacks]
    return next((p for p in [folders[0], *folders[0].parents] if all(f.is_relative_to(p) for f in folders)), folders[0])


def _advice(preference: Preference) -> str:
    return "read.series chooses one" if preference.series else "read.series chooses one of another kind"
