"""Procedural terrain of the synthetic pairs: fields, woods, water and roads, with texture at all scales."""

from dataclasses import dataclass
from functools import cache

import numpy as np

SIZE = 256

# Red, green, blue, and vegetation fraction.
CROPS = (
    (0.30, 0.38, 0.22, 1.0),
    (0.40, 0.46, 0.27, 0.9),
    (0.52, 0.50, 0.33, 0.5),
    (0.50, 0.42, 0.31, 0.1),
    (0.40, 0.34, 0.26, 0.1),
    (0.58, 0.53, 0.42, 0.1),
    (0.34, 0.43, 0.30, 0.9),
)
WOOD, WATER, ROAD = (0.19, 0.26, 0.16), (0.15, 0.22, 0.27), (0.54, 0.52, 0.49)
FIELDS = 64


@dataclass(frozen=True)
class Ground:
    """Terrain without objects.

    Args:
        colour: `(SIZE, SIZE, 3)` float32 in [0, 1].
        vegetation: `(SIZE, SIZE)`, fraction of vegetation.
        parcel: `(SIZE, SIZE)`, each pixel's index into `fields`.
        fields: `(FIELDS, 4)`, colour and vegetation fraction of each field.
        roughness: `(SIZE, SIZE)`, noise of unit variance at the finest scales.
        angle: Orientation of fields and buildings, radians.
        coarse: True for satellite resolution, False for aerial.
    """

    colour: np.ndarray
    vegetation: np.ndarray
    parcel: np.ndarray
    fields: np.ndarray
    roughness: np.ndarray
    angle: float
    coarse: bool


def draw_ground(rng: np.random.Generator) -> Ground:
    """Random terrain at aerial or satellite resolution, with about equal probability."""
    angle = rng.uniform(0, np.pi)
    coarse = rng.random() < 0.5
    spacing = rng.uniform(7, 30) if coarse else rng.uniform(40, 120)
    along, across = _rotated(angle, rng.uniform(0, 0.25) * spacing * smooth_field(rng, 4))
    parcel, to_edge = _parcels(rng, along, across, spacing)
    fields = np.array(CROPS, np.float32)[rng.choice(len(CROPS), FIELDS, p=rng.dirichlet(np.ones(len(CROPS))))]
    fields[:, :3] += rng.normal(0, 0.04, (FIELDS, 1)) + rng.normal(0, 0.012, (FIELDS, 3))
    roughness = (_fractal(rng, (64, 128), 0.9) + rng.standard_normal((SIZE, SIZE), np.float32)) / np.float32(2**0.5)
    ploughed = np.sin(2 * np.pi * along / rng.uniform(3, 9)) * (0.02 * rng.random(FIELDS, np.float32) ** 2)[parcel]

    colour = fields[parcel][..., :3] + ploughed[..., None]
    vegetation = fields[parcel][..., 3]
    shade = 1 + 0.10 * _fractal(rng, (4, 8, 16, 32), 0.7) + rng.uniform(0.02, 0.06) * roughness

    tracks = to_edge < rng.uniform(0.2, 1.5) * (rng.random() < 0.6)
    wood = _fractal(rng, (5, 10, 20, 40, 80), 0.6) > rng.uniform(0.3, 2.5)
    river, road = (abs(smooth_field(rng, cells)) for cells in (3, 2))
    water = (river < rng.uniform(0, 0.15) * (rng.random() < 0.4)) | (smooth_field(rng, 5) > rng.uniform(1.8, 4))
    paved = road < rng.uniform(0.01, 0.05) * (rng.random() < 0.5)
    for mask, surface, share in ((tracks, ROAD, 0.2), (wood, WOOD, 1.0), (water, WATER, 0.0), (paved, ROAD, 0.0)):
        colour[mask] = surface
        vegetation[mask] = share
    # Tree crowns are rougher than crops, and water is smooth.
    shade = np.where(wood & ~water & ~paved, shade + 0.13 * roughness, np.where(water, 1 + 0.2 * (shade - 1), shade))
    colour = np.clip(colour * shade[..., None], 0.02, 0.95).astype(np.float32)
    return Ground(colour, vegetation, parcel, fields, roughness, angle, coarse)


def smooth_field(rng: np.random.Generator, cells: int) -> np.ndarray:
    """A random field of unit variance with correlation length SIZE / cells pixels: (SIZE, SIZE) float32, B-splines."""
    basis = _splines(cells)
    return basis @ rng.standard_normal((basis.shape[1],) * 2, np.float32) @ basis.T


def _fractal(rng: np.random.Generator, cells: tuple[int, ...], persistence: float) -> np.ndarray:
    """Sum of `smooth_field` octaves, each weaker by the factor `persistence`, scaled to unit variance."""
    weights = persistence ** np.arange(len(cells), dtype=np.float32)
    weights /= np.sqrt((weights**2).sum())
    total = np.zeros((SIZE, SIZE), np.float32)
    for weight, octave in zip(weights, cells, strict=True):
        total += weight * smooth_field(rng, octave)
    return total


@cache
def _splines(cells: int) -> np.ndarray:
    """Uniform cubic B-spline basis at every pixel, (SIZE, cells + 3), scaled to unit variance for unit weights."""
    positions = (np.arange(SIZE) + 0.5) * cells / SIZE + 1
    distance = abs(positions[:, None] - np.arange(cells + 3))
    near, far = 2 / 3 - distance**2 + distance**3 / 2, np.clip(2 - distance, 0, None) ** 3 / 6
    splines = np.where(distance < 1, near, far)
    return (splines / np.sqrt((splines**2).sum(axis=1).mean())).astype(np.float32)


def _rotated(angle: float, bend: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, x = (axis.astype(np.float32) for axis in np.ogrid[:SIZE, :SIZE])
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cosine + y * sine + bend, y * cosine - x * sine + bend[::-1]


def _parcels(
    rng: np.random.Generator, along: np.ndarray, across: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the field at each pixel, in rows of random width with random cuts, and the distance to the row edges."""
    cuts = np.cumsum(rng.uniform(0.4, 1.6, int(4 * SIZE / spacing) + 8)) * spacing - 2 * SIZE
    row = np.searchsorted(cuts, across.ravel()).reshape(across.shape).clip(1, len(cuts) - 1)
    to_edge = np.minimum(across - cuts[row - 1], cuts[row] - across)
    offset = rng.uniform(-SIZE, SIZE, len(cuts) + 1)[row]
    column = ((along + offset) / (spacing * rng.uniform(0.8, 2.5, len(cuts) + 1)[row])).astype(np.int32)
    return (row * 7919 + column * 104729) % FIELDS, to_edge
