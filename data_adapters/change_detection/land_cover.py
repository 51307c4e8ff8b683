"""Land cover before and after where it changed: the two labels of SECOND and Landsat-SCD."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.align import Alignment
from transect.data_adapters.change_detection.label_raster import LabelRaster, open_label
from transect.data_adapters.change_detection.labels import WHITE
from transect.data_adapters.change_detection.maps import NODATA, Grid
from transect.data_adapters.change_detection.scene_label import placed

Colour = tuple[int, ...]

NAMES: dict[Colour, str] = {
    # SECOND
    (0, 0, 255): "water",
    (128, 128, 128): "ground",
    (0, 128, 0): "low vegetation",
    (0, 255, 0): "tree",
    (128, 0, 0): "building",
    (255, 0, 0): "playground",
    # Landsat-SCD
    (0, 155, 0): "farmland",
    (255, 165, 0): "desert",
    (230, 30, 100): "building",
    (0, 170, 240): "water",
}
"""Classes by colour. The two data sets have no colour in common."""

MOST_CLASSES = 64


@dataclass(frozen=True)
class LandCover:
    """The land cover of both dates, read onto any part of a scene's grid.

    Args:
        paths: The labels of the first and of the second date.
        after: Path of the second date's raster, for messages.
        grid: Its grid, which labels without georeference have.
    """

    paths: tuple[str, str]
    after: str
    grid: Grid

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the two labels, without that of no change, in alphabetical order.

        Raises:
            BadInput: a label cannot be read, or is no map of classes.
        """
        return tuple(sorted({_name(colour) for path in self.paths for colour in self._colours[path]}))

    def read(self, target: Grid) -> tuple[np.ndarray, np.ndarray]:
        """The class before and after on `target`, uint8 `(height, width)` each.

        Returns:
            Indices into `classes`, 255 where nothing changed, or nothing is known.

        Raises:
            BadInput: a label cannot be read, is no map of classes, or cannot be placed on the grid.
        """
        before, after = (self._read(path, target) for path in self.paths)
        return before, after

    @cached_property
    def _colours(self) -> dict[str, list[Colour]]:
        return {path: _classes_of(path) for path in self.paths}

    def _read(self, path: str, target: Grid) -> np.ndarray:
        known_colours = self._colours[path]
        with open_label(path) as raster:

            def indices(*window: int) -> np.ndarray:
                values, known = raster.read(*window)
                colours, found = _expanded(raster, values), np.full(known.shape, NODATA, np.uint8)
                for colour in known_colours:
                    same = (colours == np.array(colour).reshape(-1, 1, 1)).all(axis=0)
                    found[same & known] = self.classes.index(_name(colour))
                return found

            grid = placed(path, raster.grid, self.after, self.grid)
            return Alignment(grid, target).nearest(indices, NODATA)


def transitions(before: np.ndarray, after: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Where the land cover changed in each way, `(height, width)` bool by a name such as "tree to building".

    Args:
        before: What `LandCover.read` returns of the first date.
        after: And of the second.
        classes: The names of the classes.
    """
    codes = np.where((before == NODATA) | (after == NODATA), -1, before.astype(np.int32) * len(classes) + after)
    found = (int(code) for code in np.unique(codes) if code >= 0)
    return {
        f"{classes[first]} to {classes[second]}": codes == code
        for code in found
        for first, second in [divmod(code, len(classes))]
    }


def _classes_of(path: str) -> list[Colour]:
    """The colours of a label, or its values, without that of no change: white, or the value 0."""
    seen: set[Colour] = set()
    with open_label(path) as raster:
        for colours in raster.colours():
            expanded = _expanded(raster, colours.T[:, :, None])[:, :, 0].T
            seen.update(tuple(int(part) for part in colour) for colour in expanded.tolist())
            if len(seen) > MOST_CLASSES:
                raise BadInput(path, "label values", f"more than {MOST_CLASSES} values", "a map of classes")
    return sorted(seen - {(WHITE,) * 3, (0,)})


def _expanded(raster: LabelRaster, values: np.ndarray) -> np.ndarray:
    """Values (bands, rows, width) as colours, if a colour table has white, the colour of no change."""
    table = raster.colour_table
    if table is None or not (table[:, :3] == WHITE).all(axis=1).any():
        return values
    return np.moveaxis(table[values[0].astype(int), :3], -1, 0)


def _name(colour: Colour) -> str:
    if len(colour) == 1:
        return f"class {colour[0]}"
    return NAMES.get(colour, f"colour {' '.join(map(str, colour))}")
