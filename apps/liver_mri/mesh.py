"""The surface of a mask as a triangle mesh, in a file that any viewer of meshes opens."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.resample import resample, with_spacing
from transect.data_adapters.volume.volume import Grid

STEP_MM = 2.5
MOST_STEPS = 200
"""Steps along the longest axis; a larger field has larger steps."""

SMOOTHING, MARGIN = 1.4, 5
"""Standard deviation of the Gaussian filter, and the margin that it needs, in steps."""

_CORNERS = np.array([(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)])
_EDGES = [(a, b) for a in range(8) for b in range(a) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


def surface(mask: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The smoothed surface of a mask.

    Args:
        mask: `(X, Y, Z)` of 0 and 1.
        grid: Its grid.

    Returns:
        Vertices `(V, 3)` in world mm, and triangles `(T, 3)` whose corners turn anticlockwise seen from outside. Both
        are empty where nothing is left after smoothing.
    """
    from scipy import ndimage

    extent = np.array(grid.shape) * grid.spacing
    step = max(STEP_MM, extent.max() / MOST_STEPS)
    even = with_spacing(grid, (step, step, step))
    field = resample(mask, grid, even, order=1)
    extents = [np.flatnonzero(field.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(extents[0]):
        return np.empty((0, 3), np.float32), np.empty((0, 3), np.int32)
    start = [int(extent[0]) for extent in extents]
    field = field[tuple(slice(extent[0], extent[-1] + 1) for extent in extents)]
    # The rim is outside, so that the surface is closed where the mask reaches the edge of the field of view.
    smooth = ndimage.gaussian_filter(np.pad(field, MARGIN), SMOOTHING)
    vertices, quads = surface_net(smooth - 0.5)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    if np.linalg.det(even.affine[:3, :3]) < 0:
        triangles = triangles[:, ::-1]
    return even.world(vertices + start - MARGIN).astype(np.float32), triangles.astype(np.int32)


def surface_net(field: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Naive surface nets (Gibson 1998): the surface between the positive and the other values of a field.

    Each cell of 2 x 2 x 2 values that the surface crosses has one vertex, the mean of the crossings of its edges. Each
    edge that it crosses has one quadrilateral, between the four cells around it. Written here because no library that
    this app needs has it, and scikit-image would be installed for it alone.

    Args:
        field: `(X, Y, Z)`; the values on the rim are not positive.

    Returns:
        Vertices `(V, 3)` in indices of the field, and quadrilaterals `(Q, 4)`.
    """
    inside = field > 0
    near = [inside[tuple(slice(c, n - 1 + c) for c, n in zip(corner, field.shape, strict=True))] for corner in _CORNERS]
    cells = np.argwhere(np.logical_or.reduce(near) & ~np.logical_and.reduce(near))
    values = np.stack([field[tuple((cells + corner).T)] for corner in _CORNERS], axis=1).astype(float)
    total, count = np.zeros((len(cells), 3)), np.zeros((len(cells), 1))
    for a, b in _EDGES:
        crossed = (values[:, a] > 0) != (values[:, b] > 0)
        share = values[crossed, a] / (values[crossed, a] - values[crossed, b])
        total[crossed] += _CORNERS[a] + share[:, None] * (_CORNERS[b] - _CORNERS[a])
        count[crossed] += 1
    number = np.full(field.shape, -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    quads = []
    for axis in range(3):
        _, one, two = np.roll(np.eye(3, dtype=int), axis, axis=1)
        low, high = np.delete(inside, -1, axis), np.delete(inside, 0, axis)
        for leaving, turn in ((low & ~high, 1), (~low & high, -1)):
            edges = np.argwhere(leaving)
            around = [edges - one - two, edges - two, edges, edges - one][::turn]
            quads.append(np.stack([number[tuple(cell.T)] for cell in around], axis=1))
    return cells + total / np.maximum(count, 1), np.concatenate(quads)


def write_ply(path: Path, vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> None:
    """Write a binary PLY in RAS mm; its comment is how 3D Slicer knows the axes."""
    head = (
        "ply\nformat binary_little_endian 1.0\ncomment SPACE=RAS\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    faces = np.empty(len(triangles), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, triangles
    path.write_bytes(head.encode("ascii") + vertices.astype("<f4").tobytes() + faces.tobytes())
