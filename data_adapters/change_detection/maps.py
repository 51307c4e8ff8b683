"""Data structures between raster files and the change model: grid, row strips, scores and change map."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from affine import Affine
from rasterio.crs import CRS

LEVELS = 200
"""Scores in [0, 1] are quantized to uint8 levels of 1/200, so every threshold with two decimals is exact."""

NODATA = 255
"""The level, class and label of a pixel without data."""


@dataclass(frozen=True)
class Grid:
    """A raster's georeference: the affine `transform` maps (column, row) of a pixel's upper left corner to `crs`."""

    width: int
    height: int
    transform: Affine
    crs: CRS | None


@dataclass(frozen=True)
class Strip:
    """Consecutive rows of an aligned pair, from `row` on.

    `before` and `after` are (bands, rows, width) float32 or the files' own integer type, `valid` is (rows, width)
    bool: False where either date has no data.
    """

    row: int
    before: np.ndarray
    after: np.ndarray
    valid: np.ndarray


class ScoredStrip(NamedTuple):
    """Change scores of consecutive rows of a pair, from `row` on.

    `levels` are (rows, width) uint8, the score in steps of 1/LEVELS, or NODATA; `pixels` is the input strip, where it
    is kept; `spread` is the standard deviation of the scores of an ensemble, like `levels`.
    """

    row: int
    levels: np.ndarray
    pixels: Strip | None = None
    spread: np.ndarray | None = None


@dataclass
class ChangeMap:
    """Change scores on `grid`, as a lazy stream of row `blocks` from top to bottom.

    A pixel is changed where its level is at least `threshold_level`. `dates` are ISO 8601 or None; `progress` is the
    completed fraction; `facts` say how the map was made, for the record of the case, and `warnings` what is in doubt;
    `probabilities` are the calibrated probabilities of change by level, `(256,)` with NaN where there is no such level,
    or None if unknown.
    """

    grid: Grid
    blocks: Iterable[ScoredStrip]
    threshold: float
    dates: tuple[str | None, str | None] = (None, None)
    write_score: bool = False
    write_spread: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    progress: float = 0.0
    probabilities: np.ndarray | None = None

    @property
    def threshold_level(self) -> int:
        return round(self.threshold * LEVELS)


def to_levels(score: np.ndarray) -> np.ndarray:
    """Quantize scores in [0, 1] to uint8 levels, rounded to the nearest of LEVELS steps."""
    return np.rint(np.clip(score, 0, 1) * LEVELS).astype(np.uint8)
