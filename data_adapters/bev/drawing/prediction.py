"""Pictures of a predicted map: alone with a legend, and between the cameras that it was made from."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.areas import Area
from transect.data_adapters.bev.drawing.camera import draw_camera, missing_camera
from transect.data_adapters.bev.drawing.map import draw_map
from transect.data_adapters.bev.drawing.palette import INK, SOFT, colour_of
from transect.data_adapters.bev.drawing.strokes import Pen
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.measures import optics_of
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Boxes, Frame

ACROSS, MARGIN, GAP, TITLE = 1452, 16, 6, 44
MAP, LARGEST_PANEL = 568, 720
ALONE, LEGEND = 900, 40
"""Columns of the map alone, and rows of its legend."""

HEADINGS = {
    "CAM_FRONT_LEFT": 55.0, "CAM_FRONT": 0.0, "CAM_FRONT_RIGHT": -55.0,
    "CAM_BACK_LEFT": 110.0, "CAM_BACK": 180.0, "CAM_BACK_RIGHT": -110.0,
}  # fmt: skip
"""Where a missing camera of nuScenes would look, degrees counter-clockwise from forward."""

EPOCH = 10**15
"""Microseconds since 1970 that a time stamp has at least (2001); smaller ones count from elsewhere."""
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
"""A hash, of which twelve digits are written."""

DOUBT = 0.4
"""Largest opacity where the probability stays below the threshold."""

ROW = 19
"""Rows of a line of text."""


def map_picture(prediction: BevMap) -> Picture:
    """The map of a sample, forward up, above a legend of its classes and thresholds: uint8 `(H, W, 3)`."""
    upper = draw_map(prediction.frame, ALONE, layers_of(prediction), views=False)
    picture = np.full((upper.shape[0] + LEGEND, ALONE, 3), 255, np.uint8)
    picture[: upper.shape[0]] = upper
    pen, left = Pen(picture), 12.0
    for name, threshold in zip(prediction.classes, prediction.threshold, strict=True):
        pen.swatch((left, upper.shape[0] + 13), 13, colour_of(name))
        words = f"{_spoken(name)}, from {threshold:.2f}"
        pen.text((left + 21, upper.shape[0] + 12), words)
        left += 21 + pen.width(words) + 28
    pen.text((ALONE - 12, upper.shape[0] + 12), _time(prediction.frame.timestamp), 13, SOFT, "ra")
    return pen.picture()


def montage_of(
    prediction: BevMap, areas: Mapping[str, Sequence[Area]], source: str | None, boxes: Boxes | None = None
) -> Picture:
    """The cameras in their places around the map: those that look ahead above it, the others below.

    Args:
        prediction: The map; its areas are outlined in the images too.
        areas: The connected areas of each class.
        source: Model name and version, may be empty; None for labels, which have no probability to show.
        boxes: Drawn as outlines too.

    Returns:
        uint8 `(H, 1484, 3)`; its size depends on the cameras of the rig, also of missing ones, and on the grid alone.
    """
    frame = prediction.frame
    ahead, behind = _rows(frame)
    width = min((ACROSS - GAP * (max(len(ahead), len(behind)) - 1)) // max(len(ahead), len(behind)), LARGEST_PANEL)
    height = max(round(frame.images.shape[1] * width / frame.images.shape[2]), 1)
    grid = frame.grid
    side = min(MAP, max(MAP * grid.width // grid.height, 1))
    below = draw_map(frame, side, layers_of(prediction), boxes, views=False)
    top = TITLE + (height + 2 * GAP if ahead else 0)
    bottom = top + below.shape[0] + 2 * GAP
    rows = bottom + (height if behind else -2 * GAP) + MARGIN
    picture = np.full((rows, ACROSS + 2 * MARGIN, 3), 255, np.uint8)
    ground = {name: mask.astype(np.float32) for name, mask in zip(prediction.classes, prediction.mask, strict=True)}
    for row, names in ((TITLE, ahead), (bottom, behind)):
        left = (picture.shape[1] - len(names) * (width + GAP) + GAP) // 2
        for name in names:
            if name in frame.names:
                panel = draw_camera(frame, frame.names.index(name), width, ground, boxes, grid=False)
            else:
                panel = missing_camera(name, height, width)
            picture[row : row + height, left : left + width] = panel
            left += width + GAP
    side = (picture.shape[1] - below.shape[1]) // 2
    picture[top : top + below.shape[0], side : side + below.shape[1]] = below
    pen = Pen(picture)
    pen.text((MARGIN, 14), frame.case.id, 16, INK, bold=True)
    pen.text((picture.shape[1] - MARGIN, 15), _time(frame.timestamp), 15, INK, "ra")
    _write_classes(pen, prediction, areas, (MARGIN, top + 4), side - 2 * MARGIN, source is not None)
    _write_vehicles(pen, areas.get("vehicle"), (side + below.shape[1] + 24, top + 4))
    model = (DIGEST.sub(r"\1", f"Model {source}"),) if source else ()
    notes = (*model, *(f"No image of {name}" for name in frame.missing), *frame.notes)
    _write_notes(pen, notes, (MARGIN, top + below.shape[0]), side - 2 * MARGIN)
    return pen.picture()


def layers_of(prediction: BevMap) -> dict[str, NDArray[np.float32]]:
    """The opacity of each class: full from its threshold on, and fading below it."""
    layers = {}
    for name, share, threshold in zip(prediction.classes, prediction.probability, prediction.threshold, strict=True):
        doubt = DOUBT * (share / max(float(threshold), 1e-6)) ** 2
        layers[name] = np.where(share >= threshold, 1, doubt).astype(np.float32)
    return layers


def _rows(frame: Frame) -> tuple[list[str], list[str]]:
    """Names of the cameras that look ahead and of those that do not, each from left to right in the picture."""
    looks = {one.name: one.heading for one in optics_of(frame)}
    looks |= {name: HEADINGS.get(name, 0.0) for name in frame.missing}
    ahead = sorted((name for name in looks if abs(looks[name]) <= 90), key=lambda name: -looks[name])
    behind = sorted((name for name in looks if abs(looks[name]) > 90), key=lambda name: looks[name] % 360)
    return ahead, behind


def _write_classes(
    pen: Pen, prediction: BevMap, areas: Mapping[str, Sequence[Area]], at: tuple[int, int], width: int, predicted: bool
) -> None:
    left, row = at
    grid = prediction.frame.grid
    whole = grid.height * grid.width * grid.resolution**2
    for name, threshold in zip(prediction.classes, prediction.threshold, strict=True):
        covered = sum(area.area_m2 for area in areas[name])
        pen.swatch((left, row + 1), 14, colour_of(name))
        pen.text((left + 22, row), _spoken(name), 14, INK, bold=True)
        pen.text((left + width, row), f"{covered:,.0f} m²   {covered / whole:.1%}", 13, INK, "ra")
        if predicted:
            pen.text((left + 22, row + ROW), f"probability from {threshold:.2f}", 12, SOFT)
        row += 3 * ROW - 6


def _write_vehicles(pen: Pen, vehicles: Sequence[Area] | None, at: tuple[int, int]) -> None:
    """The nearest vehicles in a table."""
    if vehicles is None:
        return
    left, row = at
    pen.text((left, row), f"{len(vehicles)} vehicles" if len(vehicles) != 1 else "1 vehicle", 14, INK, bold=True)
    row += 2 * ROW - 8
    rights = [left + 74 + 76 * number for number in range(5)]
    for right, head in zip(rights, ("distance m", "ahead m", "left m", "length m", "width m"), strict=True):
        pen.text((right, row), head, 12, SOFT, "ra")
    for one in sorted(vehicles, key=lambda area: area.distance_m)[:12]:
        row += ROW
        for right, value in zip(rights, (one.distance_m, one.x_m, one.y_m, one.length_m, one.width_m), strict=True):
            pen.text((right, row), f"{value:.1f}", 12, INK, "ra")
    if len(vehicles) > 12:
        pen.text((left, row + ROW), f"and {len(vehicles) - 12} farther away", 12, SOFT)


def _write_notes(pen: Pen, notes: Sequence[str], at: tuple[int, int], width: int) -> None:
    """Lines of text that end above `at`; what does not fit is cut."""
    lines = [line for note in notes for line in pen.wrapped(note, 12, width)][:14]
    for number, line in enumerate(lines):
        while pen.width(line, 12) > width:
            line = f"{line[:-2]}…"
        pen.text((at[0], at[1] - (len(lines) - number) * ROW), line, 12, SOFT)


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _time(microseconds: int | None) -> str:
    if microseconds is None:
        return ""
    if microseconds < EPOCH:
        return f"{microseconds / 1e6:.3f} s"
    moment = datetime.fromtimestamp(microseconds // 10**6, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{microseconds // 1000 % 1000:03d} UTC"
