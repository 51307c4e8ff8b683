"""The label of a volume: one region, by its number or its name, on exactly the volume's grid."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_seg import read_seg
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.rtstruct import read_rtstruct
from transect.data_adapters.volume.volume import Volume

SAME_VOXELS = 0.1
"""The largest distance, in voxels, of the grid of a label from that of its image: programs round affines."""


def nifti_label(path: Path, volume: Volume, wanted: str, names: dict[int, str]) -> NDArray[np.uint8]:
    """Read one region of a NIfTI mask, whose axes may be flipped or in another order than those of the image.

    Args:
        path: The mask.
        volume: Its image.
        wanted: The region's number, or its name in `names`. A mask with one value alone needs neither.
        names: The name of each number, from dataset.json.

    Returns:
        `(X, Y, Z)` of 0 and 1.

    Raises:
        BadInput: the mask lies on another grid, is no mask of whole numbers, or has no voxel of the region.
    """
    mask = read_nifti(path)
    labels, grid = reorient(mask.values, mask.grid, volume.grid.orientation)
    if not volume.grid.matches(grid, SAME_VOXELS):
        sides = [
            f"{' x '.join(map(str, grid.shape))} voxels of {' x '.join(f'{step:.4g}' for step in grid.spacing)} mm, "
            f"{grid.orientation}, first at {', '.join(f'{place:.4g}' for place in grid.affine[:3, 3])}"
            for grid in (mask.grid, volume.grid)
        ]
        raise BadInput(path, "grid", sides[0], sides[1], "resample the label to its image")
    values = np.unique(labels)
    if (values != np.round(values)).any():
        raise BadInput(path, "values", f"{values[values != np.round(values)][0]:g}", "whole numbers")
    present = [int(value) for value in values if value != 0]
    number = _number(path, wanted, names, present)
    if number not in present:
        there = ", ".join(map(str, present[:12])) or "no voxel of any label"
        raise BadInput(path, "label", there, f"voxels of {number}" + (f" ({names[number]})" if number in names else ""))
    return (labels == number).astype(np.uint8)


def dicom_label(
    objects: dict[Path, str], volume: Volume, wanted: str, required: bool = False
) -> tuple[NDArray[np.uint8] | None, list[str]]:
    """Look for one region in the segmentations (SEG) and structure sets (RTSTRUCT) of a study.

    Args:
        objects: Their files, each with its Modality.
        volume: The series that they may belong to.
        wanted: The name of the region; an object with one region alone may call it otherwise.
        required: Whether an object without the region is an error.

    Returns:
        `(X, Y, Z)` of 0 and 1, or None; and why other objects do not count.

    Raises:
        BadInput: several objects have the region; or none has it, and it is required.
    """
    found: dict[Path, NDArray[np.uint8]] = {}
    faults: list[BadInput] = []
    for path, modality in sorted(objects.items()):
        try:
            if modality == "SEG":
                masks = read_seg(path, volume)
                matching = [mask for name, mask in masks.items() if name.casefold() == wanted.casefold()]
                if not matching and len(masks) != 1:
                    raise BadInput(path, "SegmentLabel", ", ".join(masks) or "none", f"one called {wanted!r}")
                found[path] = (matching or list(masks.values()))[0]
            elif modality == "RTSTRUCT":
                found[path] = read_rtstruct(path, volume, wanted).mask
        except BadInput as error:
            faults.append(error)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise BadInput(next(iter(found)).parent, "label", names, f"one file with {wanted!r}", "move the others away")
    if required and faults and not found:
        raise faults[0]
    return next(iter(found.values()), None), [f"no label: {error}" for error in faults]


def _number(path: Path, wanted: str, names: dict[int, str], present: list[int]) -> int:
    if wanted.isdigit():
        return int(wanted)
    named = [number for number, name in names.items() if name.casefold() == wanted.casefold()]
    if len(named) == 1:
        return named[0]
    if len(present) == 1 and not names:
        return present[0]
    if not present:
        raise BadInput(path, "label", "no voxel of any label", f"voxels of {wanted}")
    there = ", ".join(f"{number} ({names[number]})" if number in names else str(number) for number in present[:12])
    raise BadInput(path, "label", there, f"one called {wanted!r}", "read.label chooses one by its number or name")
