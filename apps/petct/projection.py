"""Maximum-intensity projections of a study as it turns around the axis from feet to head.

Written here because scipy's `rotate` interpolates each slice by itself in Python: here one set of weights serves all
slices, and thirty views of a whole body take a second.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.petct.study import Study
from transect.data_adapters.volume.resample import reorient

Image = NDArray[np.float32]

COARSEST_MM = 4.0
"""Finer voxels are joined within the slice by their maximum, up to this width."""

BODY_SUV = 0.2
"""What is above belongs to the body and is in every view."""


@dataclass(frozen=True, eq=False)
class Projections:
    """Views of a PET, from the front and turned around the vertical axis.

    Args:
        values: SUV, float32 `(X, Y, Z)`, x to the patient's right and y to the front.
        spacing: Of x and y, mm.
    """

    values: NDArray[np.float32]
    spacing: tuple[float, float]

    @classmethod
    def of(cls, study: Study) -> "Projections":
        """The views of a study, of voxels joined up to COARSEST_MM."""
        values, grid = reorient(study.pet.values, study.pet.grid)
        x, y = (max(int(COARSEST_MM // step), 1) for step in grid.spacing[:2])
        for axis, factor in ((0, x), (1, y)):
            if factor > 1:
                starts = np.arange(0, values.shape[axis], factor)
                values = np.maximum.reduceat(values, starts, axis=axis)
        return cls(np.ascontiguousarray(values), (grid.spacing[0] * x, grid.spacing[1] * y))

    @property
    def pixel(self) -> float:
        """Width of a pixel, mm."""
        return min(self.spacing)

    @cached_property
    def width(self) -> int:
        """Pixels across a view: the body fits in each, and the view from the front has the columns of the voxels."""
        footprint = np.argwhere(self.values.max(axis=2) > BODY_SUV)
        whole = np.array(self.values.shape[:2])
        offset = (footprint - (whole - 1) / 2) * self.spacing
        radius = float(np.hypot(*offset.T).max()) if len(offset) else float((whole * self.spacing).max()) / 2
        pixels = 2 * int(np.ceil(radius / self.pixel)) + 1
        return pixels + (pixels - self.values.shape[0]) % 2

    def turn(self, count: int) -> list[Image]:
        """An even number of views at even angles; the patient's left side comes to the front first."""
        half = [self.view(index * 360 / count) for index in range(count // 2)]
        return half + [view[:, ::-1] for view in half]  # the same lines of sight from behind

    def view(self, degrees: float) -> Image:
        """The largest SUV along each line of sight, float32 `(Z, width)`.

        Rows run from the feet to the head. At 0 degrees the patient is seen from the front, with the right side in
        column 0; at 90 degrees from the patient's left, with the front in column 0. Values between voxels are bilinear.
        """
        angle = np.deg2rad(degrees)
        places = (np.arange(self.width) - (self.width - 1) / 2) * self.pixel
        across, deep = np.meshgrid(-places, places, indexing="ij")
        x = across * np.cos(angle) - deep * np.sin(angle)
        y = across * np.sin(angle) + deep * np.cos(angle)
        sampled = self._sampled(x / self.spacing[0], y / self.spacing[1])
        return np.asarray(sampled.max(axis=1).T, np.float32)

    def _sampled(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Bilinear values `(*x.shape, Z)` at places in voxels from the centre; 0 outside."""
        columns, rows, slices = self.values.shape
        i, j = x + (columns - 1) / 2, y + (rows - 1) / 2
        low_i, low_j = np.floor(np.round(i, 6)).astype(int), np.floor(np.round(j, 6)).astype(int)
        part_i, part_j = i - low_i, j - low_j
        flat = self.values.reshape(-1, slices)
        total = np.zeros((*x.shape, slices), np.float32)
        for step_i, step_j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight = (part_i if step_i else 1 - part_i) * (part_j if step_j else 1 - part_j)
            at_i, at_j = low_i + step_i, low_j + step_j
            used = (weight > 1e-5) & (at_i >= 0) & (at_i < columns) & (at_j >= 0) & (at_j < rows)
            found = flat[at_i[used] * rows + at_j[used]]
            total[used] += weight[used, None].astype(np.float32) * found
        return total
