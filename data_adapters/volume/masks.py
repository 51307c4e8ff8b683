"""Parts of masks, in their bounding box.

Written here with scipy because MONAI's need scikit-image.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""`(X, Y, Z)` of 0 and 1."""
Box = tuple[slice, slice, slice]


class Components(NamedTuple):
    """Connected parts of a mask.

    Args:
        box: The bounding box of the mask.
        labels: `(x, y, z)` integers in the box: 0 for the background, then 1, 2, ... in the order of first voxels.
        sizes: Voxels of each part.
    """

    box: Box
    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]


def components(mask: Mask, neighbours: Literal[18, 26] = 26) -> Components:
    """The connected parts of a mask.

    Args:
        mask: The mask.
        neighbours: 18 connects voxels that share a face or an edge, 26 those that share a corner as well.
    """
    from scipy import ndimage

    box = bounding_box(mask)
    labels, count = ndimage.label(mask[box], ndimage.generate_binary_structure(3, 2 if neighbours == 18 else 3))
    sizes = np.zeros(count + 1, np.int64)
    for plane in labels:  # bincount makes a copy of 8 bytes a voxel
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return Components(box, labels, sizes[1:])


def bounding_box(*masks: Mask) -> Box:
    """The smallest box around all voxels above 0 of masks of one shape; an empty box if there are none."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(np.logical_or.reduce([mask.any(axis=others) for mask in masks]))
        spans.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0))
    return spans[0], spans[1], spans[2]
