"""Which PET series of a study is read, and whether its slices are complete."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_series import NO_SOURCE, common_folder, matches, unique_name
from transect.data_adapters.volume.dicom_slices import Slice
from transect.data_adapters.volume.dicom_stacks import Stack

UNITS = ("BQML", "GML", "CM2ML", "CNTS")
"""Units from which SUV can follow."""

ENHANCED = {
    "1.2.840.10008.5.1.4.1.1.130": "Enhanced PET",
    "1.2.840.10008.5.1.4.1.1.128.1": "Legacy Converted Enhanced PET",
}
"""Multi-frame objects, which keep dose, weight and times in other places."""

STATIC = ("STATIC", "WHOLE BODY")

AXIAL = 0.9
"""The least cosine between the normal of axial slices and the axis from the feet to the head: 26 degrees."""

JITTER = 0.05
"""The largest deviation of a slice distance from the usual one, as a fraction of it."""

ROUNDING = 0.02
"""What rounded positions may add to that, mm."""

LISTED = 8
"""Number of positions or series that an error names."""


def choose_pet(stacks: Sequence[Stack], wanted: str = "") -> tuple[Stack, dict[str, str]]:
    """The PET of a study: original or primary, attenuation corrected, static, axial, and in units that give SUV.

    Args:
        stacks: The volumes of the study.
        wanted: Words of the description, the number or the SeriesInstanceUID; empty where one series alone is fit.

    Returns:
        The series, and for each other PET series its name and why it is left out.

    Raises:
        BadInput: no series is fit, or several are; they are named.
    """
    series = list(_whole_series(stacks))
    place = common_folder(stacks)
    if not series:
        found = ", ".join(sorted({stack.slices[0].text("Modality") or "none" for stack in stacks}))
        raise BadInput(place, "Modality", found, "PT: a PET series")
    left_out: dict[str, str] = {}
    fit, faults = [], []
    for stack in series:
        if wanted and not matches(stack, wanted):
            left_out[unique_name(stack, left_out)] = f"does not match {wanted!r}"
        elif fault := _unfit(stack):
            faults.append(fault)
            left_out[unique_name(stack, left_out)] = f"{fault.field}: found {fault.found}, expected {fault.expected}"
        else:
            fit.append(stack)
    if len(fit) == 1:
        return fit[0], left_out
    if fit:
        found = "; ".join(
            f"{stack.name} (SeriesInstanceUID {stack.slices[0].text('SeriesInstanceUID')})" for stack in fit
        )
        raise BadInput(
            place, "PET series", found, "a single original, corrected and static series", "read.series chooses one"
        )
    if len(faults) == 1:
        raise faults[0]
    found = "; ".join(f"{name} ({why})" for name, why in list(left_out.items())[:LISTED])
    expected = f"a series that matches {wanted!r}" if wanted else "an original, attenuation corrected and static series"
    raise BadInput(place, "PET series", found, expected, "read.series chooses one" if wanted else "")


def _whole_series(stacks: Sequence[Stack]) -> Iterator[Stack]:
    """The PET series; parts that `stacks_of` split by time or frame are merged again, so that repeats are detected."""
    by_series: dict[str, list[Stack]] = defaultdict(list)
    for stack in stacks:
        if stack.slices[0].text("Modality") == "PT":
            by_series[stack.slices[0].text("SeriesInstanceUID")].append(stack)
    for parts in by_series.values():
        images = tuple(image for part in parts for image in part.slices)
        count = len({tuple(np.round(image.position, 1) + 0.0) for image in images})
        if len(parts) > 1 and count < len(images):
            yield Stack(images, {}, parts[0].left_out, repeated=count)
        else:
            yield from parts


def _unfit(stack: Stack) -> BadInput | None:
    """Why a series cannot be the PET of its study."""
    first = stack.slices[0]
    place = f"{first.path.parent}, {stack.name}"
    kind = values(first, "ImageType")
    shown = NO_SOURCE.search(f"{' '.join(kind)} {first.text('SeriesDescription')}".replace("_", " "))
    images = len(stack.slices)
    positions = f"{images} images" + (f" on {stack.repeated} positions" if stack.repeated else "")
    series_type = values(first, "SeriesType")
    if name := ENHANCED.get(first.text("SOPClassUID")):
        advice = "convert it to single-frame images"
        return BadInput(place, "SOPClassUID", f"{name} (multi-frame)", "PET images of one frame", advice)
    if kind and not {"ORIGINAL", "PRIMARY"} & set(kind):
        return BadInput(place, "ImageType", ", ".join(kind), "ORIGINAL or PRIMARY: an acquired image")
    if shown:
        return BadInput(place, "ImageType and SeriesDescription", shown[0], "an acquired volume")
    corrections = values(first, "CorrectedImage")
    if "ATTN" not in corrections:
        return BadInput(place, "CorrectedImage", ", ".join(corrections) or "none", "ATTN: attenuation corrected")
    if first.text("Units") not in UNITS:
        return BadInput(place, "Units", first.text("Units") or "none", f"one of {', '.join(UNITS)}")
    if series_type and series_type[0] not in STATIC:
        return BadInput(place, "SeriesType", f"{series_type[0]}, {positions}", " or ".join(STATIC))
    if "REPROJECTION" in series_type:
        return BadInput(place, "SeriesType", ", ".join(series_type), "IMAGE: slices, not projections")
    if stack.repeated is not None:
        advice = "two frames or beds: give one image a position"
        return BadInput(place, "repeated positions (ImagePositionPatient)", positions, "one image a position", advice)
    if abs(upwards(stack)) < AXIAL:
        found = [float(value) for value in np.round(first.cosines.ravel(), 3) + 0.0]
        return BadInput(place, "ImageOrientationPatient", found, "axial slices")
    return None


def values(image: Slice, keyword: str) -> list[str]:
    """The values of an element, in capitals; empty if it is missing."""
    value = image.header.get(keyword)
    several = [value] if isinstance(value, str) else value or []
    return [str(each).strip().upper() for each in several] if hasattr(several, "__iter__") else [str(several)]


def upwards(stack: Stack) -> float:
    """The cosine between the direction in which the slices follow each other and the axis from the feet to the head."""
    return float(np.cross(*stack.slices[0].cosines)[2])


def feet_first(stack: Stack) -> tuple[Slice, ...]:
    """The images from the feet to the head, in any position of the patient: DICOM's axes are the patient's."""
    return stack.slices if upwards(stack) > 0 else stack.slices[::-1]


def heights_of(images: Sequence[Slice]) -> NDArray[np.float64]:
    """The position of each image along the normal of the slices, towards the head, mm: z where they are axial."""
    normal = np.cross(*images[0].cosines)
    return np.asarray([image.position @ normal for image in images]) * np.sign(normal[2])


def require_complete(stack: Stack) -> None:
    """Refuse a series with gaps; distances may deviate by `JITTER` from the usual one.

    Raises:
        BadInput: slices are missing, which are named by their positions, or unevenly spaced.
    """
    images = feet_first(stack)
    if len(images) < 2 or stack.repeated is not None:
        return  # `Stack.grid` refuses them
    z = heights_of(images)
    steps = np.diff(z)
    usual = float(np.median(steps))
    uneven = np.flatnonzero(np.abs(steps - usual) > JITTER * usual + ROUNDING)
    if not uneven.size:
        return
    missing = [
        place
        for k in uneven
        for place in np.linspace(z[k], z[k + 1], max(round(steps[k] / usual), 1) + 1)[1:-1].tolist()
    ]
    place = f"{images[0].path.parent}, {stack.name}"
    expected = f"a slice every {usual:.4g} mm, within {JITTER:.0%}"
    if missing:
        more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
        at = ", ".join(f"{height:.2f}" for height in missing[:LISTED]) + more
        found = f"no slice at {at} mm"
        raise BadInput(place, "ImagePositionPatient", found, expected, f"{len(missing)} missing: export it again")
    k = int(uneven[0])
    found = (
        f"{steps[k]:.4g} mm between {z[k]:.2f} and {z[k + 1]:.2f} mm ({images[k].path.name}, {images[k + 1].path.name})"
    )
    raise BadInput(place, "ImagePositionPatient", found, expected, "the slices are uneven")


def fewer_than_said(stack: Stack) -> tuple[str, ...]:
    """A warning where the header says that the series has more slices: those at an end may be missing."""
    said = stack.slices[0].text("NumberOfSlices")
    if said.isdigit() and int(said) > len(stack.slices):
        return (
            f"{len(stack.slices)} slices, but NumberOfSlices says {said}: the first or the last ones may be missing",
        )
    return ()
