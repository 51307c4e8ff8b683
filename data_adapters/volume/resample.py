"""Bring volumes to another orientation or grid, and masks back to the grid of their image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.volume import AXES, Grid


def reorient(values: NDArray[Any], grid: Grid, orientation: str = "RAS") -> tuple[NDArray[Any], Grid]:
    """Permute and flip axes so that the indices grow in the directions of `orientation`; no value changes.

    Args:
        values: `(X, Y, Z)`.
        grid: Their grid; an uneven one must keep its slices on the third axis.
        orientation: Such as "RAS".

    Returns:
        A view of the values, and its grid. `reorient(*result, grid.orientation)` gives the input back exactly.
    """
    target = [
        next((row, letter == names[1]) for row, names in enumerate(AXES) if letter in names) for letter in orientation
    ]
    order = [next(axis for axis, (row, _) in enumerate(grid.axes) if row == wanted) for wanted, _ in target]
    flips = [(grid.axes[axis][1] > 0) != positive for axis, (_, positive) in zip(order, target, strict=True)]
    if grid.positions is not None and order[2] != 2:
        grid = evened(grid)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        turn[old, new] = -1 if flip else 1
        turn[old, 3] = grid.shape[old] - 1 if flip else 0
    positions = None
    if grid.positions is not None:
        corner = [[grid.shape[axis] - 1 if turn[axis, :2].min() < 0 else 0 for axis in (0, 1)]]
        positions = (grid.positions + corner @ grid.affine[:3, :2].T)[:: -1 if flips[2] else 1]
    shape = tuple(grid.shape[axis] for axis in order)
    affine = grid.affine @ turn
    if positions is not None:
        affine[:3, 3] = positions[0]
    view = values.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return view, Grid((shape[0], shape[1], shape[2]), affine, positions)


def evened(grid: Grid) -> Grid:
    """The grid with evenly spaced slices between its first and its last one."""
    return Grid(grid.shape, grid.affine)


def with_spacing(grid: Grid, spacing: tuple[float | None, float | None, float | None]) -> Grid:
    """The straight grid that covers `grid` in the same orientation with another spacing.

    Its axes are the world axes nearest to those of `grid`, or exactly its axes where these are perpendicular.

    Args:
        grid: What to cover, to the outer faces of its voxels.
        spacing: In mm, by axis; None keeps the spacing of `grid`.
    """
    steps = np.array([new or old for new, old in zip(spacing, grid.spacing, strict=True)])
    cosines = grid.affine[:3, :3] / np.asarray(grid.spacing)
    if not np.allclose(cosines.T @ cosines, np.eye(3), atol=1e-4):
        left, _, right = np.linalg.svd(cosines)
        cosines = left @ right  # the nearest perpendicular axes
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
    along = grid.world(corners) @ cosines
    low, high = along.min(axis=0), along.max(axis=0)
    shape = np.maximum(np.ceil((high - low) / steps - 1e-3), 1).astype(int)
    start = (low + high) / 2 - (shape - 1) / 2 * steps
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = cosines * steps, cosines @ start
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def resample(
    values: NDArray[Any], source: Grid, target: Grid, order: int = 1, slices: slice = slice(None), fill: float = 0.0
) -> NDArray[Any]:
    """The values on another grid, by its world coordinates.

    Args:
        values: `(X, Y, Z)` on `source`.
        source: Their grid.
        target: The grid to sample.
        order: 0 for the nearest voxel (masks), 1 for linear interpolation.
        slices: Slices of `target` to compute, so that a large volume can be done slab by slab.
        fill: The value outside of `source`, which ends at the outer faces of its voxels.

    Returns:
        `(X, Y, z)`, of the type of `values` for order 0, else float32.
    """
    first, last, _ = slices.indices(target.shape[2])
    ranges = (range(target.shape[0]), range(target.shape[1]), range(first, max(first, last)))
    parallel = _parallel(source, target, ranges)
    if parallel:
        return _along_axes(values, source, target, *parallel, order, fill)
    result = np.empty(tuple(map(len, ranges)), values.dtype if order == 0 else np.float32)
    for place, k in enumerate(ranges[2]):
        result[..., place] = _slice(values, source, target, k, order, fill)
    return result


def _parallel(
    source: Grid, target: Grid, ranges: tuple[range, range, range]
) -> tuple[list[int], list[NDArray[np.float64]]] | None:
    """For each axis of the source, the parallel axis of the target and the indices of its places; None if oblique."""
    turn = np.linalg.solve(source.affine[:3, :3], target.affine[:3, :3])
    axes = [int(axis) for axis in np.abs(turn).argmax(axis=1)]
    if sorted(axes) != [0, 1, 2] or 0 in map(len, ranges):
        return None
    origin = np.array([places[0] for places in ranges], float)
    coordinates = []
    for own, axis in enumerate(axes):
        points = np.tile(origin, (len(ranges[axis]), 1))
        points[:, axis] = ranges[axis]
        coordinates.append(source.index(target.world(points))[:, own])
    corners = np.array(np.meshgrid(*[(places[0], places[-1]) for places in ranges])).reshape(3, -1).T
    whole = source.index(target.world(corners))
    for own, axis in enumerate(axes):
        if np.abs(whole[:, own] - coordinates[own][corners[:, axis] - ranges[axis][0]]).max() > 1e-3:
            return None
    return axes, coordinates


def _along_axes(
    values: NDArray[Any],
    source: Grid,
    target: Grid,
    axes: list[int],
    coordinates: list[NDArray[np.float64]],
    order: int,
    fill: float,
) -> NDArray[Any]:
    """Interpolate along one axis after the other, on the part of the source that is needed."""
    last = [size - 1 for size in source.shape]
    places = [np.clip(place, 0, end) for place, end in zip(coordinates, last, strict=True)]
    if order == 0:
        nearest = [np.floor(place + 0.5).astype(int).clip(0, end) for place, end in zip(places, last, strict=True)]
        values = values[np.ix_(*nearest)]
    else:
        low = [np.minimum(place.astype(int), max(end - 1, 0)) for place, end in zip(places, last, strict=True)]
        values = values[tuple(slice(int(index.min()), int(index.max()) + 2) for index in low)]
        for own in sorted(range(3), key=lambda own: target.shape[axes[own]] / source.shape[own]):
            share = (places[own] - low[own]).astype(np.float32).reshape([-1 if axis == own else 1 for axis in range(3)])
            index = low[own] - low[own].min()
            below = values.take(index, axis=own).astype(np.float32, copy=False)
            above = values.take(np.minimum(index + 1, values.shape[own] - 1), axis=own).astype(np.float32, copy=False)
            above -= below
            above *= share
            above += below
            values = above
    for own, place in enumerate(coordinates):
        outside = ~_inside(place, source.shape[own])
        if outside.any():
            values[tuple(outside if axis == own else slice(None) for axis in range(3))] = fill
    return values.transpose([axes.index(axis) for axis in range(3)])


def _slice(values: NDArray[Any], source: Grid, target: Grid, k: int, order: int, fill: float) -> NDArray[Any]:
    """One slice of the target at any angle to the source."""
    from scipy import ndimage

    grid = np.stack(np.meshgrid(*map(np.arange, target.shape[:2]), [k], indexing="ij"), axis=-1)[:, :, 0]
    index = source.index(target.world(grid))
    inside = np.logical_and.reduce([_inside(index[..., axis], source.shape[axis]) for axis in range(3)])
    if order == 0:
        last = np.array(source.shape) - 1
        nearest = np.clip(np.floor(index + 0.5), 0, last).astype(int)
        return np.where(inside, values[tuple(np.moveaxis(nearest, -1, 0))], values.dtype.type(fill))
    places = np.moveaxis(index, -1, 0)
    sampled = ndimage.map_coordinates(values, places, output=np.float32, order=1, mode="nearest")
    return np.where(inside, sampled, np.float32(fill))


def _inside(places: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Whether indices lie within the outer faces of an axis; the margin is for rounding."""
    return (places > -0.5 - 1e-3) & (places < size - 0.5 + 1e-3)
