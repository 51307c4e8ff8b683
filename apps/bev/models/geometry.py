"""Where pixels look and where points project, of cameras that look along z with x right and y down.

Pixel centres lie at whole numbers. Ego axes are x forward, y left, z up, in metres. All of it is computed in float32,
also under autocast: bf16 has steps of 2 pixels at column 480.
"""

import torch
from torch import Tensor

from transect.data_adapters.bev.grid import Grid

NEAREST = 0.1
"""Depth along the axis of a camera from which on a point counts as in front of it, m."""


def inverse(matrix: Tensor) -> Tensor:
    """The inverse of 3x3 matrices `(..., 3, 3)` by cofactors, which every runtime of exported models has."""
    first, second, third = matrix.float().unbind(-2)
    columns = [_cross(second, third), _cross(third, first), _cross(first, second)]
    determinant = (first * columns[0]).sum(-1)
    return torch.stack(columns, -1) / determinant[..., None, None]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    after, before = [1, 2, 0], [2, 0, 1]
    return a[..., after] * b[..., before] - a[..., before] * b[..., after]


def directions(intrinsics: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Points at depth 1 that project to pixels, in camera axes.

    Args:
        intrinsics: `(..., 3, 3)`.
        rows: `(h,)` in pixels.
        columns: `(w,)` in pixels.

    Returns:
        `(..., h, w, 3)`.
    """
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], -1)
    return (inverse(intrinsics)[..., None, None, :, :] * pixels[..., None, :]).sum(-1)


def to_ego(camera_to_ego: Tensor, points: Tensor) -> Tensor:
    """Points `(..., h, w, 3)` in the axes of cameras `(..., 4, 4)`, in ego metres."""
    matrix = camera_to_ego.float()[..., None, None, :3, :]
    return (matrix[..., :3] * points[..., None, :]).sum(-1) + matrix[..., 3]


def project(intrinsics: Tensor, camera_to_ego: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels and depths of points on the ground.

    Args:
        intrinsics: `(..., 3, 3)`.
        camera_to_ego: `(..., 4, 4)`.
        points: `(m, 3)` in ego metres.

    Returns:
        Columns and rows `(..., m, 2)` and depths along the axis of the camera `(..., m)`. Pixels of points that are not
        in front of the camera mean nothing.
    """
    pose = camera_to_ego.float()
    camera = (inverse(pose[..., :3, :3])[..., None, :, :] * (points - pose[..., None, :3, 3])[..., None, :]).sum(-1)
    pixels = (intrinsics.float()[..., None, :2, :] * camera[..., None, :]).sum(-1)
    depth = camera[..., 2]
    return pixels / depth.clamp(min=NEAREST)[..., None], depth


def ground(grid: Grid, rows: Tensor, columns: Tensor) -> Tensor:
    """The points of the ground that pixels of a map stand for: `(h, w, 2)`, x and y in ego metres.

    Args:
        grid: Of the map.
        rows: `(h,)`, in pixels of the grid.
        columns: `(w,)`, in pixels of the grid.
    """
    middle = grid.height * grid.offset + grid.height / 2
    x, y = (middle - rows) * grid.resolution, (grid.width / 2 - columns) * grid.resolution
    return torch.stack(torch.meshgrid(x, y, indexing="ij"), -1)


def span(count: int, end: float, device: torch.device) -> Tensor:
    """`count` numbers from 0 to `end`, both included."""
    return torch.linspace(0, 1, count, device=device) * end


def cell_centres(grid: Grid, size: tuple[int, int], device: torch.device) -> Tensor:
    """The places of the cells of a smaller map that is upsampled to the grid: `(H, W, 2)`, x and y in ego metres.

    The upsampling blocks keep the corner cells in the corners (`align_corners`), so cell i of H stands for pixel
    `i (height - 1) / (H - 1)`.
    """
    rows, columns = span(size[0], grid.height - 1, device), span(size[1], grid.width - 1, device)
    return ground(grid, rows, columns)


def cells_of(points: Tensor, grid: Grid, size: tuple[int, int]) -> Tensor:
    """The nearest cell, as `cell_centres` places them, of points `(..., 2)`, x and y in ego metres.

    Returns:
        int64 `(...)`, counted by rows; `H W` for points more than half a cell beyond the outer cells.
    """
    middle = grid.height * grid.offset + grid.height / 2
    row = (middle - points[..., 0] / grid.resolution) * ((size[0] - 1) / (grid.height - 1))
    column = (grid.width / 2 - points[..., 1] / grid.resolution) * ((size[1] - 1) / (grid.width - 1))
    row, column = row.round(), column.round()
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    return torch.where(inside, row * size[1] + column, size[0] * size[1]).long()
