"""A volume on its grid: values, the place of each voxel in mm, and what is needed to write a mask for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

    from transect.data_adapters.volume.dicom_slices import Slice

Floats = NDArray[np.float64]

AXES = (("L", "R"), ("P", "A"), ("I", "S"))
"""The names of the negative and the positive direction of each world axis."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie.

    World coordinates are RAS millimetres: x grows to the patient's right, y to the front, z to the head. The centre of
    voxel `(i, j, k)` is at `affine @ (i, j, k, 1)`.

    Args:
        shape: `(X, Y, Z)`.
        affine: `(4, 4)` float64, voxel index to world.
        positions: `(Z, 3)`, the world position of voxel `(0, 0, k)` of each slice, where slices are unevenly spaced;
            the affine's third column is then the mean distance. None where the affine holds for every slice.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    positions: NDArray[np.float64] | None = None

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between the centres of neighbouring voxels along each axis; the mean along uneven slices."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @cached_property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm3: the determinant, which is also right where the axes are oblique to each other."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @cached_property
    def axes(self) -> tuple[tuple[int, int], ...]:
        """For each voxel axis, the nearest world axis and the direction along it, 1 or -1; each world axis once."""
        cosines = self.affine[:3, :3] / np.asarray(self.spacing)
        free, found = [0, 1, 2], {}
        for column in np.argsort(-np.abs(cosines).max(axis=0), kind="stable"):
            row = max(free, key=lambda row: abs(cosines[row, column]))
            free.remove(row)
            found[int(column)] = (row, 1 if cosines[row, column] >= 0 else -1)
        return tuple(found[column] for column in range(3))

    @cached_property
    def orientation(self) -> str:
        """The direction in which each index grows, such as "LPS"."""
        return "".join(AXES[row][direction > 0] for row, direction in self.axes)

    def world(self, index: ArrayLike) -> NDArray[np.float64]:
        """World coordinates `(..., 3)` of voxel indices `(..., 3)`, which may be fractions."""
        index = np.asarray(index, float)
        if self.positions is None:
            return index @ self.affine[:3, :3].T + self.affine[:3, 3]
        return index[..., :2] @ self.affine[:3, :2].T + self._position(index[..., 2])

    def index(self, world: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices `(..., 3)`, with fractions, of world coordinates `(..., 3)`; the inverse of `world`."""
        world = np.asarray(world, float)
        index = (world - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T
        if self.positions is not None:
            normal = self.normal
            index[..., 2] = _interpolate(world @ normal, self.positions @ normal, np.arange(self.shape[2], dtype=float))
            rest = world - self._position(index[..., 2])
            index[..., :2] = rest @ np.linalg.pinv(self.affine[:3, :2]).T
        return index

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """The unit vector perpendicular to the slices, in the direction in which their positions grow."""
        normal = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        normal /= np.linalg.norm(normal)
        return normal if normal @ self.affine[:3, 2] > 0 else -normal

    def _position(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        assert self.positions is not None
        places = np.arange(self.shape[2], dtype=float)
        return np.stack([_interpolate(k, places, self.positions[:, axis]) for axis in range(3)], axis=-1)

    def facts(self) -> dict[str, Any]:
        """Shape, spacing, orientation and volume of a voxel, for a table."""
        return {
            "shape": list(self.shape),
            "spacing_mm": [round(step, 4) for step in self.spacing],
            "orientation": self.orientation,
            "voxel_mm3": round(self.voxel_volume, 5),
            "extent_mm": [round(n * step, 1) for n, step in zip(self.shape, self.spacing, strict=True)],
        } | ({} if self.positions is None else {"slices": "unevenly spaced"})

    def matches(self, other: Grid, tolerance: float = 0.01) -> bool:
        """Whether all voxels of both grids lie within `tolerance` of each other, as a fraction of a voxel."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        middle = [[0, 0, k] for k in range(self.shape[2])]
        return bool(np.abs(other.index(self.world([*corners, *middle])) - [*corners, *middle]).max() < tolerance)


def _interpolate(x: Floats, known: Floats, values: Floats) -> Floats:
    """Piecewise linear, continued beyond both ends by the first and the last piece; `known` grows."""
    piece = np.clip(np.searchsorted(known, x, side="right") - 1, 0, len(known) - 2)
    share = (x - known[piece]) / (known[piece + 1] - known[piece])
    return values[piece] + share * (values[piece + 1] - values[piece])


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume as it was read, on its own grid.

    Args:
        values: `(X, Y, Z)`: the type of the file where it stores the values themselves, float32 where it scales them.
        grid: Where the voxels lie.
        name: What it was read from, for messages: a file, or a folder and a series.
        modality: "MR", "CT", "PT", or "" where the format does not say.
        facts: What is shown about it: series, echo, units; without values that identify the patient.
        warnings: What is suspicious about it, one sentence each.
        header: The NIfTI header, with both affines and both codes; None for DICOM.
        slices: The DICOM image of each slice in the order of the third axis; empty for NIfTI.
    """

    values: NDArray[Any]
    grid: Grid
    name: str = ""
    modality: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    header: Nifti1Header | None = None
    slices: tuple[Slice, ...] = ()


def valid_affine(affine: NDArray[np.float64]) -> str:
    """Why `affine` cannot be the geometry of an image, or ""."""
    if not np.isfinite(affine).all():
        return "values that are not finite"
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 1e-3 or spacing.max() > 1e3:
        return f"voxels of {' x '.join(f'{step:.4g}' for step in spacing)} mm"
    if abs(affine[:3, 3]).max() > 1e5:
        return f"an origin at {', '.join(f'{place:.4g}' for place in affine[:3, 3])} mm"
    if abs(np.linalg.det(affine[:3, :3])) < 0.05 * math.prod(spacing):
        return "axes that lie in one plane"
    return ""
