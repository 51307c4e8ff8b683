"""Pictures of an image pair and its change map, collected while the map is streamed."""

import numpy as np

from transect.apps.canvas import Picture
from transect.data_adapters.change_detection.colours import SCORE_COLOURS
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, Grid, ScoredStrip
from transect.data_adapters.change_detection.scene import Scene

LONGEST_SIDE = 1024

CHANGED, _MISSED, _FALSE, _UNKNOWN = ((230, 57, 70), (67, 148, 240), (255, 183, 3), (128, 128, 128))


def decimation(grid: Grid) -> int:
    """The step by which rows and columns are decimated so that the longer side has at most LONGEST_SIDE pixels."""
    return -(-max(grid.width, grid.height) // LONGEST_SIDE)


SAMPLED = 4
"""Every SAMPLED-th row and column of a picture decides its contrast."""


class MapPreview:
    """A decimated copy of both dates, the levels and the label, filled row by row.

    Every n-th row and column is kept, so that the longer side has at most LONGEST_SIDE pixels.
    """

    def __init__(self, sample: Scene, threshold_level: int, labels: bool) -> None:
        """Collect pictures of a map.

        Args:
            sample: the scene that the map is predicted from.
            threshold_level: level from which a pixel counts as changed.
            labels: whether to read the labels of the scene and compare with them.
        """
        self.step = decimation(sample.grid)
        self._labels = sample.labels if labels else None
        self._threshold_level = threshold_level
        names = ("before", "after", "valid", "levels", "spread", "label")
        self._parts: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def add(self, block: ScoredStrip) -> None:
        """Keep every n-th row and column of a block, which must hold its pixels."""
        assert block.pixels is not None
        for name in ("before", "after", "valid"):
            self._keep(name, block.row, getattr(block.pixels, name))
        self._keep("levels", block.row, block.levels)
        if block.spread is not None:
            self._keep("spread", block.row, block.spread)
        if self._labels is not None:
            self._keep("label", block.row, self._labels(block.row, len(block.levels)))

    def _keep(self, name: str, row: int, values: np.ndarray) -> None:
        self._parts[name].append(values[..., -row % self.step :: self.step, :: self.step].copy())

    def pictures(self) -> dict[str, Picture]:
        """The pictures by name: before, after, score, change; spread of an ensemble; label and errors with a label."""
        parts = {name: np.concatenate(pieces, axis=-2) for name, pieces in self._parts.items() if pieces}
        levels, known = parts["levels"], parts["levels"] != NODATA
        changed = known & (levels >= self._threshold_level)
        after = _display(parts["after"], parts["valid"])
        pictures = {
            "before": _display(parts["before"], parts["valid"]),
            "after": after,
            "score": _paint(_score_colours(levels), ~known, _UNKNOWN),
            "change": _paint(_dimmed(after), changed, CHANGED),
        }
        if "spread" in parts:
            pictures["spread"] = _paint(_score_colours(parts["spread"]), ~known, _UNKNOWN)
        if "label" in parts:
            label = parts["label"]
            labelled = label != NODATA
            pictures["label"] = _paint(_paint(_dimmed(after), label == 1, CHANGED), ~labelled, _UNKNOWN)
            errors = _paint(_dimmed(after), changed & (label == 1), CHANGED)
            errors = _paint(errors, changed & (label == 0), _FALSE)
            pictures["errors"] = _paint(errors, known & ~changed & (label == 1), _MISSED)
        return pictures


def _display(values: np.ndarray, valid: np.ndarray) -> Picture:
    """The first three bands (or the first in grey), each stretched between its 1st and 99th percentile."""
    bands = values[[0, 1, 2]] if len(values) >= 3 else values[[0, 0, 0]]
    picture = np.full((*valid.shape, 3), 128, np.uint8)
    if not valid.any():
        return picture
    every = SAMPLED if valid[::SAMPLED, ::SAMPLED].any() else 1
    sampled = valid[::every, ::every]
    for channel, band in enumerate(bands):
        low, high = np.percentile(band[::every, ::every][sampled].astype(np.float32), (1, 99))
        unit = (band.astype(np.float32) - low) * np.float32(255 / max(high - low, 1e-6))
        np.clip(unit, 0, 255, out=unit)
        picture[..., channel] = unit.astype(np.uint8) if valid.all() else np.where(valid, unit, 128).astype(np.uint8)
    return picture


def _score_colours(levels: np.ndarray) -> Picture:
    position = np.minimum(np.arange(256), LEVELS) / LEVELS * (len(SCORE_COLOURS) - 1)
    anchors = np.arange(len(SCORE_COLOURS))
    channels = [np.interp(position, anchors, colours) for colours in zip(*SCORE_COLOURS, strict=True)]
    return np.take(np.stack(channels, axis=-1).astype(np.uint8), levels, axis=0)


def _dimmed(picture: Picture) -> Picture:
    grey = (60 + np.arange(3 * 255 + 1) / 3 * 0.6).astype(np.uint8)[picture.sum(axis=-1, dtype=np.uint16)]
    return np.repeat(grey[..., None], 3, axis=-1)


def _paint(picture: Picture, where: np.ndarray, colour: tuple[int, int, int]) -> Picture:
    painted = picture.copy()
    painted[where] = colour
    return painted
