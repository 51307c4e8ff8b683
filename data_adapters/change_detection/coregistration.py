"""Estimate the sub-pixel shift between the dates of a pair by phase correlation, from windows of the stream of strips.

Each window is correlated on its own: the cross-power spectra of its bands, normalized to phase alone (Kuglin and Hines
1975), are summed, so that changes of light and season between the dates matter little; the peak of their inverse
transform is refined to 0.01 pixel by a matrix Fourier transform around it (Guizar-Sicairos, Thurman and Fienup 2008).
Windows without a clear peak are ignored, and the shift is the median of the others if they agree.

Written here because scikit-image, which has the same method, is not a dependency and does not rate the peak.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import fft, ndimage

from transect.data_adapters.change_detection.geodesy import metres_per_pixel
from transect.data_adapters.change_detection.maps import Grid, ScoredStrip, Strip

LARGEST_SIDE, SMALLEST_SIDE = 256, 64
"""Sides of the windows in pixels; smaller scenes have no estimate."""

MOST_WINDOWS, MOST_BANDS = 3, 3
"""Windows along each axis, and bands that are used."""

CLEAR_RATIO, CLEAR_HEIGHT, NEIGHBOURHOOD = 2.0, 8.0, 6
"""A clear peak is twice as high as the next one outside its neighbourhood, and 8 times the root mean square."""

CLEAR_SHARE, AGREEING_SHARE, AGREEMENT = 1 / 4, 2 / 3, 0.5
"""A quarter of the windows must be clear, and two thirds of those within half a pixel of their median."""

TAPER = 16
"""Pixels over which a window fades out towards pixels without data, whose outline is the same at both dates."""

LARGEST_SHIFT = 0.5
"""A longer shift, in pixels, is warned about."""

_Windows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Before and after `(windows, bands, rows, side)`, and valid `(windows, rows, side)`."""


@dataclass(frozen=True)
class Shift:
    """How far the first date lies to the right of and below the second, in pixels of the common grid."""

    columns: float
    rows: float

    @property
    def pixels(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.columns, self.rows))

    def facts(self) -> dict[str, float | str]:
        """`shift` in words and its length, `shift_pixels`."""
        return {"shift": self._components(), "shift_pixels": round(self.pixels, 2)}

    def warnings(self, grid: Grid) -> list[str]:
        """A line about a shift above LARGEST_SHIFT."""
        if self.pixels <= LARGEST_SHIFT:
            return []
        across, down = metres_per_pixel(np.array([[grid.width / 2, grid.height / 2]]), grid)[0]
        metres = float(np.hypot(self.columns * across, self.rows * down))
        size = f"{self.pixels:.2f} pixels" + (f" ({metres:,.1f} m)" if np.isfinite(metres) else "")
        advice = "the edges of objects may be marked as change; co-register the dates first"
        return [f"the first date is shifted against the second by {size}: {self._components()}; {advice}"]

    def _components(self) -> str:
        return f"{self.columns:+.2f} columns, {self.rows:+.2f} rows"


class Coregistration:
    """Collects windows of a pair from its strips and estimates the shift; memory holds one row of windows.

    Args:
        grid: The common grid of the pair.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.side = side = min(LARGEST_SIDE, max(SMALLEST_SIDE, min(grid.width, grid.height) // 2))
        usable = min(grid.width, grid.height) >= side
        self._waiting = {top: _starts(grid.width, side) for top in _starts(grid.height, side)} if usable else {}
        self._pieces: dict[int, list[_Windows]] = {}
        self._usable = 0
        self._peaks: list[tuple[float, float]] = []

    def add(self, strip: Strip) -> None:
        """Take in the next strip, from top to bottom."""
        end = strip.row + len(strip.valid)
        for top, lefts in list(self._waiting.items()):
            first, last = max(top, strip.row), min(top + self.side, end)
            if first < last:
                rows = slice(first - strip.row, last - strip.row)
                self._pieces.setdefault(top, []).append(_windows(strip, rows, lefts, self.side))
            if end >= top + self.side:
                del self._waiting[top]
                self._correlate(self._pieces.pop(top))

    def observed(self, blocks: Iterable[ScoredStrip]) -> Iterator[ScoredStrip]:
        """Pass on the blocks of a change map and take in their pixels."""
        for block in blocks:
            if block.pixels is not None:
                self.add(block.pixels)
            yield block

    def findings(self) -> tuple[dict[str, float | str], list[str]]:
        """Facts about the shift, in words and its length in pixels, and warnings of it; empty without an estimate."""
        shift = self.shift()
        return (shift.facts(), shift.warnings(self.grid)) if shift else ({}, [])

    def shift(self) -> Shift | None:
        """The shift, or None if the pair does not show one clearly: too small, flat, or largely changed."""
        if len(self._peaks) < max(CLEAR_SHARE * self._usable, min(2, self._usable), 1):
            return None
        peaks = np.array(self._peaks)
        columns, rows = np.median(peaks, axis=0)
        agreeing = np.hypot(*(peaks - (columns, rows)).T) < AGREEMENT
        if agreeing.mean() < AGREEING_SHARE:
            return None
        return Shift(float(columns), float(rows))

    def _correlate(self, pieces: list[_Windows]) -> None:
        """Rate the windows of one row of windows."""
        whole = (np.concatenate(parts, axis=-2) for parts in zip(*pieces, strict=True))
        for before, after, valid in zip(*whole, strict=True):
            weight = _taper(valid)
            if weight.sum() < _hann(self.side).sum() / 2:
                continue
            self._usable += 1
            if (peak := _peak(_spectrum(before, after, weight), self.side)) is not None:
                self._peaks.append(peak)


def _starts(length: int, side: int) -> list[int]:
    """First pixels of at most MOST_WINDOWS windows, spread evenly, that overlap by half at most."""
    count = min(MOST_WINDOWS, max(1, 2 * length // side - 1))
    return sorted({round(start) for start in np.linspace(0, length - side, count)})


def _windows(strip: Strip, rows: slice, lefts: list[int], side: int) -> _Windows:
    """Copies of some rows of the windows that start at the columns `lefts`."""
    before, after = (
        np.stack([image[:MOST_BANDS, rows, left : left + side] for left in lefts])
        for image in (strip.before, strip.after)
    )
    return before, after, np.stack([strip.valid[rows, left : left + side] for left in lefts])


@cache
def _hann(side: int) -> np.ndarray:
    """The square window of Hann, which suppresses the edges of the image."""
    ramp = np.sin(np.pi * (np.arange(side) + 0.5) / side).astype(np.float32) ** 2
    return np.outer(ramp, ramp)


@cache
def _low_pass(side: int) -> np.ndarray:
    """Weights of the frequencies of a real transform: a Gaussian, since the highest ones are noise and aliases."""
    squared = fft.fftfreq(side)[:, None] ** 2 + fft.rfftfreq(side)[None] ** 2
    weights = np.where(squared > 0.35**2, 0, np.exp(-0.5 * squared / 0.15**2))
    weights[0, 0] = 0
    return weights.astype(np.float32)


def _taper(valid: np.ndarray) -> np.ndarray:
    """The Hann window, faded to 0 towards pixels without data."""
    window = _hann(len(valid))
    if valid.all():
        return window
    distance = np.minimum(ndimage.distance_transform_edt(valid) / TAPER, 1)
    return (window * np.sin(np.pi / 2 * distance) ** 2).astype(np.float32)


def _spectrum(before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sum over bands of the phases of the cross-power spectrum, low-passed, complex64 `(side, side // 2 + 1)`."""
    first, second = (_transform(image.astype(np.float32), weight) for image in (before, after))
    cross = first * second.conj()
    size = np.abs(cross)
    phases = np.divide(cross, size, out=np.zeros_like(cross), where=size > 1e-12 * size.max(initial=0))
    return phases.sum(axis=0) * _low_pass(len(weight))


def _transform(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite give no peak
        mean = (image * weight).sum(axis=(1, 2), keepdims=True) / weight.sum()
        return fft.rfft2((image - mean) * weight)


def _peak(spectrum: np.ndarray, side: int) -> tuple[float, float] | None:
    """Column and row of the peak of the correlation within an eighth of the window, or None if it is not clear."""
    surface = fft.irfft2(spectrum, (side, side))
    reach = side // 8
    near = np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, column = np.unravel_index(near.argmax(), near.shape)
    height, rows, columns = near[row, column], *np.ogrid[: 2 * reach + 1, : 2 * reach + 1]
    elsewhere = near[np.maximum(abs(rows - row), abs(columns - column)) > NEIGHBOURHOOD]
    if not height > max(CLEAR_HEIGHT * np.sqrt((surface**2).mean()), CLEAR_RATIO * elsewhere.max(initial=0)):
        return None
    x, y = float(column - reach), float(row - reach)
    for step in (0.1, 0.01):
        x, y = _refined(spectrum, side, x, y, step)
    return x, y


def _refined(spectrum: np.ndarray, side: int, x: float, y: float, step: float) -> tuple[float, float]:
    """The highest of the correlations at 21 x 21 positions around a peak, `step` pixels apart."""
    offsets = step * np.arange(-10, 11)
    down = np.exp(2j * np.pi * np.outer(y + offsets, fft.fftfreq(side)))
    across = np.exp(2j * np.pi * np.outer(fft.rfftfreq(side), x + offsets))
    across[1:] *= 2  # a real transform holds half of the frequencies
    values = (down @ spectrum @ across).real
    row, column = np.unravel_index(values.argmax(), values.shape)
    return float(x + offsets[column]), float(y + offsets[row])
