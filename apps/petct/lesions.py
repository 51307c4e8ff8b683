"""Lesions of a labelled study: the connected parts of its tumour, and the slices that each of them covers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.petct.study import TumourLabel
from transect.data_adapters.volume.masks import components


class Lesion(NamedTuple):
    """A lesion covers a run of slices without a gap.

    Args:
        first: Its lowest slice.
        last: Its highest slice.
        voxels: Its size; 0 where it is smaller than a voxel.
    """

    first: int
    last: int
    voxels: int


def lesions(label: TumourLabel) -> list[Lesion]:
    """The lesions of a study, from the feet to the head.

    A lesion is a part of the mask whose voxels share faces or edges (18 neighbours, as in the code of the lymphoma
    data set, microsoft/lymphoma-segmentation-dnn). Positive slices without a voxel, of contours smaller than one,
    are a lesion of their own where no neighbouring slice has tumour, and else belong to it.
    """
    from scipy import ndimage

    parts = components(label.mask, 18)
    start = parts.box[2].start
    extents = [box[2] for box in (ndimage.find_objects(parts.labels) if len(parts.sizes) else [])]
    found = [
        Lesion(start + extent.start, start + extent.stop - 1, int(size))
        for extent, size in zip(extents, parts.sizes, strict=True)
    ]
    marked: NDArray[np.bool_] = np.asarray(label.mask.any(axis=(0, 1)))
    found += [
        Lesion(first, last, 0) for first, last in runs(label.positive | marked) if not marked[first : last + 1].any()
    ]
    return sorted(found)


def runs(slices: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The first and the last slice of each run of True."""
    change = np.flatnonzero(np.diff(slices.astype(np.int8), prepend=0, append=0))
    return [(int(first), int(end) - 1) for first, end in zip(change[::2], change[1::2], strict=True)]
