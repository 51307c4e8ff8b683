"""A camera image with the ground and the boxes of its sample drawn in: they lie right if the calibration is right."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.drawing.palette import CLASS_COLOURS, INK, OTHER_COLOUR, WHITE, Colour, colour_of
from transect.data_adapters.bev.drawing.strokes import Pen, blend, lines
from transect.data_adapters.bev.geometry import from_parent, project
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.labels import is_vehicle
from transect.data_adapters.bev.sample import Boxes, Frame

Array = NDArray[np.float64]

NEAR = 0.2
"""Depth in metres before which lines are cut."""

SPACING = 10
"""Metres between the lines of the ground grid."""

LINE_HEIGHT = 12

EDGES = np.array(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7), (0, 5), (1, 4)]
)
"""Edges of a box, with a cross in its front."""

TINT, EDGE = 0.2, 0.9
"""Opacity of areas on the ground and of their edges."""

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def draw_camera(
    frame: Frame,
    index: int,
    width: int,
    layers: Mapping[str, NDArray[np.float32]],
    boxes: Boxes | None = None,
    grid: bool = True,
) -> Picture:
    """One camera image of a sample, enlarged or reduced to `width` columns.

    Args:
        frame: The sample.
        index: Of the camera.
        width: Columns of the picture.
        layers: Opacity in [0, 1] of each class on the map, `(H, W)`; drawn where the ground is.
        boxes: Drawn with their front crossed.
        grid: Whether to draw the ground grid of 10 m, with its x or y at the middle of the image.
    """
    image, matrix = _enlarged(frame.images[index], frame.intrinsics[index], width)
    camera = frame.camera_to_ego[index]
    _draw_ground(image, frame, camera, matrix, layers)
    labels: list[tuple[float, float, str]] = []
    if grid:
        labels = _draw_grid(image, frame, camera, matrix)
    for colour, corners in by_colour(boxes):
        segments = clipped(corners[:, EDGES].reshape(-1, 2, 3), camera, matrix, image.shape[:2])
        lines(image, list(segments), INK, 3, 0.35)
        lines(image, list(segments), colour)
    pen = Pen(image)
    for column, row, words in labels:
        pen.text((column, row - 2), words, 10, WHITE, "ms", behind=INK)
    pen.text((8, 6), frame.names[index], 13, WHITE, "la", bold=True, behind=INK)
    return pen.picture()


def missing_camera(name: str, height: int, width: int) -> Picture:
    """The place of a camera that a sample lacks."""
    picture = np.full((height, width, 3), 228, np.uint8)
    pen = Pen(picture)
    pen.text((8, 6), name, 13, INK, "la", bold=True)
    pen.text((width / 2, height / 2), "no image", 14, (120, 120, 120), "mm")
    return pen.picture()


def by_colour(boxes: Boxes | None) -> list[tuple[Colour, Array]]:
    """The corners `(m, 8, 3)` of vehicles and of other boxes, each with their colour."""
    if boxes is None:
        return []
    vehicle = np.array([is_vehicle(name) for name in boxes.names], bool)
    groups = [(OTHER_COLOUR, boxes.corners[~vehicle]), (colour_of("vehicle"), boxes.corners[vehicle])]
    return [(colour, corners) for colour, corners in groups if len(corners)]


def clipped(segments: Array, camera: Array, intrinsics: Array, size: tuple[int, ...]) -> Array:
    """The parts of line segments that a camera sees, in pixels.

    Args:
        segments: `(s, 2, 3)` in ego metres.
        camera: Pose `(4, 4)`.
        intrinsics: `(3, 3)`.
        size: Rows and columns of the image.

    Returns:
        `(k, 2, 2)`: columns and rows of the ends of those `k` that are seen; nothing nearer than `NEAR`.
    """
    seen = from_parent(segments, camera)
    pixels = seen @ intrinsics.T  # homogeneous
    depth, margin = pixels[..., 2], 4
    low, high = np.zeros(len(seen)), np.ones(len(seen))
    inside = [depth - NEAR]
    for axis, length in ((0, size[1]), (1, size[0])):
        inside += [pixels[..., axis] + margin * depth, (length + margin) * depth - pixels[..., axis]]
    for first, last in (distance.T for distance in inside):
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = first / (first - last)
        low = np.where((first < 0) & (last >= 0), np.maximum(low, crossing), low)
        high = np.where((first >= 0) & (last < 0), np.minimum(high, crossing), high)
        high = np.where((first < 0) & (last < 0), -1, high)
    kept = low < high
    shares = np.stack([low, high], 1)[kept]
    ends = pixels[kept, None, 0] + shares[..., None] * (pixels[kept, 1] - pixels[kept, 0])[:, None]
    return np.asarray(ends[..., :2] / ends[..., 2:])


def _enlarged(image: Picture, intrinsics: Array, width: int) -> tuple[Picture, Array]:
    scale = width / image.shape[1]
    size = (width, max(round(image.shape[0] * scale), 1))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    matrix = intrinsics.copy()
    for axis, length in ((0, image.shape[1]), (1, image.shape[0])):
        factor = size[axis] / length
        matrix[axis] *= factor
        matrix[axis, 2] += (factor - 1) / 2  # about the corner of the image
    return np.array(cv2.resize(image, size, interpolation=interpolation), np.uint8), matrix


def _draw_ground(
    image: Picture, frame: Frame, camera: Array, intrinsics: Array, layers: Mapping[str, NDArray[np.float32]]
) -> None:
    """Tint the pixels whose ray meets the ground in a class."""
    if not layers:
        return
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    rays = pixels @ np.linalg.inv(intrinsics).T @ camera[:3, :3].T
    with np.errstate(divide="ignore", invalid="ignore"):
        along = -camera[2, 3] / rays[..., 2]
        ground = camera[:2, 3] + along[..., None] * rays[..., :2]
        cells = np.concatenate([ground, np.ones_like(ground[..., :1])], -1) @ frame.grid.matrix[:2].T
    cells = np.where((along > 0)[..., None] & (np.abs(cells) < 1e4), cells, -10).astype(np.float32)
    for name in sorted(layers, key=_order):
        share = cv2.remap(layers[name].astype(np.float32), cells[..., 0], cells[..., 1], cv2.INTER_LINEAR)
        edge = cv2.morphologyEx((share >= 0.5).astype(np.float32), cv2.MORPH_GRADIENT, CROSS)
        coverage = np.maximum(TINT * share, EDGE * cv2.blur(edge, (2, 2)))
        blend(image, np.asarray(coverage, np.float32), colour_of(name))


def _order(name: str) -> int:
    return list(CLASS_COLOURS).index(name) if name in CLASS_COLOURS else len(CLASS_COLOURS)


def _draw_grid(image: Picture, frame: Frame, camera: Array, intrinsics: Array) -> list[tuple[float, float, str]]:
    """Draw the ground grid; returns places and words of its labels, along the middle of the view."""
    reach = SPACING * int(max(frame.grid.height, frame.grid.width) * frame.grid.resolution / 2 / SPACING)
    steps = np.arange(-reach, reach + 1, SPACING, dtype=np.float64)
    ends = np.array([-reach, reach], np.float64)
    along_y = np.stack(np.broadcast_arrays(steps[:, None], ends, 0.0), -1)
    segments = np.concatenate([along_y, along_y[..., [1, 0, 2]]])
    seen = list(clipped(segments, camera, intrinsics, image.shape[:2]))
    lines(image, seen, INK, 3, 0.2)
    lines(image, seen, WHITE, 1, 0.65)
    axis = int(abs(camera[1, 2]) > abs(camera[0, 2]))  # the ego axis that the camera looks along most
    if abs(camera[axis, 2]) < 0.1:  # it looks down
        return []
    shares = (steps - camera[axis, 3]) / camera[axis, 2]
    points = np.c_[camera[:2, 3] + shares[:, None] * camera[:2, 2], np.zeros(len(steps))]
    pixels, depths = project(points, camera, intrinsics)
    labels: list[tuple[float, float, str]] = []
    for number in np.argsort(depths):
        (column, row), last = pixels[number], labels[-1][1] if labels else image.shape[0]
        inside = 0 <= column < image.shape[1] and LINE_HEIGHT < row < last - LINE_HEIGHT
        if depths[number] > 1 and inside and np.abs(points[number]).max() <= reach:
            labels.append((float(column), float(row), f"{'xy'[axis]} {steps[number]:g} m"))
    return labels
