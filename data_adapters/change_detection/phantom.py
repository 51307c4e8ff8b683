"""Synthetic image pairs with known change, in the layout of LEVIR-CD, for tests and the demo.

A pair is generated in two steps. `draw_scene` renders the ground at both dates without noise; the label is where they
differ. `observe` then simulates the sensor at each date: illumination and shadows, season, haze, gains, blur,
misregistration and noise, none of which counts as change. A model has to separate the two.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from transect.data_adapters.change_detection.difficulty import EASY, HARD, Difficulty
from transect.data_adapters.change_detection.terrain import SIZE, Ground, draw_ground, smooth_field
from transect.data_adapters.listing import phantom_splits

ROOFS = ((0.86, 0.86, 0.84), (0.62, 0.62, 0.64), (0.30, 0.30, 0.33), (0.64, 0.38, 0.30), (0.38, 0.50, 0.68))
PATCHES = ((0.66, 0.56, 0.44), (0.13, 0.11, 0.10), (0.15, 0.22, 0.29), (0.72, 0.70, 0.67), (0.27, 0.40, 0.20))
"""Cleared, burnt, flooded, paved and overgrown ground."""

SMALLEST = 4
CONTRAST = 0.14
"""Minimum mean luminance difference between an object and the ground that it replaces."""

LUMINANCE = np.array([0.30, 0.59, 0.11], dtype=np.float32)


@dataclass(frozen=True)
class SyntheticScene:
    """A scene at two dates without noise.

    `before` and `after` are (SIZE, SIZE, 3) float32, `heights` those of the buildings at each date, (SIZE, SIZE) in
    pixels. `passing` is (SIZE, SIZE) bool, where a difference does not count. `label` is (SIZE, SIZE) bool, True
    exactly where `before` and `after` differ otherwise.
    """

    ground: Ground
    before: np.ndarray
    after: np.ndarray
    heights: tuple[np.ndarray, np.ndarray]
    passing: np.ndarray

    @property
    def label(self) -> np.ndarray:
        return (self.before != self.after).any(axis=-1) & ~self.passing


def write_phantom(root: Path, count: int, seed: int, hard: bool = False) -> None:
    """Write `count` pairs as root/{train,val,test}/{A,B,label}/NAME.png: 256 x 256, RGB uint8, labels 0 and 255.

    70 % are for training; with three or more pairs no split is empty. Every fourth pair shows no change, every
    sixteenth is the same image twice. The same `seed` gives the same pixels.

    With `hard`, new and demolished buildings are the change, many and small; patches of ground that changed as well,
    a strong seasonal colour, long cast shadows and a shift of one pixel between the dates are not. Two thirds of the
    pairs are for training, the others for the test, and none for validation.
    """
    splits = ["train"] * -(-2 * count // 3) + ["test"] * (count // 3) if hard else phantom_splits(count)
    for index, split in enumerate(splits):
        rng = np.random.default_rng((seed, index))
        before, after, label = draw_hard_pair(rng) if hard else draw_pair(rng, index)
        for side, pixels in (("A", before), ("B", after), ("label", label)):
            path = root / split / side / f"{split}_{index + 1}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, compress_level=1)


def draw_pair(rng: np.random.Generator, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two (SIZE, SIZE, 3) uint8 images and their (SIZE, SIZE) uint8 label of 0 and 255."""
    scene = draw_scene(rng, changes=index % 4 != 3)
    grey = rng.random() < 0.2
    stretch = rng.random() < 0.5
    low_contrast = rng.random() < 0.12
    images = [
        observe(rng, scene, date, grey=grey, stretch=stretch, low_contrast=low_contrast, shift=date == 0)
        for date in (0, 1)
    ]
    if index % 16 == 7:
        images[1] = images[0]
    return images[0], images[1], scene.label.astype(np.uint8) * 255


def draw_hard_pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `draw_pair`, with what makes small data sets hard to learn from."""
    scene = draw_scene(rng, changes=True, difficulty=HARD)
    before, after = (observe(rng, scene, date, shift=date == 0, difficulty=HARD) for date in (0, 1))
    return before, after, scene.label.astype(np.uint8) * 255


def draw_scene(rng: np.random.Generator, changes: bool, difficulty: Difficulty = EASY) -> SyntheticScene:
    """Terrain with buildings and patches; with `changes`, some of them at one date only."""
    ground = draw_ground(rng)
    images = (ground.colour.copy(), ground.colour.copy())
    heights = (np.zeros((SIZE, SIZE), np.int8), np.zeros((SIZE, SIZE), np.int8))
    standing = rng.integers(*difficulty.standing) if rng.random() < difficulty.built else 0
    changing = rng.integers(*difficulty.changing) if changes else 0
    passing = rng.integers(*difficulty.passing) if difficulty.passing else 0
    uncounted = np.zeros((SIZE, SIZE), bool)
    for kind in rng.permutation(["changing"] * changing + ["standing"] * standing + ["passing"] * passing):
        dates = (0, 1) if kind == "standing" else ((0,), (1,))[rng.integers(2)]
        building = rng.random() < (0.3 if ground.coarse else 0.8)
        if difficulty.passing:
            building = kind == "changing" or (kind == "standing" and building)
        inside = _place(rng, ground, images, heights, dates, building, difficulty.largest)
        uncounted[inside] = kind == "passing"
    return SyntheticScene(ground, *images, heights, uncounted)


def _place(
    rng: np.random.Generator,
    ground: Ground,
    images: tuple[np.ndarray, np.ndarray],
    heights: tuple[np.ndarray, np.ndarray],
    dates: tuple[int, ...],
    building: bool,
    largest: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Paint one building or patch on the images of `dates`; returns the rows and columns of its pixels."""
    length = SMALLEST * (largest / SMALLEST) ** rng.beta(1.5, 1.5)
    width = max(length * rng.uniform(0.35, 1), SMALLEST)
    angle = ground.angle + rng.integers(2) * np.pi / 2 + (rng.normal(0, 0.1) if building else rng.uniform(0, np.pi))
    row, column = rng.uniform(0, SIZE, 2)
    reach = int(np.hypot(length, width) / 2) + 2
    rows = slice(max(0, int(row) - reach), min(SIZE, int(row) + reach + 1))
    columns = slice(max(0, int(column) - reach), min(SIZE, int(column) + reach + 1))
    y, x = (
        np.arange(rows.start, rows.stop, dtype=np.float32)[:, None],
        np.arange(columns.start, columns.stop, dtype=np.float32),
    )
    along = ((x - column) * np.cos(angle) + (y - row) * np.sin(angle)) / (length / 2)
    across = ((y - row) * np.cos(angle) - (x - column) * np.sin(angle)) / (width / 2)
    inside = _block(rng, along, across) if building else _patch(rng, along, across)
    painted_rows, painted_columns = np.nonzero(inside)
    at = (painted_rows + rows.start, painted_columns + columns.start)
    if not inside.any():
        return at
    under = images[dates[0]][rows, columns][inside]
    colour = _distinct(rng, (ROOFS if building else PATCHES)[rng.integers(5)], under.mean(axis=0))
    # A pitched roof is brighter on one side; ground patches have the texture of their surroundings.
    relief = 0.06 * np.sign(across) * (rng.random() < 0.5) if building else 0.05 * ground.roughness[rows, columns]
    painted = colour + (relief + 0.015 * ground.roughness[rows, columns])[inside][:, None]
    for date in dates:
        images[date][rows, columns][inside] = painted
        heights[date][rows, columns][inside] = rng.integers(1, 6) if building else 0
    return at


def _block(rng: np.random.Generator, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Mask of a rectangle or L shape; coordinates are in half lengths and half widths."""
    inside = (abs(along) <= 1) & (abs(across) <= 1)
    return inside & ~((along > 0.1) & (across > 0.1)) if rng.random() < 0.25 else inside


def _patch(rng: np.random.Generator, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Mask of a rectangle, or of a blob with a Fourier-perturbed circular outline."""
    if rng.random() < 0.4:
        return (abs(along) <= 1) & (abs(across) <= 1)
    direction = np.arctan2(across, along)
    outline = 0.75 + sum(rng.normal(0, 0.12) * np.cos(waves * direction + rng.uniform(0, 6.3)) for waves in (2, 3, 5))
    return np.hypot(along, across) <= outline


def _distinct(rng: np.random.Generator, colour: tuple[float, ...], under: np.ndarray) -> np.ndarray:
    """`colour` with random variation, and with at least CONTRAST to the luminance of the ground `under` it."""
    varied = np.array(colour, np.float32) + rng.normal(0, 0.03, 3).astype(np.float32)
    difference = float((varied - under) @ LUMINANCE)
    away = 1 if (difference > 0 and under @ LUMINANCE < 0.6) or under @ LUMINANCE < CONTRAST + 0.05 else -1
    return varied + np.float32(max(0.0, CONTRAST - away * difference) * away if abs(difference) < CONTRAST else 0)


def observe(
    rng: np.random.Generator,
    scene: SyntheticScene,
    date: int,
    grey: bool = False,
    stretch: bool = False,
    low_contrast: bool = False,
    shift: bool = False,
    difficulty: Difficulty = EASY,
) -> np.ndarray:
    """Simulate the sensor image of `scene` at one date.

    Args:
        rng: Source of all random parameters.
        scene: The scene without noise.
        date: 0 for before, 1 for after.
        grey: Three equal bands.
        stretch: Map the 2nd to 98th percentile to the full range, as viewers do.
        low_contrast: Compress the range.
        shift: Misregister the date.
        difficulty: Strength of season, shadows and misregistration.

    Returns:
        `(SIZE, SIZE, 3)` uint8.
    """
    bands = np.ascontiguousarray(np.moveaxis((scene.before, scene.after)[date], -1, 0))
    bands += _season(rng, scene.ground, difficulty.season)
    light = 1 + 0.05 * smooth_field(rng, 3) - difficulty.shadow * _shadows(rng, scene.heights[date], difficulty.reach)
    bands = bands * light * _each_band(rng, rng.normal(1, 0.12), 0.04) + _each_band(rng, 0, 0.015)
    if rng.random() < 0.25:
        haze = np.float32(rng.uniform(0.03, 0.15)) * np.clip(smooth_field(rng, 3), 0, 2)
        bands = bands * (1 - haze) + 0.8 * haze
    if grey:
        bands = np.tensordot(rng.dirichlet([2, 2, 2]).astype(np.float32), bands, 1)[None]
    rows, columns = _optics(rng, shift, difficulty.shift)
    bands = rows @ bands @ columns.T
    bands += np.float32(rng.uniform(0.001, 0.02)) * rng.standard_normal(bands.shape, np.float32)
    if stretch:
        low, high = np.percentile(bands[:, ::4, ::4], (2, 98), axis=(1, 2), keepdims=True).astype(np.float32)
        bands = (bands - low) / np.maximum(high - low, 0.2)
    bands = np.clip(bands, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    if low_contrast:
        bands = np.float32(rng.uniform(0.15, 0.45)) + np.float32(rng.uniform(0.2, 0.4)) * bands
    levels = np.rint(np.clip(bands, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(levels, 0, -1), (SIZE, SIZE, 3)))


def _each_band(rng: np.random.Generator, mean: float, spread: float) -> np.ndarray:
    return rng.normal(mean, spread, (3, 1, 1)).astype(np.float32)


def _season(rng: np.random.Generator, ground: Ground, strength: float) -> np.ndarray:
    """Seasonal offset: greener or drier vegetation, and differences between fields, below any change at strength 1."""
    tint = rng.normal(0, 0.03) * np.array([1, 0.4, 0.5], np.float32) + rng.normal(0, 0.01, 3).astype(np.float32)
    by_field = rng.normal(0, 0.015, len(ground.fields)).astype(np.float32)
    tint, by_field = np.float32(strength) * tint, np.float32(strength) * by_field
    return ground.vegetation * tint[:, None, None] + by_field[ground.parcel]


def _shadows(rng: np.random.Generator, heights: np.ndarray, reach: tuple[float, float]) -> np.ndarray:
    """Shadow strength of buildings, 0 to 1; length is proportional to height, direction opposite to the sun."""
    azimuth, length = rng.uniform(0, 2 * np.pi), rng.uniform(*reach)
    shaded = np.zeros(heights.shape, bool)
    for height in range(1, 6):
        steps = np.rint(height * length * np.array([np.sin(azimuth), np.cos(azimuth)])).astype(int)
        shaded |= np.roll(heights, steps, axis=(0, 1)) >= height
    return (shaded & (heights == 0)) * np.float32(rng.uniform(0.4, 1))


def _optics(rng: np.random.Generator, shift: bool, distance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Row and column resampling as (SIZE, SIZE) matrices: blur, shift, and sometimes half the resolution."""
    blur = rng.uniform(0.4, 0.9)
    shifts = _shift(rng, distance) if shift else (0.0, 0.0)
    coarse = rng.random() < 0.2
    positions = np.arange(SIZE, dtype=np.float32)
    matrices = []
    for offset in shifts:
        weights = np.exp(-0.5 * ((positions[None, :] - positions[:, None] - offset) / blur) ** 2).astype(np.float32)
        weights[weights < 1e-6] = 0  # avoids denormals, which are slow to multiply
        weights /= weights.sum(axis=1, keepdims=True)
        matrices.append(_halved() @ weights if coarse else weights)
    return matrices[0], matrices[1]


def _shift(rng: np.random.Generator, distance: float | None) -> tuple[float, float]:
    """Rows and columns: up to one along each axis, or together `distance` in a random direction."""
    if distance is None:
        down, right = rng.uniform(-1, 1, 2)
        return down, right
    direction = rng.uniform(0, 2 * np.pi)
    return distance * np.sin(direction), distance * np.cos(direction)


@cache
def _halved() -> np.ndarray:
    """Downsampling by averaging two pixels, followed by linear interpolation: a sensor of half the resolution."""
    downsampling = np.kron(np.eye(SIZE // 2), [[0.5, 0.5]])
    positions = np.clip((np.arange(SIZE) - 0.5) / 2, 0, SIZE // 2 - 1)
    upsampling = np.maximum(0, 1 - abs(positions[:, None] - np.arange(SIZE // 2)))
    return (upsampling @ downsampling).astype(np.float32)
