"""Slices of a study, with the PET above and PET on CT below."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Picture
from transect.apps.canvas import INK, SOFT, panel, picture
from transect.apps.petct.organs import NAMES, spots
from transect.apps.petct.projection import BODY_SUV
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study
from transect.data_adapters.volume.resample import reorient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, TOP, BOTTOM, GAP = 960, 52, 152, 12
"""In pixels."""

MOST = 4
"""Slices of a picture."""

WINDOW = (-160.0, 240.0)
"""CT values in HU that are black and white."""

SUV_WHITE, SUV_CLEAR = 10.0, 1.0
"""SUV that is black in the PET and white in the fusion, and that from which the fusion shows it."""

CONTOUR = "#56b4e9"
"""Sky blue of Okabe and Ito's palette, seen on grey and on the colours of heat."""


class Slices:
    """Draws slices, cropped to the body; the patient's right is on the left.

    Args:
        study: The study.
        scores: Their probabilities.
        labels: Whether to draw the tumour of the label.
        height: Of a picture, in pixels.
    """

    def __init__(self, study: Study, scores: SliceScores, labels: bool, height: int) -> None:
        self._study, self._scores, self._labels, self._height = study, scores, labels, height

    def picture(self, title: str, slices: list[int]) -> Picture:
        """The first MOST of the slices, uint8 `(height, WIDTH, 3)`."""
        shown = slices[:MOST]
        more = f", {len(shown)} of {len(slices)}" if len(slices) > len(shown) else ""
        return picture(lambda figure: self._draw(f"{title}{more}", shown, figure), self._height, WIDTH)

    @cached_property
    def _ct(self) -> NDArray[np.float32] | None:
        """The CT; None without one, or where it cannot be read: pictures then show the PET alone."""
        try:
            ct = self._study.ct
        except BadInput:
            return None
        return None if ct is None else self._turned(ct)

    @cached_property
    def _pet(self) -> NDArray[np.float32]:
        return self._turned(self._study.pet.values)

    @cached_property
    def _spots(self) -> list[str]:
        return [f"near the {NAMES[number]}" if number else "" for number in spots(self._study)]

    def _turned(self, values: NDArray[Any]) -> NDArray[Any]:
        """Rows from the patient's front to the back, columns from the right to the left, then slices."""
        turned, _ = reorient(values, self._study.pet.grid, "LPS")
        return turned.transpose(1, 0, 2)

    def _box(self, shown: list[int]) -> tuple[slice, slice]:
        """Rows and columns with the body in some slices, and two voxels around it."""
        seen = self._pet[..., shown].max(axis=2) > BODY_SUV
        spans = []
        for axis in (1, 0):
            found = np.flatnonzero(seen.any(axis=axis))
            low, high = (found[0], found[-1]) if len(found) else (0, seen.shape[1 - axis] - 1)
            spans.append(slice(max(int(low) - 2, 0), int(high) + 3))
        return spans[0], spans[1]

    def _draw(self, title: str, shown: list[int], figure: Figure) -> None:
        rows, box = (1 if self._ct is None else 2), self._box(shown)
        _, grid = reorient(self._study.pet.values, self._study.pet.grid, "LPS")
        down, across = (
            len(range(*span.indices(count))) * step
            for span, count, step in zip(box, self._pet.shape, grid.spacing[1::-1], strict=False)
        )
        room = (WIDTH - GAP) / len(shown) - GAP, (self._height - TOP - BOTTOM) / rows - GAP
        scale = min(room[0] / across, room[1] / down)
        wide, tall = across * scale, down * scale
        pitch = (WIDTH - GAP) / len(shown)
        for number, index in enumerate(shown):
            left = GAP + number * pitch + (pitch - GAP - wide) / 2
            for row in range(rows):
                top = TOP + row * (tall + GAP)
                axes = panel(figure, left, self._height - top - tall, WIDTH - left - wide, top)
                axes.set_axis_off()
                self._draw_slice(axes, index, box, fused=row == 1)
            self._caption(figure, index, left, TOP + rows * (tall + GAP))
        self._explain(figure, title, rows)

    def _draw_slice(self, axes: Axes, index: int, box: tuple[slice, slice], fused: bool) -> None:
        pet = self._pet[(*box, index)]
        if fused and self._ct is not None:
            low, high = WINDOW
            axes.imshow(self._ct[(*box, index)], "gray", vmin=low, vmax=high, aspect="auto")
            share = np.clip((pet - SUV_CLEAR) / (SUV_WHITE - SUV_CLEAR), 0, 1)
            alpha = np.clip(3 * share, 0, 0.85)
            axes.imshow(pet, "hot", vmin=0, vmax=SUV_WHITE, alpha=alpha, aspect="auto", interpolation="bilinear")
        else:
            axes.imshow(pet, "gray_r", vmin=0, vmax=SUV_WHITE, aspect="auto", interpolation="bilinear")
            self._circle(axes, pet)
        label = self._study.label if self._labels else None
        if label is not None:
            edge = np.pad(self._turned(label.mask)[(*box, index)], 1)
            if edge.any():
                rows, columns = np.arange(-1, pet.shape[0] + 1), np.arange(-1, pet.shape[1] + 1)
                axes.contour(columns, rows, edge, [0.5], colors=[CONTOUR], linewidths=1.4)
        axes.set(xlim=(-0.5, pet.shape[1] - 0.5), ylim=(pet.shape[0] - 0.5, -0.5))

    def _circle(self, axes: Axes, pet: NDArray[np.float32]) -> None:
        """A circle of 24 mm around the hottest voxel."""
        from matplotlib.patches import Ellipse

        row, column = np.unravel_index(pet.argmax(), pet.shape)
        x, y, _ = reorient(self._study.pet.values, self._study.pet.grid, "LPS")[1].spacing
        style: Any = {"fill": False, "edgecolor": "#e69f00", "linewidth": 1.4}
        axes.add_patch(Ellipse((float(column), float(row)), 48 / x, 48 / y, **style))

    def _caption(self, figure: Figure, index: int, left: float, top: float) -> None:
        study, scores = self._study, self._scores
        lines = [
            f"slice {index}, at {study.positions[index]:.0f} mm",
            f"probability {scores.probability[index]:.3g}",
            f"largest SUV {study.pet.values[..., index].max():.1f}",
            self._spots[index],
        ]
        for number, line in enumerate(lines):
            colour = INK if number < 3 else SOFT
            place = 1 - (top + 18 * number) / self._height
            figure.text(left / WIDTH, place, line, va="top", fontsize=10, color=colour)

    def _explain(self, figure: Figure, title: str, rows: int) -> None:
        text = "PET: 0 is white, SUV 10 and more black." + (" Below: PET on CT, from SUV 1." if rows > 1 else "")
        text += " Tumour of the label in blue." if self._labels else ""
        text += " Patient's right on the left.\n"
        text += "Places are those of the hottest voxel (circle), by position within the body alone."
        figure.text(GAP / WIDTH, 50 / self._height, title, va="bottom", fontsize=12, color=INK)
        figure.text(GAP / WIDTH, 12 / self._height, text, va="bottom", fontsize=9, color=SOFT, linespacing=1.4)
