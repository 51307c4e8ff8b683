"""The map around the vehicle: classes, boxes, fields of view, range rings and a scale. Forward is up."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from transect.data_adapters.bev.drawing.camera import by_colour
from transect.data_adapters.bev.drawing.palette import (
    CLASS_COLOURS,
    FAINT,
    GROUND,
    INK,
    MAP_OPACITY,
    SOFT,
    WHITE,
    colour_of,
)
from transect.data_adapters.bev.drawing.strokes import Pen, area, blend, circle, lines
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.labels import to_pixels
from transect.data_adapters.bev.measures import Optics, optics_of
from transect.data_adapters.bev.sample import Boxes, Frame

Array = NDArray[np.float64]

LENGTH, WIDTH, BEHIND = 4.6, 1.9, 1.0
"""Metres of the vehicle that is drawn: its size, and what lies behind its rear axle."""

RING = 10
"""Metres between range rings."""


def draw_map(
    frame: Frame,
    width: int,
    layers: Mapping[str, NDArray[np.float32]],
    boxes: Boxes | None = None,
    views: bool = True,
) -> Picture:
    """The map of a sample, enlarged or reduced to `width` columns.

    Args:
        frame: The sample.
        width: Columns of the picture.
        layers: Opacity in [0, 1] of each class, `(H, W)`.
        boxes: Drawn as outlines, with the front marked.
        views: Whether to draw the cameras' fields of view.
    """
    grid = frame.grid
    size = (width, max(round(grid.height * width / grid.width), 1))
    picture = np.empty((size[1], size[0], 3), np.uint8)
    picture[:] = GROUND
    for name in [*(name for name in CLASS_COLOURS if name in layers), *sorted(set(layers) - set(CLASS_COLOURS))]:
        share = cv2.resize(layers[name].astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
        blend(picture, np.asarray(share * MAP_OPACITY.get(name, 1.0), np.float32), colour_of(name))
    scale = width / grid.width
    origin = _pixels(grid, scale, [0, 0])
    half = min(size) / 2
    rings = range(RING, int(half / scale * grid.resolution) + 1, RING)
    for metres in rings:
        circle(picture, origin, metres / grid.resolution * scale, SOFT, 0.35)
    optics = optics_of(frame) if views else []
    for one in optics:
        _draw_view(picture, grid, scale, one)
    for colour, corners in by_colour(boxes):
        bottoms = list(_pixels(grid, scale, corners[:, [0, 1, 2, 3, 0]]))
        fronts = list(_pixels(grid, scale, np.stack([corners[:, :4].mean(1), corners[:, :2].mean(1)], 1)))
        lines(picture, bottoms + fronts, INK if colour == colour_of("vehicle") else colour, 1, 0.9)
    _draw_vehicle(picture, grid, scale)
    pen, gap = Pen(picture), _gap(optics)
    for metres in rings:
        at = _pixels(grid, scale, [metres * np.cos(gap), metres * np.sin(gap)])
        if (at > 8).all() and (at < np.array(size) - 8).all():
            pen.text((at[0], at[1]), f"{metres} m", 10, SOFT, "mm", behind=WHITE)
    for one in optics:
        angle = np.radians(one.heading)
        reach = 0.32 * min(size) / scale * grid.resolution
        at = _pixels(grid, scale, [one.x + reach * np.cos(angle), one.y + reach * np.sin(angle)])
        pen.text((at[0], at[1]), one.name, 10, INK, "mm", behind=WHITE)
    _write_scale(pen, grid, scale, size)
    picture = pen.picture()
    picture[[0, -1]] = picture[:, [0, -1]] = FAINT
    return picture


def _pixels(grid: Grid, scale: float, points: ArrayLike) -> Array:
    """Columns and rows of points in ego metres in a map that is `scale` times as large."""
    return (to_pixels(points, grid) + 0.5) * scale - 0.5


def _gap(optics: Sequence[Optics]) -> float:
    """The heading in radians that is farthest from those of all cameras, where numbers can stand."""
    headings = np.array([one.heading for one in optics] or [135.0])
    tried = np.arange(-45, 315, 15.0)
    apart = np.abs((tried[:, None] - headings + 180) % 360 - 180).min(1)
    return float(np.radians(tried[apart.argmax()]))


def _draw_view(picture: Picture, grid: Grid, scale: float, optics: Optics) -> None:
    """The field of view of a camera at the height of its principal point, up to a distance."""
    reach = 0.28 * min(picture.shape[:2]) / scale * grid.resolution
    angles = np.radians(optics.heading + optics.left - np.linspace(0, optics.fov, 33))
    arc = np.stack([optics.x + reach * np.cos(angles), optics.y + reach * np.sin(angles)], 1)
    outline = _pixels(grid, scale, [[optics.x, optics.y], *arc, [optics.x, optics.y]])
    area(picture, outline, INK, 0.05)
    lines(picture, [outline], INK, 1, 0.55)


def _draw_vehicle(picture: Picture, grid: Grid, scale: float) -> None:
    front, back, side = LENGTH - BEHIND, -BEHIND, WIDTH / 2
    outline = [[front, side], [front, -side], [back, -side], [back, side], [front, side]]
    area(picture, _pixels(grid, scale, outline), WHITE, 0.85)
    lines(picture, [_pixels(grid, scale, outline)], INK, 1)
    area(picture, _pixels(grid, scale, [[front - 0.4, 0], [front - 1.9, side - 0.3], [front - 1.9, 0.3 - side]]), INK)


def _write_scale(pen: Pen, grid: Grid, scale: float, size: tuple[int, int]) -> None:
    length = RING / grid.resolution * scale
    left, row = 12, size[1] - 14
    pen.line([(left, row - 4), (left, row), (left + length, row), (left + length, row - 4)], INK)
    pen.text((left + length / 2, row - 4), f"{RING} m", 10, INK, "ms", behind=WHITE)
    pen.text((size[0] / 2, 6), "forward", 10, SOFT, "ma", behind=WHITE)
