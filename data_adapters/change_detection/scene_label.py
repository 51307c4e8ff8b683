"""The change label of a scene, a raster or polygons, on any part of the scene's grid."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.align import Alignment
from transect.data_adapters.change_detection.burn import burned, overlaps
from transect.data_adapters.change_detection.folders import is_vector
from transect.data_adapters.change_detection.georeference import with_georeference_of
from transect.data_adapters.change_detection.label_raster import open_label
from transect.data_adapters.change_detection.label_sets import label_with_one
from transect.data_adapters.change_detection.labels import LabelCoding, LabelRule, label_rule
from transect.data_adapters.change_detection.maps import NODATA, Grid
from transect.data_adapters.change_detection.vectors import Layer, polygon_layer


@dataclass(frozen=True)
class SceneLabel:
    """The label at `path`, and the raster of the second date, whose grid a label without georeference has.

    Args:
        path: A raster, or polygons of change.
        coding: Meaning of a raster's values.
        label_set: Where the labels of the same data set are; see `Pair`.
        after: Path of the second date's raster, for messages.
        grid: Its grid.
    """

    path: str
    coding: LabelCoding
    label_set: tuple[str, ...]
    after: str
    grid: Grid

    def read(self, target: Grid) -> np.ndarray:
        """The label on `target`, uint8 `(height, width)`: 0 no change, 1 change, 255 unknown.

        A raster on another grid is resampled by nearest neighbour, and is unknown outside its extent; one without
        georeference must have the second date's size and takes its grid. Of polygons all else is no change.

        Raises:
            BadInput: the label cannot be read, has other values, or cannot be placed on the grid.
        """
        if is_vector(self.path):
            return burned(self._layer, target).astype(np.uint8)
        rule = self._rule
        with open_label(self.path) as raster:
            aligned = Alignment(placed(self.path, raster.grid, self.after, self.grid), target)
            return aligned.nearest(lambda *window: rule.apply(*raster.read(*window)), NODATA)

    def warnings(self, scene: Grid) -> list[str]:
        """What is doubtful about the label of a scene on the grid `scene`."""
        if not is_vector(self.path):
            return [f"label: {self._rule.warning}"] if self._rule.warning else []
        bounds = self._layer.bounds
        if bounds is None or overlaps(self._layer, scene):
            return []
        spans = f"{bounds[0]:g} to {bounds[2]:g}, {bounds[1]:g} to {bounds[3]:g}"
        return [f"label: no polygon of {self.path} is near the images; they span {spans} in {self._layer.crs}"]

    @property
    def note(self) -> str:
        """How the label was placed, or empty."""
        if is_vector(self.path) and self._layer.crs != self.grid.crs:
            return f"polygons projected from {self._layer.crs}"
        return ""

    @cached_property
    def _rule(self) -> LabelRule:
        return label_rule(self.path, self.coding, lambda: label_with_one(self.label_set))

    @cached_property
    def _layer(self) -> Layer:
        if self.grid.crs is None:
            raise BadInput(self.path, "label", "polygons", f"a raster, since {self.after} has no CRS")
        return polygon_layer(self.path)


def placed(path: str, grid: Grid, after: str, grid_after: Grid) -> Grid:
    """The grid of a label raster, or that of the second date if either of them has no CRS.

    Args:
        path: The label.
        grid: Its grid as the file has it.
        after: Path of the second date's raster.
        grid_after: Its grid.

    Raises:
        BadInput: either has no CRS, and their sizes differ.
    """
    if grid.crs is not None and grid_after.crs is not None:
        return grid
    if (grid.width, grid.height) != (grid_after.width, grid_after.height):
        found, expected = f"{grid.width} x {grid.height} pixels", f"{grid_after.width} x {grid_after.height}"
        raise BadInput(path, "size", found, expected, f"as in {after}")
    return with_georeference_of(grid, grid_after)
