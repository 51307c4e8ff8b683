"""Post-processing of masks.

A mask is never changed: a step returns another one, or the same one where it has nothing to do. Written here with scipy
because MONAI's need scikit-image.
"""

import numpy as np

from transect.data_adapters.volume.masks import Mask, bounding_box, components


def largest_component(mask: Mask) -> Mask:
    """The largest connected part of a mask; voxels that share a face, an edge or a corner are connected.

    Of equally large parts, the one with the first voxel is kept. An empty mask stays empty.
    """
    parts = components(mask)
    if len(parts.sizes) < 2:
        return mask
    kept = np.zeros_like(mask)
    kept[parts.box] = parts.labels == 1 + parts.sizes.argmax()
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
