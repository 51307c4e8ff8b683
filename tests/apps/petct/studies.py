"""Small studies in memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.petct.config import Config
from transect.apps.petct.models.config import ModelConfig
from transect.data_adapters.petct.study import Study, StudyCase, TumourLabel
from transect.data_adapters.volume.volume import Grid, Volume

SMALL = {"width": 8, "dim": 16, "heads": 2, "depth": 1}


def small(name: str = "resnet18", size: int = 32, **model: Any) -> Config:
    """Settings of a small network on small slices."""
    sizes = {**SMALL, **model}
    return Config(model=ModelConfig(name, **sizes), size=size, precision="fp32")


def a_study(
    values: NDArray[np.float32],
    positive: tuple[int, ...] | None = (),
    ct: NDArray[np.float32] | None = None,
    spacing: tuple[float, float, float] = (4.0, 4.0, 3.0),
    **fields: Any,
) -> Study:
    """A study of SUV `(X, Y, Z)` in RAS, with tumour in the first voxel of the slices `positive`; None for no label."""
    count = values.shape[2]
    mask = np.zeros(values.shape, np.uint8)
    mask[0, 0, list(positive or ())] = 1
    label = None if positive is None else TumourLabel(mask, mask.any((0, 1)))
    grid = Grid((values.shape[0], values.shape[1], count), np.diag([*spacing, 1.0]))
    positions = np.arange(count) * spacing[2]
    pet = Volume(values, grid, "study", "PT")
    return Study(pet, positions, lambda: ct, lambda: label, **fields)


def a_case(name: str, **fields: Any) -> StudyCase:
    """A case of a study of that name."""
    return StudyCase(name, name, pet=f"{name}.nii.gz", label=f"{name}-seg.nii.gz", **fields)
