"""Distances between the surfaces of two masks in mm.

Written here because MONAI's distances know only the spacing of a volume, which may also be sheared or have unevenly
spaced slices. Searching surfaces, and not the box around them, takes 0.16 instead of 1.1 CPU seconds for two livers in
256 x 256 x 64 voxels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.masks import Mask, bounding_box
from transect.data_adapters.volume.volume import Grid

ROUNDING_MM = 1e-4
"""By how much a distance may exceed a tolerance, since files store affines in single precision."""


class SurfaceScores(NamedTuple):
    """Agreement of two surfaces. Two empty masks agree; of an empty and another one, the distances are infinite.

    Args:
        hd95_mm: The 95th percentile of the distances to the other surface, of the direction in which it is larger.
        assd_mm: The mean of the distances in both directions.
        nsd: The share of surface voxels within the tolerance of the other surface, in both directions.
    """

    hd95_mm: float
    assd_mm: float
    nsd: float


def surface_scores(prediction: Mask, label: Mask, grid: Grid, tolerance: float) -> SurfaceScores:
    """Compare two masks, by the distances from each surface voxel of one to the nearest surface voxel of the other.

    Distances are between centres of voxels, as in MONAI without subvoxels.

    Args:
        prediction: uint8 `(X, Y, Z)` of 0 and 1.
        label: The same.
        grid: Their grid.
        tolerance: Distance in mm from which surfaces differ, for `nsd`.
    """
    from scipy.spatial import KDTree

    one, other = surface(prediction, grid), surface(label, grid)
    if not len(one) or not len(other):
        return SurfaceScores(np.inf, np.inf, 0.0) if len(one) or len(other) else SurfaceScores(0.0, 0.0, 1.0)
    ways = KDTree(other).query(one)[0], KDTree(one).query(other)[0]
    both = np.concatenate(ways)
    return SurfaceScores(
        max(float(np.percentile(way, 95)) for way in ways),
        float(both.mean()),
        float((both <= tolerance + ROUNDING_MM).mean()),
    )


def surface(mask: Mask, grid: Grid) -> NDArray[np.float64]:
    """World coordinates in mm, `(count, 3)`, of the voxels with a face to the background or the end of the volume."""
    from scipy import ndimage

    box = bounding_box(mask)
    inside = mask[box] > 0
    return grid.world(np.argwhere(inside & ~ndimage.binary_erosion(inside)) + [side.start for side in box])
