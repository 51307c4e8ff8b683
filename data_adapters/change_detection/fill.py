"""Find the values that fill the border of a raster although no tag declares them as nodata, such as collars of 0.

The rule is made for what can be seen in the pixels alone. Fill is one exact value in all bands, touches the border, and
is solid, unlike noise. It is nodata where no other pixels come close to it, as those of dark water do, and

- in types of more than 8 bits, whose values are measured and hardly ever equal in neighbours, if it is 0, an end of the
  type's range or a large negative number;
- in 8 bits, which are those of pictures, if it is 0 and mostly in one date alone: sea is black in both.

Any other fill is warned of.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BORDER, SOLID = 0.02, 0.3
"""Least share of the border that fill covers, and of its own pixels that have eight neighbours of the same value."""

MOST, LEAST = 0.99, 64
"""Largest share and smallest number of the sampled pixels that are fill."""

SHARED = 0.5
"""Share of the fill of a picture that is black in the other date, too, from which on it may be data."""

CLOSE, FEW = 0.02, 0.1
"""A pixel comes close to the fill if in all bands it differs from it by this share of the distance to the median; few
do where they are less than this share of the fill."""

FAR_BELOW = -999
"""Values from here downwards are not measured ones."""


@dataclass(frozen=True)
class Fill:
    """A value that fills a part of the border.

    Args:
        value: The value, in all bands.
        share: Of the sampled pixels.
        nodata: Whether its pixels are treated as nodata.
    """

    value: float
    share: float
    nodata: bool

    def line(self, date: str) -> str:
        """What was found in `date` and what to do."""
        found = f"{100 * self.share:.2g} % of {date}, at its border, are filled with {self.value:g}"
        if self.nodata:
            return f"{found}, which is taken as nodata: if it is data, set read.nodata none"
        return f"{found}: if it means no data, set read.nodata {self.value:g}"


@dataclass(frozen=True)
class Sample:
    """A window of one date.

    Args:
        values: (bands, height, width).
        valid: Which pixels have data, bool (height, width).
        edge: Which pixels are outermost in the scene, bool (height, width).
    """

    values: np.ndarray
    valid: np.ndarray
    edge: np.ndarray

    @property
    def border(self) -> np.ndarray:
        """The outermost of the valid pixels."""
        return self.edge if self.valid.all() else self.valid & (self.edge | ~_solid(self.valid))

    def equal(self, value: float) -> np.ndarray:
        """The valid pixels that have `value` in all bands."""
        equal: np.ndarray = (self.values == self.values.dtype.type(value)).all(axis=0) & self.valid
        return equal

    def without(self, fill: Fill | None) -> tuple[np.ndarray, np.ndarray]:
        """The values and the pixels that are valid, without those of a `fill` that is nodata."""
        if fill is None or not fill.nodata:
            return self.values, self.valid
        return self.values, self.valid & ~self.equal(fill.value)


def find_fill(samples: Sequence[Sample], others: Sequence[Sample]) -> Fill | None:
    """The value that fills most of the border of a raster that declares no nodata.

    Args:
        samples: Windows of one date.
        others: The same windows of the other date.
    """
    border = np.concatenate([sample.values[:, sample.border] for sample in samples], axis=1)
    found = (_fill(samples, others, value) for value in _common(border))
    return next((fill for fill in found if fill), None)


def _fill(samples: Sequence[Sample], others: Sequence[Sample], value: float) -> Fill | None:
    """`value` as fill, if it is solid."""
    filled = [sample.equal(value) for sample in samples]
    area, pixels = (sum(int(mask.sum()) for mask in masks) for masks in (filled, [each.valid for each in samples]))
    solid = sum(
        int(((_solid(mask | ~each.valid) | _line(mask & each.edge)) & mask).sum())
        for mask, each in zip(filled, samples, strict=True)
    )
    if not (LEAST <= area <= MOST * pixels and solid >= SOLID * area):
        return None
    dtype = samples[0].values.dtype
    usual = _special(value, dtype) if dtype.itemsize > 1 else value == 0 and not _shared(filled, others)
    return Fill(value, area / pixels, nodata=usual and _isolated(samples, filled, value))


def _common(border: np.ndarray) -> list[float]:
    """The values that enough pixels of the border, (bands, pixels), have in all bands: special ones, then the first."""
    values, counts = np.unique(border[0][(border == border[0]).all(axis=0)], return_counts=True)
    enough = [float(values[index]) for index in np.argsort(-counts) if counts[index] >= BORDER * border.shape[1]]
    return [value for value in enough if _special(value, border.dtype)] + enough[:1]


def _solid(mask: np.ndarray) -> np.ndarray:
    """The pixels of `mask` with eight neighbours in it; those outside the window count as such."""
    padded = np.pad(mask, 1, constant_values=True)
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    solid: np.ndarray = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return solid


def _line(edge: np.ndarray) -> np.ndarray:
    """The pixels of `edge` with two neighbours in it along it: one row of fill, if the other date cuts off the rest."""
    padded = np.pad(edge, 1, constant_values=True)
    across, down = padded[1:-1, :-2] & padded[1:-1, 2:], padded[:-2, 1:-1] & padded[2:, 1:-1]
    line: np.ndarray = edge & (across | down)
    return line


def _special(value: float, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return bool(value == 0 or value <= FAR_BELOW or value == np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return bool(value in (0, limits.min, limits.max) or value <= FAR_BELOW)


def _shared(filled: Sequence[np.ndarray], others: Sequence[Sample]) -> bool:
    """Whether the other date, where it is valid, is black in much of the filled pixels."""
    known = sum(int((mask & other.valid).sum()) for mask, other in zip(filled, others, strict=True))
    black = sum(int((mask & other.equal(0)).sum()) for mask, other in zip(filled, others, strict=True))
    return black >= SHARED * known


def _isolated(samples: Sequence[Sample], filled: Sequence[np.ndarray], value: float) -> bool:
    others = [each.values[:, each.valid & ~mask] for each, mask in zip(samples, filled, strict=True)]
    distance = np.abs(np.concatenate(others, axis=1).astype(np.float64) - value)
    close = (distance <= CLOSE * np.median(distance, axis=1, keepdims=True)).all(axis=0)
    return bool(close.sum() <= FEW * sum(int(mask.sum()) for mask in filled))
