"""A volume as the network sees it, in training and in prediction."""

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.resample import reorient, resample, with_spacing
from transect.data_adapters.volume.volume import Grid, Volume

Spacing = tuple[float, ...]


def working_grid(grid: Grid, spacing: Spacing) -> Grid:
    """The grid that the network works on: axes in the order and direction RAS, with `spacing` in mm unless empty."""
    _, turned = reorient(np.empty((0, 0, 0)), grid, "RAS")
    return with_spacing(turned, (spacing[0], spacing[1], spacing[2])) if spacing else turned


def prepare(volume: Volume, spacing: Spacing) -> tuple[NDArray[np.float32], Grid]:
    """Reorient, resample and normalize a volume.

    Voxels that are not zero get mean 0 and standard deviation 1; zeros stay zero, since they are padding in many files.
    This is the normalization of SRMA-Mamba (MONAI's NormalizeIntensity with nonzero), without the import of MONAI.

    Returns:
        float32 `(X, Y, Z)`, and its grid.
    """
    grid = working_grid(volume.grid, spacing)
    image = on_grid(volume.values, volume.grid, grid, spacing)
    inside = image != 0
    count = int(inside.sum())
    if count:
        mean = float(image.sum(dtype=np.float64)) / count
        image -= np.float32(mean)
        image[~inside] = 0
        squares = sum(float(np.vdot(plane, plane)) for plane in image)  # by planes: no copy of the volume
        image /= np.float32(np.sqrt(squares / count) or 1.0)
    return image, grid


def prepare_label(label: NDArray[np.uint8], grid: Grid, spacing: Spacing) -> NDArray[np.uint8]:
    """A label `(X, Y, Z)` of 0 and 1 on the working grid of its volume's `grid`."""
    working = working_grid(grid, spacing)
    return (on_grid(label, grid, working, spacing) >= 0.5).astype(np.uint8)


def on_grid(values: NDArray[np.generic], source: Grid, target: Grid, spacing: Spacing) -> NDArray[np.float32]:
    """Values float32 on the working grid."""
    if spacing:
        sampled: NDArray[np.float32] = resample(values, source, target)
        return sampled
    return np.ascontiguousarray(reorient(values, source, "RAS")[0], np.float32)
