"""Boxes, polygons and lines in ego metres drawn as masks on a bird's-eye-view grid, as in the published labels.

A corner is mapped to pixel indices by the view matrix and rounded, and the outline belongs to the shape, so a box of
2 x 5 m along the axes covers 5 x 11 pixels of 0.5 m. Sources: "Cross-view Transformers for real-time Map-view Semantic
Segmentation" (CVPR 2022) and CoBEVT (CoRL 2022), whose labels these are.
"""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.sample import INVISIBLE, Boxes

DYNAMIC = ("car", "truck", "bus", "trailer", "construction", "pedestrian", "motorcycle", "bicycle")
"""What moves. A category is the first of these that is one of its words, which dots separate."""

FARTHEST = 2.0**14
"""Shapes that reach farther from the first pixel are clipped there, before OpenCV's fixed-point numbers overflow."""

Array = NDArray[np.float64]
Mask = NDArray[np.uint8]


def is_vehicle(category: str) -> bool:
    """Whether a box of this category is drawn into the vehicle mask: all of `DYNAMIC` but pedestrians.

    Not so `vehicle.emergency.ambulance`, although it has a visibility, nor `human.pedestrian.construction_worker`.
    """
    words = category.split(".")
    kind = next((word for word in DYNAMIC if word in words), "pedestrian")
    return kind != "pedestrian"


def has_visibility(category: str) -> bool:
    """Whether a box of this category is drawn into the visibility map and the centre score."""
    return "vehicle" in category.split(".")


def to_pixels(points: ArrayLike, grid: Grid) -> Array:
    """Columns and rows `(..., 2)`, not rounded, of points `(..., 2 or 3)` in ego metres."""
    view = grid.matrix
    return np.asarray(points, np.float64)[..., :2] @ view[:2, :2].T + view[:2, 2]


def draw_boxes(boxes: Boxes, grid: Grid) -> tuple[Mask, Mask, NDArray[np.float32]]:
    """The vehicle mask, the visibility and the centre score of boxes; see `Labels`.

    Where boxes overlap, the later one gives the visibility and the score.
    """
    shape = (grid.height, grid.width)
    vehicle = np.zeros(shape, np.uint8)
    visibility = np.full(shape, INVISIBLE, np.uint8)
    score = np.zeros(shape, np.float32)
    outlines = to_pixels(boxes.corners[:, :4], grid)
    for name, seen, outline in zip(boxes.names, boxes.visibility, outlines, strict=True):
        low = np.clip(_rounded(outline.min(0)), 0, (grid.width, grid.height)).astype(int)
        high = np.clip(_rounded(outline.max(0)) + 1, 0, (grid.width, grid.height)).astype(int)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        if vehicle[window].size == 0:
            continue
        inside = np.zeros(vehicle[window].shape, np.uint8)
        cv2.fillPoly(inside, _drawable(outline, closed=True), (1,), offset=(-int(low[0]), -int(low[1])))
        filled = inside > 0
        if is_vehicle(name):
            vehicle[window][filled] = 1
        if has_visibility(name):
            visibility[window][filled] = seen
            score[window][filled] = _score(outline.mean(0) - low, filled)
    return vehicle, visibility, score


def draw_polygons(polygons: Iterable[Sequence[Array]], grid: Grid) -> Mask:
    """The mask of polygons, each a list of rings `(k, 2)` in ego metres: the exterior, then its holes.

    Polygons are drawn one after another: the exterior is filled, then its holes are cleared with their outlines, also
    of what earlier polygons filled there.
    """
    mask = np.zeros((grid.height, grid.width), np.uint8)
    for rings in polygons:
        for position, ring in enumerate(rings):
            pieces = _drawable(to_pixels(ring, grid), closed=True)
            cv2.fillPoly(mask, pieces, (1,) if position == 0 else (0,))
    return mask


def draw_lines(lines: Iterable[Array], grid: Grid) -> Mask:
    """The mask of lines `(k, 2)` in ego metres, one pixel wide."""
    mask = np.zeros((grid.height, grid.width), np.uint8)
    for line in lines:
        cv2.polylines(mask, _drawable(to_pixels(line, grid), closed=False), isClosed=False, color=(1,), thickness=1)
    return mask


def _rounded(pixels: Array) -> Array:
    """Whole pixels; a half is rounded to the even one, even if it is a half only up to errors of rounding."""
    return np.rint(np.round(pixels, 6))


def _drawable(pixels: Array, closed: bool) -> list[NDArray[np.int32]]:
    """The whole pixels `(k, 2)` of a ring or a line: of all of it, or of its pieces that are near the grid."""
    if np.abs(pixels).max() <= FARTHEST:
        return [_rounded(pixels).astype(np.int32)]
    shape = shapely.Polygon(pixels) if closed else shapely.LineString(pixels)
    parts = shapely.get_parts(shapely.clip_by_rect(shape, -FARTHEST, -FARTHEST, FARTHEST, FARTHEST))
    kept = [part.exterior if closed else part for part in parts if part.geom_type == shape.geom_type]
    return [_rounded(np.asarray(part.coords)).astype(np.int32) for part in kept]


def _score(center: Array, filled: NDArray[np.bool_]) -> Array:
    """exp(-d^2) at the filled pixels of a window, d being the distance to `center` (column, row) in pixels."""
    rows, columns = np.nonzero(filled)
    return np.exp(-((columns - center[0]) ** 2) - (rows - center[1]) ** 2)
