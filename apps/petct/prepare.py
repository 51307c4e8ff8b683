"""Slices as the network sees them, in training and in prediction."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from transect.apps.petct.config import Config
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import Study
from transect.data_adapters.volume.resample import reorient


def prepare(study: Study, config: Config, slices: slice = slice(None)) -> NDArray[np.float32]:
    """Normalize slices and resize them to `(size, size)`.

    SUV from 0 to `suv_max`, and CT values in `hu`, become 0 to 1; others are clipped. Rows go from front to back and
    columns from right to left of the patient, as axial slices are displayed. Slices are resized bilinearly, where they
    become smaller with a filter against aliasing, so that a lesion of few voxels is averaged and not missed.

    Args:
        study: The study.
        config: Settings.
        slices: Of the study, from the feet to the head.

    Returns:
        float32 `(slices, channels, size, size)`, the PET first.

    Raises:
        BadInput: the study has no CT, and the network takes one.
    """
    channels = []
    if "pet" in config.model.inputs:
        channels.append(_axial(study, study.pet.values, slices) / config.suv_max)
    if "ct" in config.model.inputs:
        if study.ct is None:
            raise BadInput(
                study.pet.name, "CT", "none", f"a CT: the model takes {config.model.inputs}", "add it to the study"
            )
        low, high = config.hu
        channels.append((_axial(study, study.ct, slices) - low) / (high - low))
    images = torch.from_numpy(np.stack(channels, axis=1)).clamp_(0, 1)
    size = (config.size, config.size)
    if images.shape[2:] != size:
        # The filter may leave the range by rounding.
        images = F.interpolate(images, size, mode="bilinear", antialias=True).clamp_(0, 1)
    prepared: NDArray[np.float32] = images.numpy()
    return prepared


def with_neighbours(images: NDArray[np.generic], first: int, count: int, neighbours: int) -> NDArray[np.float32]:
    """Slices with those on either side as further channels; beyond the ends the last slice is repeated.

    Args:
        images: `(Z, channels, size, size)`.
        first: The first slice.
        count: Number of slices.
        neighbours: On either side.

    Returns:
        float32 `(count, (2 neighbours + 1) channels, size, size)`.
    """
    places = np.arange(first, first + count)[:, None] + np.arange(-neighbours, neighbours + 1)
    chosen = images[places.clip(0, len(images) - 1)]
    return chosen.reshape(count, -1, *images.shape[2:]).astype(np.float32, copy=False)


def _axial(study: Study, values: NDArray[np.generic], slices: slice) -> NDArray[np.float32]:
    """Slices `(z, rows, columns)`, rows to the back and columns to the left."""
    turned, _ = reorient(values, study.pet.grid, "LPS")
    return np.ascontiguousarray(turned[..., slices].transpose(2, 1, 0), np.float32)
