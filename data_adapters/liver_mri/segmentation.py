"""The predicted liver of a volume, computed slab by slab."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.masks import Mask
from transect.data_adapters.volume.volume import Volume


class Slab(NamedTuple):
    """The probability of liver in consecutive slices of a volume, from slice `start` on.

    Args:
        start: Index of the first slice along the third axis.
        probability: float32 `(X, Y, slices)`, in [0, 1].
        lowest: The smallest probability over flips, or over the members of an ensemble; None for a single prediction.
        highest: The largest one.
    """

    start: int
    probability: NDArray[np.float32]
    lowest: NDArray[np.float32] | None = None
    highest: NDArray[np.float32] | None = None


@dataclass(eq=False)
class Segmentation:
    """The liver of a volume. It is computed when a mask is first asked for, from `slabs`, which are drained once.

    Args:
        volume: What was segmented.
        slabs: From the first slice to the last.
        threshold: Probability from which a voxel is liver.
        postprocess: From the mask by the threshold to the final mask, both uint8 `(X, Y, Z)` of 0 and 1.
        progress: The finished share.
    """

    volume: Volume
    slabs: Iterator[Slab]
    threshold: float = 0.5
    postprocess: Callable[[Mask], Mask] = lambda mask: mask
    progress: float = 0.0

    @cached_property
    def mask(self) -> Mask:
        """The liver, uint8 `(X, Y, Z)` of 0 and 1."""
        return self.postprocess(self.raw)

    @property
    def raw(self) -> Mask:
        """The liver without post-processing."""
        return self._drained[0]

    @property
    def range_ml(self) -> tuple[float, float] | None:
        """Volume in mL where all flips or members find liver, and where any of them does; before post-processing."""
        return self._drained[1]

    @cached_property
    def _drained(self) -> tuple[Mask, tuple[float, float] | None]:
        mask = np.zeros(self.volume.grid.shape, np.uint8)
        certain = possible = 0
        several = False
        for slab in self.slabs:
            place = slice(slab.start, slab.start + slab.probability.shape[2])
            mask[..., place] = slab.probability >= self.threshold
            if slab.lowest is not None and slab.highest is not None:
                several = True
                certain += int((slab.lowest >= self.threshold).sum())
                possible += int((slab.highest >= self.threshold).sum())
        voxel = self.volume.grid.voxel_volume / 1000
        return mask, (certain * voxel, possible * voxel) if several else None
