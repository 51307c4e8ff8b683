"""A predicted bird's-eye-view map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.bev.sample import Frame


@dataclass(frozen=True, eq=False)
class BevMap:
    """The probability of each class on the grid of a sample.

    Args:
        frame: What it was predicted from.
        classes: Names, such as "vehicle".
        probability: float32 `(C, H, W)`.
        threshold: float64 `(C,)`: probability from which a pixel is of the class.
        spread: float32 `(C, H, W)`, the standard deviation over the members of an ensemble; None for one model.
    """

    frame: Frame
    classes: tuple[str, ...]
    probability: NDArray[np.float32]
    threshold: NDArray[np.float64]
    spread: NDArray[np.float32] | None = None

    @property
    def mask(self) -> NDArray[np.uint8]:
        """uint8 `(C, H, W)` of 0 and 1."""
        return (self.probability >= self.threshold[:, None, None]).astype(np.uint8)
