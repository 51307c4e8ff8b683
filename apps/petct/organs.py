"""Where in the body a hot spot lies, and which organ with physiological uptake is usually there.

This is a guess by position within the body alone, without a segmentation of organs: a lesion next to the bladder is
named after the bladder too. The boxes hold for adults, from the eyes or the vertex to the thighs or the feet.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.petct.study import Study

BODY_SUV = 0.2
"""Voxels above are the body."""

SEEN = 500_000
"""Voxels, evenly spread, from which the middle and the width of the body are found."""

LEAST_HEIGHT, WHOLE_BODY = 1.15, 3.2
"""Height of the body in widths: less is only a part of it, and more includes the legs."""

THIGHS = 0.38
"""Where the thighs are cut off in most studies, as a share of the height of a whole body."""


class Box(NamedTuple):
    """Where an organ lies as a rule.

    Args:
        height: Shares of the height from the thighs to the top.
        right: From the middle to the patient's right (negative: left), in half widths of the body.
        front: From the middle to the front (negative: back), in half depths of the body.
    """

    height: tuple[float, float]
    right: tuple[float, float]
    front: tuple[float, float]


ORGANS = {
    "brain": [Box((0.88, 1.01), (-0.6, 0.6), (-1.2, 1.2))],
    "heart": [Box((0.56, 0.78), (-0.6, 0.15), (-0.1, 1.0))],
    "kidneys": [Box((0.36, 0.57), (0.12, 0.7), (-0.8, 0.2)), Box((0.36, 0.57), (-0.7, -0.12), (-0.8, 0.2))],
    "bladder": [Box((0.02, 0.3), (-0.3, 0.3), (-0.5, 0.9))],
}
NAMES = ("elsewhere", *ORGANS)
"""`spots` has indices of these."""


def hottest(study: Study, excluded: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """The voxel index of the largest SUV of each slice, int64 `(Z, 3)`, outside of `excluded`."""
    values, count = study.pet.values, study.pet.grid.shape[2]
    places = np.empty((count, 3), np.int64)
    for k in range(count):  # a slice at a time: a copy of the whole would take as much memory as the PET
        plane = values[..., k] if excluded is None else np.where(excluded[..., k], -np.inf, values[..., k])
        x, y = divmod(int(plane.argmax()), plane.shape[1])
        places[k] = x, y, k
    return places


def spots(study: Study, excluded: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """The likely organ of the hottest voxel of each slice, outside of `excluded`.

    Returns:
        uint8 `(Z,)`, indices of NAMES: 0 outside of the boxes, and everywhere if too little of the body is seen to
        know where it begins and ends.
    """
    names = np.zeros(study.pet.grid.shape[2], np.uint8)
    place = in_body(study, hottest(study, excluded))
    if place is None:
        return names
    for number, boxes in enumerate(ORGANS.values(), start=1):
        for box in boxes:
            low, high = np.array(box).T
            names[((place >= low) & (place < high)).all(axis=1)] = number
    return names


def in_body(study: Study, index: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Height, right and front of voxels `(n, 3)` as in `Box`; None if too little of the body is seen."""
    grid = study.pet.grid
    body = study.pet.values > BODY_SUV
    area = body.sum(axis=(0, 1))
    slices = np.flatnonzero(area > 0.1 * max(area.max(), 1))
    if len(slices) < 2:
        return None
    # Where the body is in each slice: arms and a table move the ends of it, hence percentiles.
    step = max(1, round((body.size / SEEN) ** (1 / 3)))
    inside = np.argwhere(body[::step, ::step, slices[0] : slices[-1] + 1 : step]) * step + (0, 0, slices[0])
    low, middle, high = np.percentile(grid.world(inside), (2, 50, 98), axis=0)
    half = np.maximum((high - low) / 2, 1e-6)
    bottom, top = study.positions[slices[[0, -1]]]
    height = top - bottom
    if height < LEAST_HEIGHT * 2 * half[0]:
        return None
    if height > WHOLE_BODY * 2 * half[0]:
        bottom += THIGHS * height
    place = (grid.world(index) - middle) / half
    return np.column_stack([(study.positions[index[:, 2]] - bottom) / (top - bottom), place[:, :2]])
