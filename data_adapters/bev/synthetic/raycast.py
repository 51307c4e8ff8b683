"""Images of upright solids on textured ground by ray casting, with the solid that each pixel shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Paint = Callable[[Array, Array, NDArray[np.intp], Array], Array]
"""The colours `(n, 3)` of points of a part: from its colour, their positions `(3, n)` on it (-1 to 1), the axis `(n,)`
of the face, and the half size of the solid in metres."""

CORNERS = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
FACES = np.array([(1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=np.float64)


def plain(colour: Array, unit: Array, axis: NDArray[np.intp], half: Array) -> Array:
    """One colour."""
    return np.broadcast_to(colour, (unit.shape[1], 3))


@dataclass(frozen=True, eq=False)
class Part:
    """A box or an ellipsoid that is part of a solid, in units of the solid's half size.

    Args:
        centre: Its middle, -1 to 1.
        half: Its half size or half axes, so that centre +- half lies in -1 to 1.
        colour: RGB, 0 to 255.
        paint: What its faces show.
        round: An ellipsoid rather than a box.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    colour: tuple[float, float, float]
    paint: Paint = plain
    round: bool = False


@dataclass(frozen=True, eq=False)
class Solid:
    """An upright object: the box that encloses it, and the parts that are drawn.

    Args:
        centre: World position of the middle of the box, m.
        yaw: Heading of its length, radians, counter-clockwise from the world's x axis.
        half: Half of length, width and height, m.
        parts: What is seen of it.
    """

    centre: Array
    yaw: float
    half: Array
    parts: tuple[Part, ...]

    @cached_property
    def rotation(self) -> Array:
        """World axes from the solid's own (forward, left, up)."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])

    @cached_property
    def corners(self) -> Array:
        """float64 `(8, 3)` of the box, in the world."""
        return self.centre + (CORNERS * self.half) @ self.rotation.T


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera; pixel centres lie at whole numbers.

    Args:
        intrinsics: float64 `(3, 3)`.
        to_world: float64 `(4, 4)`; camera axes are x right, y down, z forward.
        height: Rows.
        width: Columns.
    """

    intrinsics: Array
    to_world: Array
    height: int
    width: int

    def rays(self) -> Array:
        """float64 `(3, height, width)`: world directions through the pixel centres, of depth 1."""
        v, u = np.mgrid[: self.height, : self.width].astype(np.float64)
        (fx, _, cx), (_, fy, cy) = self.intrinsics[:2]
        inner = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)])
        return np.einsum("ij,jvu->ivu", self.to_world[:3, :3], inner)


@dataclass(frozen=True, eq=False)
class Light:
    """Light of a day: unit vector `sun` to the sun, its and the sky's strengths, and the sky's RGB (0 to 255)."""

    sun: Array
    direct: float
    ambient: float
    horizon: Array
    zenith: Array
    haze: float
    """Distance in metres at which 63 % of a colour is the horizon's."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The colours of the plane z = 0.

    Args:
        levels: uint8 `(rows, columns, 3)` each, the later ones four times coarser.
        corner: World x and y of the outer corner of the first pixel; rows go along y, columns along x.
        resolution: Metres per pixel of the first level.
    """

    levels: tuple[NDArray[np.uint8], ...]
    corner: tuple[float, float]
    resolution: float

    def colour(self, points: Array, footprint: Array) -> NDArray[np.float32]:
        """float32 `(n, 3)` of `points (2, n)`, averaged over about `footprint (n,)` metres."""
        level = np.clip(np.log2(np.maximum(footprint / self.resolution, 1e-6)) / 2, 0, len(self.levels) - 1)
        out = np.zeros((points.shape[1], 3), np.float32)
        for index, texture in enumerate(self.levels):
            weight = np.maximum(1 - np.abs(level - index), 0).astype(np.float32)
            some = np.flatnonzero(weight)
            if len(some) == 0:
                continue
            x, y = ((points[i, some] - self.corner[i]) / (self.resolution * 4**index) - 0.5 for i in (0, 1))
            for piece in np.array_split(np.arange(len(some)), len(some) // 32000 + 1):  # the limit of remap
                maps = (x[piece].astype(np.float32)[None], y[piece].astype(np.float32)[None])
                seen = cv2.remap(texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                out[some[piece]] += weight[some[piece], None] * seen[0]
        return out


def render(
    camera: Camera, solids: Sequence[Solid], ground: Ground, light: Light
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
    """What a camera sees.

    Returns:
        The image, uint8 `(height, width, 3)`; the index in `solids` of what each pixel shows, int32 `(height, width)`,
        -1 for ground and sky; and how many pixels each solid would have alone, int64 `(len(solids),)`.
    """
    rays, origin = camera.rays(), camera.to_world[:3, 3]
    depth = np.full(rays.shape[1:], np.inf)
    ids = np.full(rays.shape[1:], -1, np.int32)
    alone = np.zeros(len(solids), np.int64)
    colour = _background(camera, rays, solids, ground, light, depth)
    for index, window in _windows(camera, solids):
        solid = solids[index]
        seen = rays[:, window[0], window[1]]
        start, along = _own_axes(solid, origin[:, None], seen.reshape(3, -1))
        hit, which = cast(solid, start, along)
        alone[index] = np.isfinite(hit).sum()
        near = hit < depth[window].ravel()
        if near.any():
            nearer = near.reshape(seen.shape[1:])
            depth[window][nearer], ids[window][nearer] = hit[near], index
            points = start + hit[near] * along[:, near]
            colour[window][nearer] = _shaded(solid, points, which[near], light)
    far = np.linalg.norm(rays, axis=0) * depth
    haze = np.where(np.isfinite(far), 1 - np.exp(-far / light.haze), 0.0).astype(np.float32)[..., None]
    colour += haze * (light.horizon.astype(np.float32) - colour)
    return np.clip(colour + 0.5, 0, 255).astype(np.uint8), ids, alone


def cast(solid: Solid, start: Array, along: Array) -> tuple[Array, NDArray[np.int8]]:
    """Where rays enter a solid.

    Args:
        solid: The solid.
        start: `(3, n)` or `(3, 1)` in its own axes, m from its middle.
        along: `(3, n)` or `(3, 1)`.

    Returns:
        The multiple of `along`, `(n,)`, inf where it is missed; and the index of the part.
    """
    count = max(start.shape[1], along.shape[1])
    best, which = np.full(count, np.inf), np.zeros(count, np.int8)
    start, along = start / solid.half[:, None], along / solid.half[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        for index, part in enumerate(solid.parts):
            scale = np.array(part.half)[:, None]
            hit = (_ellipsoid if part.round else _box)((start - np.array(part.centre)[:, None]) / scale, along / scale)
            nearer = hit < best
            best[nearer], which[nearer] = hit[nearer], index
    return best, which


def _box(start: Array, along: Array) -> Array:
    one, two = (-1 - start) / along, (1 - start) / along
    enter, leave = np.minimum(one, two).max(0), np.maximum(one, two).min(0)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _ellipsoid(start: Array, along: Array) -> Array:
    a, b, c = (along * along).sum(0), (start * along).sum(0), (start * start).sum(0) - 1
    root = b * b - a * c
    enter = (-b - np.sqrt(np.maximum(root, 0))) / a
    return np.where((root > 0) & (enter > 0), enter, np.inf)


def _own_axes(solid: Solid, points: Array, along: Array) -> tuple[Array, Array]:
    turn = solid.rotation.T
    return turn @ (points - solid.centre[:, None]), turn @ along


def _windows(camera: Camera, solids: Sequence[Solid]) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """The index of each solid that may be seen, and in which rows and columns."""
    corners = np.array([solid.corners for solid in solids]).reshape(-1, 8, 3)
    x, y, z = np.moveaxis((corners - camera.to_world[:3, 3]) @ camera.to_world[:3, :3], -1, 0)
    whole, (fx, _, cx), (_, fy, cy) = (z > 0.05).all(1), *camera.intrinsics[:2]
    z = np.where(whole[:, None], z, 1.0)
    u, v = fx * x / z + cx, fy * y / z + cy
    first = np.where(whole[:, None], np.floor(np.stack([v.min(1), u.min(1)], 1)), 0)
    last = np.where(whole[:, None], np.ceil(np.stack([v.max(1), u.max(1)], 1)) + 1, (camera.height, camera.width))
    first, last = (np.clip(ends, 0, (camera.height, camera.width)).astype(int) for ends in (first, last))
    ahead = ((corners - camera.to_world[:3, 3]) @ camera.to_world[:3, 2] > 0.05).any(1)
    for index in np.flatnonzero(ahead & (first < last).all(1)):
        yield int(index), (slice(first[index, 0], last[index, 0]), slice(first[index, 1], last[index, 1]))


def _background(
    camera: Camera, rays: Array, solids: Sequence[Solid], ground: Ground, light: Light, depth: Array
) -> NDArray[np.float32]:
    """The sky, and the ground with shadows; `depth` receives that of the ground."""
    length = np.linalg.norm(rays, axis=0)
    up = np.clip(rays[2] / length, 0, 1)[..., None]
    colour = (light.horizon + (light.zenith - light.horizon) * np.sqrt(up)).astype(np.float32)
    below = rays[2] < -1e-3
    down, height = rays[:, below], camera.to_world[2, 3]
    depth[below] = -height / down[2]
    points = camera.to_world[:2, 3, None] + depth[below] * down[:2]
    # The geometric mean of what a pixel covers across and along the ground.
    across = depth[below] * length[below] / camera.intrinsics[0, 0]
    footprint = across * np.sqrt(np.minimum(length[below] / -down[2], 16))
    lit = light.direct * light.sun[2] * ~_shadowed(points, solids, light.sun, camera)
    colour[below] = ground.colour(points, footprint) * (light.ambient + lit)[:, None].astype(np.float32)
    return colour


def _shadowed(points: Array, solids: Sequence[Solid], sun: Array, camera: Camera) -> NDArray[np.bool_]:
    """Which of the ground points `(2, n)` a solid keeps from the sun."""
    out = np.zeros(points.shape[1], np.bool_)
    if points.shape[1] == 0 or not solids:
        return out
    ends = np.array([solid.corners for solid in solids])[..., :2]
    heights = np.array([2 * solid.half[2] for solid in solids])
    ends = np.concatenate([ends, ends - (heights[:, None] * sun[:2] / sun[2])[:, None]], axis=1)
    first = np.maximum(ends.min(1), points.min(1))
    last = np.minimum(ends.max(1), points.max(1))
    # A shadow that lies behind the camera is not seen, although the bounds of what is seen may hold it.
    ahead = ((ends - camera.to_world[:2, 3]) @ camera.to_world[:2, 2] > 0).any(1)
    for index in np.flatnonzero((first < last).all(1) & ahead):
        solid, low, high = solids[index], first[index, :, None], last[index, :, None]
        near = np.flatnonzero(((points >= low) & (points <= high)).all(0) & ~out)
        if len(near):
            flat = np.concatenate([points[:, near], np.full((1, len(near)), 1e-3)])
            out[near] = np.isfinite(cast(solid, *_own_axes(solid, flat, sun[:, None]))[0])
    return out


def _shaded(solid: Solid, points: Array, which: NDArray[np.int8], light: Light) -> NDArray[np.float32]:
    """Colours `(n, 3)` of points of a solid, `(3, n)` in its own axes."""
    colour = np.empty((points.shape[1], 3))
    for index, part in enumerate(solid.parts):
        some = which == index
        if not some.any():
            continue
        unit = (points[:, some] / solid.half[:, None] - np.array(part.centre)[:, None]) / np.array(part.half)[:, None]
        axis = np.abs(unit).argmax(0)
        outward = FACES[axis].T * np.sign(unit)
        normal = unit / (np.array(part.half) * solid.half)[:, None] if part.round else outward
        normal = solid.rotation @ (normal / np.linalg.norm(normal, axis=0))
        strength = light.ambient * (0.85 + 0.15 * normal[2]) + light.direct * np.maximum(light.sun @ normal, 0)
        colour[some] = part.paint(np.array(part.colour), unit, axis, solid.half) * strength[:, None]
    return colour.astype(np.float32)
