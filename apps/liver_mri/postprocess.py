"""Post-processing of masks, in their bounding box.

Written here with scipy because MONAI's need scikit-image. A mask is never changed: a step returns another one, or the
same one where it has nothing to do.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""`(X, Y, Z)` of 0 and 1."""
Box = tuple[slice, slice, slice]


def largest_component(mask: Mask) -> Mask:
    """The largest connected part of a mask; voxels that share a face, an edge or a corner are connected.

    Of equally large parts, the one with the first voxel is kept. An empty mask stays empty.
    """
    from scipy import ndimage

    box = bounding_box(mask)
    parts, count = ndimage.label(mask[box], np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.zeros(count + 1, np.int64)
    for part in parts:  # bincount makes a copy of 8 bytes a voxel
        sizes += np.bincount(part.ravel(), minlength=count + 1)
    kept = np.zeros_like(mask)
    kept[box] = parts == 1 + sizes[1:].argmax()
    return kept


def fill_holes(mask: Mask) -> Mask:
    """The mask with its cavities: parts of the background from which no path over faces leads to the border."""
    from scipy import ndimage

    box = bounding_box(mask)
    parts, count = ndimage.label(np.pad(mask[box] == 0, 1, constant_values=True))
    if count < 2:
        return mask
    filled = mask.copy()
    filled[box] = parts[1:-1, 1:-1, 1:-1] != parts[0, 0, 0]
    return filled


def bounding_box(*masks: Mask) -> Box:
    """The smallest box around all voxels above 0 of masks of one shape; an empty box if there are none."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(np.logical_or.reduce([mask.any(axis=others) for mask in masks]))
        spans.append(slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0))
    return spans[0], spans[1], spans[2]
