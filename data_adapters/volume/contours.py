"""Between masks and polygons on the slices of a volume, so that one gives the other back exactly.

A voxel belongs to a region where its centre lies inside an odd number of the region's polygons: the even-odd rule,
which DICOM's structure sets need for holes. Drawing libraries fill edges and round corners to pixels instead.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]
"""`(n, 2)` voxel indices (x, y) with fractions; the last point is joined to the first."""


def filled(polygons: Iterable[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Voxels `(X, Y)` whose centres lie inside an odd number of polygons; a centre on an edge belongs to one side."""
    crossings = np.zeros((shape[0] + 1, shape[1]), np.int32)
    for polygon in polygons:
        x, y, next_x, next_y = (part for end in (polygon, np.roll(polygon, -1, axis=0)) for part in end.T)
        first = np.clip(np.ceil(np.minimum(y, next_y)), 0, shape[1]).astype(int)
        count = np.clip(np.ceil(np.maximum(y, next_y)), 0, shape[1]).astype(int) - first
        edge = np.repeat(np.arange(len(x)), count)  # an edge crosses the rows from its lower end to below its upper end
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        at = x[edge] + (row - y[edge]) * (next_x - x)[edge] / (next_y - y)[edge]
        np.add.at(crossings, (np.clip(np.ceil(at), 0, shape[0]).astype(int), row), 1)
    return np.cumsum(crossings, axis=0)[:-1] % 2 == 1


def area(polygon: Polygon) -> float:
    """The area of a polygon in voxels, 0 for points and lines."""
    x, y = (polygon - polygon[0]).T if len(polygon) else np.zeros((2, 1))
    return float(abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


def outlines(mask: NDArray[np.bool_]) -> list[Polygon]:
    """The polygons around the true voxels `(X, Y)`, halfway to their neighbours; a hole is a polygon of its own."""
    from contourpy import contour_generator

    padded = np.pad(mask.astype(np.float64), 1)
    lines = contour_generator(z=padded.T).lines(0.5)
    return [_corners(np.asarray(line)[:-1] - 1.0) for line in lines]


def _corners(polygon: Polygon) -> Polygon:
    """A polygon without the points between two others on a straight line."""
    before, after = polygon - np.roll(polygon, 1, axis=0), np.roll(polygon, -1, axis=0) - polygon
    return polygon[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
