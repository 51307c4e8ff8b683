"""Training tiles of labelled image pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from transect.apps.change_detection.prepare import to_unit
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.change_detection.maps import NODATA
from transect.data_adapters.change_detection.pairs import Pair, missing_partners
from transect.data_adapters.change_detection.scene import Scene


@dataclass(frozen=True)
class _Tile:
    pair: str
    row: int
    column: int
    height: int
    width: int


def trainable(cases: Sequence[Case]) -> list[Pair]:
    """The pairs to train on.

    Raises:
        BadInput: a date or a label is missing; the message names the pairs.
    """
    pairs = [case for case in cases if isinstance(case, Pair)]
    if missing := missing_partners(pairs):
        raise BadInput("training pairs", "partners", "; ".join(missing), "both dates and the label of every pair")
    return pairs


class TrainingTiles(Dataset[dict[str, np.ndarray]]):
    """Tiles of `size` pixels that cover labelled pairs without overlap, read lazily, and again if fewer than `least`.

    An item is `before` and `after`, float32 (bands, size, size) in [0, 1], and `label`, uint8 (size, size): 0, 1, or
    NODATA where nothing is known. Pairs smaller than a tile are padded with NODATA; remainders at the right and
    lower edges are covered by tiles shifted inwards.

    Raises:
        BadInput: a pair has no label.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        size: int,
        limits: Callable[[Scene], np.ndarray],
        read: Callable[[Pair], Scene],
        least: int = 1,
    ) -> None:
        self.size, self._limits_of, self.least = size, limits, least
        self.scenes: dict[str, Scene] = {}
        self.limits: dict[str, np.ndarray] = {}
        self.tiles: list[_Tile] = []
        for pair in pairs:
            if not pair.label:
                raise BadInput(pair.id, "label", "none", "a label raster for every pair to train on")
            self.scenes[pair.id] = read(pair)
            grid = self.scenes[pair.id].grid
            height, width = min(size, grid.height), min(size, grid.width)
            self.tiles += [
                _Tile(pair.id, row, column, height, width)
                for row in _starts(grid.height, height)
                for column in _starts(grid.width, width)
            ]

    def __len__(self) -> int:
        return max(len(self.tiles), self.least)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        tile = self.tiles[index % len(self.tiles)]
        scene = self.scenes[tile.pair]
        if tile.pair not in self.limits:
            self.limits[tile.pair] = self._limits_of(scene)
        strip = scene.window(tile.row, tile.column, tile.height, tile.width)
        label = scene.labels(tile.row, tile.height, tile.column, tile.width)
        before, after = (
            to_unit(values, strip.valid, limits)
            for values, limits in zip((strip.before, strip.after), self.limits[tile.pair], strict=True)
        )
        return {
            "before": _pad(before, self.size, 0.5),
            "after": _pad(after, self.size, 0.5),
            "label": _pad(np.where(strip.valid, label, NODATA).astype(np.uint8), self.size, NODATA),
        }


def _starts(length: int, size: int) -> list[int]:
    return [min(start, length - size) for start in range(0, length, size)]


def _pad(values: np.ndarray, size: int, fill: float) -> np.ndarray:
    missing = [(0, 0)] * (values.ndim - 2) + [(0, size - values.shape[-2]), (0, size - values.shape[-1])]
    return np.pad(values, missing, constant_values=fill)
