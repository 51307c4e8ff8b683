"""Synthetic bodies whose tumour is known, with physiological uptake that a threshold of SUV takes for it.

Brain, heart, kidneys and bladder are hot in every body, as with FDG. Lesions and physiological spots (such as ureters
or bowel) are ellipses of uptake within a slice, of two kinds of body:

- with context, a lesion covers 2 to 4 slices and a spot 15 or more, as a tube along the body. Place, size, shape and
  uptake are drawn alike for both, so that no single slice tells them apart;
- without context, each slice has lesions and spots of its own, drawn independently of all other slices. Lesions are
  longer and mostly hotter than spots, so that a slice says all that can be known.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.volume import Grid

FIELD_MM, SLICE_MM = 400.0, 8.0
"""Width of a slice, and distance between slices."""

BODY_MM = (165.0, 115.0)
"""Half axes of the trunk; those of head and neck are half as long."""

NECK = 0.7
"""Where the neck begins; -1 is the lowest and 1 the highest slice. Lesions and spots lie below."""

APART_MM = 45.0
"""Smallest distance in the plane between the centres of lesions, spots and hot organs."""

LESIONS, SPOTS = (1, 3), (1, 3)
"""Number of lesions in a body that has any, and of spots, smallest and largest."""

HEALTHY = 0.3
"""Share of the bodies without lesions."""

LESION_SLICES, SPOT_SLICES = (2, 4), (15, 20)

LESION_SHARE, SPOT_SHARE = 0.15, 0.45
"""Without context, the shares of slices that have a lesion, and a spot."""


class Organ(NamedTuple):
    """Ellipsoids `(x, y, z, a, b, c)`: centre and half axes in mm, RAS; z and c relative to half of the body."""

    suv: float
    hu: float
    ellipsoids: tuple[tuple[float, ...], ...]


ORGANS = {
    "lungs": Organ(0.4, -750, ((75, 5, 0.4, 50, 75, 0.22), (-75, 5, 0.4, 50, 75, 0.22))),
    "spine": Organ(1.2, 400, ((0, -75, 0, 18, 18, 4),)),
    "liver": Organ(2.2, 60, ((65, 15, 0.05, 65, 65, 0.15),)),
    "heart": Organ(4.5, 45, ((-30, 25, 0.35, 32, 30, 0.1),)),
    "kidneys": Organ(5, 35, ((55, -45, -0.1, 20, 22, 0.13), (-55, -45, -0.1, 20, 22, 0.13))),
    "bladder": Organ(6, 10, ((0, 25, -0.85, 28, 25, 0.1),)),
    "brain": Organ(6, 40, ((0, 0, 0.9, 55, 45, 0.09),)),
}

HOT = ("heart", "kidneys", "bladder")
"""Organs of the trunk that lesions and spots keep away from."""


class Uptake(NamedTuple):
    """An ellipse of uptake on slices `first` to before `stop`: centre and half axes in mm, angle in radians, SUV."""

    first: int
    stop: int
    x: float
    y: float
    a: float
    b: float
    angle: float
    suv: float
    lesion: bool


@dataclass(frozen=True)
class Body:
    """One synthetic study, on one grid.

    Args:
        suv: float32 `(X, Y, Z)`, slices from the feet to the head.
        ct: int16 `(X, Y, Z)`, HU.
        tumour: uint8 `(X, Y, Z)`, 1 in lesions.
        grid: Their grid, in the orientation LPS.
        uptake: The lesions and spots.
    """

    suv: NDArray[np.float32]
    ct: NDArray[np.int16]
    tumour: NDArray[np.uint8]
    grid: Grid
    uptake: tuple[Uptake, ...]


def body(rng: np.random.Generator, size: int = 48, slices: int = 48, context: bool = True, noise: float = 0.12) -> Body:
    """Draw one body.

    Args:
        rng: Decides anatomy, lesions, spots and noise.
        size: Voxels of a slice along each side.
        slices: Number of slices.
        context: Whether lesions and spots differ only in how many slices they cover; see the module.
        noise: Standard deviation of SUV, relative to the square root of SUV.
    """
    step = FIELD_MM / size
    affine = np.diag([-step, -step, SLICE_MM, 1.0])
    affine[:3, 3] = FIELD_MM / 2 - step / 2, FIELD_MM / 2 - step / 2, rng.uniform(-900, -600)
    place = FIELD_MM / 2 - step * (np.arange(size) + 0.5)
    x, y, z = place[:, None, None], place[None, :, None], np.linspace(-1, 1, slices)
    scale, moved = rng.uniform(0.93, 1.07, 3), rng.uniform(-0.04, 0.04)
    across, deep = (half * scale[axis] * np.where(z > NECK, 0.5, 1.0) for axis, half in enumerate(BODY_MM))
    inside = (x / across) ** 2 + (y / deep) ** 2 <= 1
    suv, ct = np.where(inside, 0.8, 0.05), np.where(inside, 20.0, -1000.0)
    hot = np.zeros((size, size), bool)
    for name, organ in ORGANS.items():
        uptake = organ.suv * rng.uniform(0.7, 1.3)
        for cx, cy, cz, a, b, c in organ.ellipsoids:
            shares = (x - cx * scale[0]) / (a * scale[0]), (y - cy * scale[1]) / (b * scale[1]), (z - cz - moved) / c
            within = sum(share**2 for share in shares) <= 1
            suv[within], ct[within] = uptake, organ.hu
            if name in HOT:
                hot |= np.hypot(x - cx * scale[0], y - cy * scale[1])[..., 0] < max(a, b) + APART_MM / 2
    trunk = int((z <= NECK).sum())
    free = ((x / (0.8 * across[0])) ** 2 + (y / (0.8 * deep[0])) ** 2)[..., 0] <= 1
    places = place[np.argwhere(free & ~hot)].astype(np.float64)
    drawn = _tubes(rng, trunk, places) if context else _single(rng, trunk, places)
    tumour = np.zeros(suv.shape, np.uint8)
    for each in drawn:
        along = np.s_[..., each.first : each.stop]
        cos, sin = np.cos(each.angle), np.sin(each.angle)
        u, v = cos * (x - each.x) + sin * (y - each.y), cos * (y - each.y) - sin * (x - each.x)
        distance = (u / each.a) ** 2 + (v / each.b) ** 2
        suv[along] = np.maximum(suv[along], each.suv * np.exp(-0.5 * distance))
        if each.lesion:
            tumour[along] |= (distance <= 1).astype(np.uint8)
    suv = np.maximum(suv + noise * np.sqrt(suv) * rng.normal(size=suv.shape), 0)
    ct += rng.normal(0, 10, ct.shape)
    grid = Grid((size, size, slices), affine)
    return Body(suv.astype(np.float32), np.round(ct).astype(np.int16), tumour, grid, tuple(drawn))


def _tubes(rng: np.random.Generator, trunk: int, places: NDArray[np.float64]) -> list[Uptake]:
    """Lesions and spots that differ only in the number of slices."""
    lesions = 0 if rng.random() < HEALTHY else int(rng.integers(LESIONS[0], LESIONS[1] + 1))
    lesion = [True] * lesions + [False] * int(rng.integers(SPOTS[0], SPOTS[1] + 1))
    chosen: list[NDArray[np.float64]] = []
    for place in rng.permutation(places):
        if len(chosen) < len(lesion) and all(np.hypot(*(place - other)) >= APART_MM for other in chosen):
            chosen.append(place)
    drawn = []
    # The places are in random order: which are those of lesions says nothing of them.
    for place, is_lesion in zip(chosen, rng.permutation(lesion), strict=False):
        low, high = LESION_SLICES if is_lesion else SPOT_SLICES
        count = int(rng.integers(low, high + 1))
        first = int(rng.integers(0, trunk - count + 1))
        a, b = rng.uniform(10, 18, 2)
        angle, suv = rng.uniform(0, np.pi), rng.uniform(8, 14)
        x, y = map(float, place)
        drawn.append(Uptake(first, first + count, x, y, a, b, angle, suv, bool(is_lesion)))
    return drawn


def _single(rng: np.random.Generator, trunk: int, places: NDArray[np.float64]) -> list[Uptake]:
    """Lesions and spots of one slice each, which differ within the slice."""
    drawn = []
    for number in range(trunk):
        for is_lesion, share in ((True, LESION_SHARE), (False, SPOT_SHARE)):
            if rng.random() < share:
                x, y = map(float, places[rng.integers(len(places))])
                long = rng.uniform(1.4, 2.2) if is_lesion else rng.uniform(1, 1.5)
                radius = rng.uniform(11, 16)
                suv = rng.uniform(9, 15) if is_lesion else rng.uniform(7, 13)
                a, b = radius * np.sqrt(long), radius / np.sqrt(long)
                drawn.append(Uptake(number, number + 1, x, y, a, b, rng.uniform(0, np.pi), suv, is_lesion))
    return drawn
