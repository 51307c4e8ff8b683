"""The cameras of a sample in rows, with the map and what is known about the calibration below."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.drawing.camera import draw_camera, missing_camera
from transect.data_adapters.bev.drawing.map import draw_map
from transect.data_adapters.bev.drawing.palette import INK, SOFT, Colour
from transect.data_adapters.bev.drawing.strokes import Pen
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.measures import optics_of
from transect.data_adapters.bev.sample import Boxes, Frame

MARGIN, GAP, TITLE = 16, 6, 44
PANEL, ACROSS = 480, 1452
"""Columns of one of three panels, and of all with the gaps between."""

MAP = 640

Layers = Mapping[str, NDArray[np.float32]]
Legend = Sequence[tuple[str, Colour]]


def montage(
    frame: Frame,
    title: str,
    on_cameras: Layers,
    on_map: Layers,
    boxes: Boxes | None = None,
    grid: bool = True,
    views: bool = True,
    legend: Legend = (),
    remarks: Sequence[str] = (),
) -> Picture:
    """A picture of a whole sample: the cameras in rows of up to four, the map below, and beside it the calibration.

    Args:
        frame: The sample.
        title: The first line.
        on_cameras: Opacity in [0, 1] of each class on the ground, `(H, W)`, drawn into the images.
        on_map: The same, drawn on the map.
        boxes: Drawn in both.
        grid: Whether the images show the ground grid of 10 m.
        views: Whether the map shows the fields of view.
        legend: What the colours mean.
        remarks: Lines below the legend, such as warnings.

    Returns:
        uint8 `(H, 1484, 3)`.
    """
    names = (*frame.names, *frame.missing)
    columns = {1: 1, 2: 2, 4: 2}.get(len(names), 3 if len(names) <= 6 else 4)
    width = (ACROSS - GAP * (columns - 1)) // columns if columns > 1 else 2 * PANEL
    height = max(round(frame.images.shape[1] * width / frame.images.shape[2]), 1)
    rows = -(-len(names) // columns)
    top = TITLE + rows * (height + GAP) + MARGIN - GAP
    bottom = draw_map(frame, MAP, on_map, boxes, views)
    picture = np.full((top + bottom.shape[0] + MARGIN, ACROSS + 2 * MARGIN, 3), 255, np.uint8)
    for number, name in enumerate(names):
        row, column = TITLE + number // columns * (height + GAP), MARGIN + number % columns * (width + GAP)
        if number < len(frame.names):
            panel = draw_camera(frame, number, width, on_cameras, boxes, grid)
        else:
            panel = missing_camera(name, height, width)
        picture[row : row + height, column : column + width] = panel
    picture[top : top + bottom.shape[0], MARGIN : MARGIN + MAP] = bottom
    pen = Pen(picture)
    pen.text((MARGIN, 14), title, 16, INK, bold=True)
    _write_beside(pen, frame, (MARGIN + MAP + 28, top), legend, remarks)
    return pen.picture()


def _write_beside(pen: Pen, frame: Frame, at: tuple[int, int], legend: Legend, remarks: Sequence[str]) -> None:
    left, row = at
    rights = [left + 208 + 76 * number for number in range(8)]
    heads = ["x m", "y m", "height m", "heading °", "pitch °", "roll °", "view °", "time ms"]
    pen.text((left, row), "camera", 12, SOFT)
    for right, head in zip(rights, heads, strict=True):
        pen.text((right, row), head, 12, SOFT, "ra")
    row += 22
    for one in optics_of(frame):
        time = "" if one.offset is None else f"{one.offset:.0f}"
        angles = (one.heading, one.pitch, one.roll, one.fov)
        cells = [f"{metres:.2f}" for metres in (one.x, one.y, one.z)] + [f"{angle:.1f}" for angle in angles] + [time]
        pen.text((left, row), one.name[:20], 12, INK)
        for right, cell in zip(rights, cells, strict=True):
            pen.text((right, row), cell, 12, INK, "ra")
        row += 19
    row += 16
    for words, colour in legend:
        pen.swatch((left, row + 1), 13, colour)
        pen.text((left + 22, row), words, 12, INK)
        row += 20
    row += 10 if legend else 0
    for remark in remarks:
        for line in pen.wrapped(remark, 12, ACROSS + MARGIN - left):
            pen.text((left, row), line, 12, INK)
            row += 17
        row += 4
