"""From the images of a study to volumes: images of one series that fill a grid, each position once.

The distance between slices comes from their positions, never from SliceThickness. dcm2niix splits series by the same
properties, but rounds positions to one distance; SimpleITK mixes echoes and directions.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_headers import TELL_APART, TIMES
from transect.data_adapters.volume.dicom_slices import Slice
from transect.data_adapters.volume.volume import Grid, valid_affine

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

SAME_DIRECTION = 2e-3
"""The largest difference of direction cosines within a volume: a tenth of a degree."""

SAME_PLACE = 0.01
"""Positions within this distance, in mm, are one; an even grid is accepted up to this error."""

GAP = 1.5
"""A distance this many times the usual one is a gap."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Images that may make up one volume.

    Args:
        slices: Sorted along the normal of their planes.
        traits: What tells it apart from other volumes of the same series, such as `{"EchoTime": 4.6}`.
        left_out: Files of the series that belong to no volume, with the reason.
        repeated: How many positions the images have, if some share one; else None.
    """

    slices: tuple[Slice, ...]
    traits: dict[str, object]
    left_out: tuple[str, ...] = ()
    repeated: int | None = None

    @property
    def name(self) -> str:
        """The series' number and description, and its traits, for messages."""
        first = self.slices[0]
        words = [f"series {first.text('SeriesNumber')}".strip(), first.text("SeriesDescription")]
        traits = [
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.traits.items()
        ]
        return ", ".join(filter(None, [*words, *traits]))

    def grid(self) -> Grid:
        """The grid of the images.

        Raises:
            BadInput: images share a position, are missing, or do not lie on one line.
        """
        place = f"{self.slices[0].path.parent}, {self.name}"
        count = len(self.slices)
        if self.repeated is not None:
            advice = "nothing that the headers say tells them apart: give one volume in a folder of its own"
            found = f"{count} images on {self.repeated} positions"
            raise BadInput(place, "repeated positions (ImagePositionPatient)", found, "one image a position", advice)
        if count < 2:
            raise BadInput(place, "images", f"1 ({self.slices[0].path.name})", "two or more that make up a volume")
        return _grid(place, self.slices)


def stacks_of(slices: Iterable[Slice]) -> list[Stack]:
    """Group images into volumes: by series, pixel grid, and what tells repetitions apart."""
    series: dict[tuple[str, str, str], list[Slice]] = defaultdict(list)
    for image in slices:
        series[tuple(image.text(name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "Modality"))].append(image)  # type: ignore[index]
    return [stack for images in series.values() for stack in _of_series(images)]


def _of_series(images: list[Slice]) -> list[Stack]:
    images, copies = _without_copies(images)
    groups: list[list[Slice]] = []
    for image in sorted(images, key=lambda image: (str(image.path), image.frame)):
        group = next((group for group in groups if _alike(group[0], image)), None)
        groups.append([image]) if group is None else group.append(image)
    groups.sort(key=len, reverse=True)
    most = len(groups[0])
    strays = [group for group in groups[1:] if len(group) * 4 < most or len(group) < 2]
    left_out = (*copies, *(_difference(groups[0][0], image) for group in strays for image in group))
    kept = [group for group in groups if not any(group is stray for stray in strays)]
    return [
        Stack(stack.slices, stack.traits, (*left_out, *stack.left_out), stack.repeated)
        for group in kept
        for stack in _by_position(group)
    ]


def _without_copies(images: list[Slice]) -> tuple[list[Slice], list[str]]:
    """Drop files that are byte for byte the same image again."""
    kept: dict[tuple[str, int], Slice] = {}
    rest, copies = [], []
    for image in sorted(images, key=lambda image: (str(image.path), image.frame)):
        first = kept.setdefault((image.uid, image.frame), image)
        if first is image:
            rest.append(image)
        elif first.path.read_bytes() == image.path.read_bytes():
            copies.append(f"{image.path.name}: a copy of {first.path.name}")
        else:
            rest.append(image)
    return rest, copies


def _alike(a: Slice, b: Slice) -> bool:
    """Whether two images have the same pixel grid and direction."""
    return (
        a.size == b.size
        and np.allclose(a.spacing, b.spacing, rtol=1e-3)
        and bool(np.abs(a.cosines - b.cosines).max() < SAME_DIRECTION)
        and a.text("FrameOfReferenceUID") == b.text("FrameOfReferenceUID")
    )


def _difference(usual: Slice, image: Slice) -> str:
    """How a stray image differs from the others of its series."""
    if np.abs(usual.cosines - image.cosines).max() >= SAME_DIRECTION:
        name, found, expected = "ImageOrientationPatient", _rounded(image.cosines), _rounded(usual.cosines)
    elif image.size != usual.size:
        name, found, expected = "Columns and Rows", str(image.size), str(usual.size)
    elif not np.allclose(usual.spacing, image.spacing, rtol=1e-3):
        name, found, expected = "PixelSpacing", str(image.spacing[::-1]), str(usual.spacing[::-1])
    else:
        name, found, expected = "FrameOfReferenceUID", "another", "that of the other images"
    return f"{image.path.name}: {name}: found {found}, expected {expected}"


def _rounded(values: NDArray[np.float64]) -> str:
    return str([float(value) for value in np.round(values.ravel(), 4) + 0.0])


def _heights(images: Sequence[Slice]) -> NDArray[np.float64]:
    """The position of each image along the normal of the first."""
    normal = np.cross(*images[0].cosines)
    return np.array([image.position @ normal for image in images])


def _by_position(group: list[Slice]) -> list[Stack]:
    """Split images of one direction so that no two of a volume share a position."""
    heights = _heights(group)
    order = np.argsort(heights, kind="stable")
    places = np.empty(len(group), int)
    places[order] = np.cumsum(np.diff(heights[order], prepend=heights[order[0]]) > SAME_PLACE)
    count = int(places.max()) + 1
    ordered = [group[i] for i in order]
    if count == len(group):
        return [Stack(tuple(ordered), {})]
    names: list[str] = []
    keys: list[tuple[object, ...]] = [()] * len(group)
    for name in TELL_APART:
        values = [image.traits.get(name) for image in group]
        shared: dict[tuple[object, ...], set[object]] = defaultdict(set)
        for place, key, value in zip(places, keys, values, strict=True):
            shared[(place, *key)].add(value)
        if any(len(found) > 1 for found in shared.values()):
            names.append(name)
            keys = [(*key, value) for key, value in zip(keys, values, strict=True)]
    keys = _ranked(group, places, keys)
    parts: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index in order:
        parts[keys[index]].append(int(index))
    unique = all(len({places[i] for i in part}) == len(part) for part in parts.values())
    if not unique or max(map(len, parts.values())) < count:
        return [Stack(tuple(ordered), {}, repeated=count)]
    return [
        Stack(tuple(group[i] for i in part), dict(zip([*names, "repetition"], key, strict=False)))
        for key, part in sorted(parts.items(), key=lambda item: (-len(item[1]), str(item[0])))
    ]


def _ranked(group: list[Slice], places: NDArray[np.int_], keys: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Number repetitions of a position by time, where each position is repeated equally often."""
    shared: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, (place, key) in enumerate(zip(places, keys, strict=True)):
        shared[(place, *key)].append(index)
    counts = {len(indices) for indices in shared.values()}
    if counts == {1} or len(counts) > 1:
        return keys
    for name in TIMES:
        values = [group[i].traits.get(name) for i in range(len(group))]
        if any(len({values[i] for i in indices} - {None}) < len(indices) for indices in shared.values()):
            continue
        keys = list(keys)
        for indices in shared.values():
            for rank, index in enumerate(sorted(indices, key=lambda i: (str(type(values[i])), values[i])), 1):
                keys[index] = (*keys[index], rank)
        return keys
    return keys


def _grid(place: str, slices: Sequence[Slice]) -> Grid:
    first = slices[0]
    heights = _heights(slices)
    steps = np.diff(heights)
    usual = float(np.median(steps))
    wide = np.flatnonzero((steps > GAP * usual) | (steps * GAP < usual))
    if wide.size:
        k = int(wide[0])
        at = f"{steps[k]:.4g} mm between {slices[k].path.name} and {slices[k + 1].path.name}"
        more = f", and {wide.size - 1} more such distances" if wide.size > 1 else ""
        missing = int(sum(max(round(step / usual) - 1, 0) for step in steps[wide]))
        advice = f"{missing} images seem to be missing: export the series again" if missing else "the slices are uneven"
        raise BadInput(place, "ImagePositionPatient", at + more, f"about {usual:.4g} mm as elsewhere", advice)
    positions = np.array([image.position for image in slices])
    count = len(slices)
    step = (positions[-1] - positions[0]) / (count - 1)
    line = positions[0] + np.outer((heights - heights[0]) / (heights[-1] - heights[0]) * (count - 1), step)
    off = np.linalg.norm(positions - line, axis=1)
    if off.max() > max(0.1 * min(first.spacing), 0.1):
        k = int(off.argmax())
        found = f"{slices[k].path.name} {off[k]:.4g} mm off the line through the others"
        raise BadInput(place, "ImagePositionPatient", found, "slices above each other")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.cosines[0] * first.spacing[0], first.cosines[1] * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    affine = LPS_TO_RAS @ affine
    if wrong := valid_affine(affine):
        raise BadInput(place, "PixelSpacing and ImagePositionPatient", wrong, "the geometry of an image in mm")
    even = np.abs(positions - (positions[0] + np.outer(np.arange(count), step))).max() <= SAME_PLACE
    return Grid((*first.size, count), affine, None if even else positions * [-1.0, -1.0, 1.0])
