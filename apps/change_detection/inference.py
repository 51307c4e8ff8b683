"""Tiled inference for image pairs of any size: overlapping tiles are blended, memory is bounded by one row of tiles.

Written here because the sliding-window helpers of the usual libraries hold the whole scene and its accumulated scores.
Scores are summed as integers under integer weights with the same total at every pixel, so blending is exact: where
all tiles agree, the blend equals them, however the scene is cut.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transect.data_adapters.blocks import aligned
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, ScoredStrip, Strip

STEPS = 64  # per level of the map: finer than its resolution, while integer sums stay below 2**31

ScoreTiles = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(n, bands, height, width) before and after, (n, height, width) valid -> (n, height, width) scores in [0, 1]."""


@dataclass(frozen=True)
class Tiling:
    """Tiles of `size` pixels that share `overlap` pixels with each neighbour, starting at the upper left corner.

    A scene smaller than a tile gets one tile of its own size. Tiles that extend past the lower or right edge are
    padded by reflection.
    """

    size: int
    overlap: int

    def starts(self, length: int) -> list[int]:
        """The first pixel of every tile along an axis of `length` pixels."""
        stride = self.size - self.overlap
        return list(range(0, max(length - self.overlap, 1), stride))

    def weights(self, index: int, count: int, extent: int) -> np.ndarray:
        """Integer weights along one axis of tile `index` of `count`: ramps towards neighbours, else flat.

        Overlapping weights add up to 2 * overlap (1 without overlap) at every pixel.
        """
        ramp = 2 * np.arange(self.overlap, dtype=np.int32) + 1
        weights = np.full(extent, self.total, np.int32)
        if index > 0:
            weights[: self.overlap] = ramp
        if index < count - 1:
            weights[extent - self.overlap :] = ramp[::-1]
        return weights

    @property
    def total(self) -> int:
        """The sum of the weights of all tiles at a pixel, along one axis."""
        return max(2 * self.overlap, 1)


def score_rows(
    strips: Iterable[Strip], height: int, width: int, tiling: Tiling, score: ScoreTiles, batch: int
) -> Iterator[tuple[Strip, np.ndarray]]:
    """Yield finished rows from top to bottom: the pair's own pixels and their levels, uint8 (rows, width).

    Levels are NODATA where the pair is not valid.

    Args:
        strips: consecutive rows of the scene.
        height: of the scene, in pixels.
        width: of the scene, in pixels.
        tiling: size and overlap of the tiles.
        score: scores a batch of tiles; never called for tiles without a valid pixel.
        batch: largest number of tiles per call of `score`.
    """
    size, overlap = tiling.size, tiling.overlap
    rows, columns = tiling.starts(height), tiling.starts(width)
    tile_height, tile_width = min(size, height), min(size, width)
    window = _RowWindow(strips)
    sums = np.zeros((tile_height, width), np.int32)
    for index, row in enumerate(rows):
        last = index == len(rows) - 1
        window.advance(row, min(row + tile_height, height))
        down = tiling.weights(index, len(rows), tile_height)
        for start in range(0, len(columns), batch):
            numbers = range(start, min(start + batch, len(columns)))
            tiles = [window.tile(row, columns[n], tile_height, tile_width) for n in numbers]
            kept = [(n, tile) for n, tile in zip(numbers, tiles, strict=True) if tile.valid.any()]
            if not kept:
                continue
            before, after, valid = (np.stack([getattr(tile, part) for _, tile in kept]) for part in _PARTS)
            for (n, _), scores in zip(kept, score(before, after, valid), strict=True):
                steps = np.rint(np.clip(np.nan_to_num(scores), 0, 1) * (LEVELS * STEPS)).astype(np.int32)
                across = tiling.weights(n, len(columns), tile_width)
                inside = min(columns[n] + tile_width, width) - columns[n]
                sums[:, columns[n] : columns[n] + inside] += (steps * across * down[:, None])[:, :inside]
        finished = height - row if last else size - overlap
        strip = window.rows(row, finished)
        unit = tiling.total**2 * STEPS
        levels = ((sums[:finished] + unit // 2) // unit).astype(np.uint8)
        levels[~strip.valid] = NODATA
        yield strip, levels
        sums[: tile_height - finished] = sums[finished:]
        sums[tile_height - finished :] = 0


def average(predictions: Sequence[Iterable[ScoredStrip]]) -> Iterator[ScoredStrip]:
    """The mean of several predictions for one scene, with their sample standard deviation as `spread`.

    Both are rounded to levels. The strips of the predictions may be cut differently.
    """
    for parts in aligned(predictions, lambda strip: len(strip.levels)):
        levels = np.stack([strip.levels[rows] for strip, rows in parts])
        known = (levels != NODATA).all(axis=0)
        mean, spread = (
            np.where(known, np.floor(values + 0.5), NODATA).astype(np.uint8)
            for values in (levels.mean(axis=0), levels.std(axis=0, ddof=1))
        )
        strip, rows = parts[0]
        yield ScoredStrip(strip.row + rows.start, mean, strip.pixels and _cropped(strip.pixels, rows), spread)


def _cropped(strip: Strip, rows: slice) -> Strip:
    return Strip(strip.row + rows.start, *(getattr(strip, part)[..., rows, :] for part in _PARTS))


_PARTS = ("before", "after", "valid")


class _RowWindow:
    """Buffers the strips that the current row of tiles needs; earlier ones are released."""

    def __init__(self, strips: Iterable[Strip]) -> None:
        self._strips = iter(strips)
        self._buffer: list[Strip] = []

    def advance(self, top: int, bottom: int) -> None:
        """Buffer rows `top` to `bottom` and release the strips that end above `top`."""
        self._buffer = [strip for strip in self._buffer if _end(strip) > top]
        while not self._buffer or _end(self._buffer[-1]) < bottom:
            strip = next(self._strips)
            if _end(strip) > top:
                self._buffer.append(strip)

    def rows(self, row: int, count: int) -> Strip:
        """Rows `row` to `row + count` at full width."""
        return self._cut(row, count, slice(None))

    def tile(self, row: int, column: int, height: int, width: int) -> Strip:
        """A tile of exactly `height` x `width`, padded by reflection past the lower and right edges."""
        inside = self._cut(row, height, slice(column, column + width))
        missing = (height - inside.valid.shape[0], width - inside.valid.shape[1])
        if not any(missing):
            return inside
        return Strip(row, *(_mirror(getattr(inside, part), missing) for part in _PARTS))

    def _cut(self, row: int, count: int, columns: slice) -> Strip:
        pieces = [
            (strip, slice(max(row - strip.row, 0), row + count - strip.row))
            for strip in self._buffer
            if strip.row < row + count and _end(strip) > row
        ]
        return Strip(row, *(_join([getattr(s, part)[..., rows, columns] for s, rows in pieces]) for part in _PARTS))


def _end(strip: Strip) -> int:
    return strip.row + strip.valid.shape[0]


def _join(pieces: Sequence[np.ndarray]) -> np.ndarray:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-2)


def _mirror(values: np.ndarray, missing: tuple[int, int]) -> np.ndarray:
    padding = [(0, 0)] * (values.ndim - 2) + [(0, missing[0]), (0, missing[1])]
    return np.pad(values, padding, mode="symmetric")
