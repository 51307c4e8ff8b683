"""Measurements of a segmented liver, in mL and mm."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.volume.masks import components
from transect.data_adapters.volume.volume import Grid, Volume

FACES = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
"""The face of the field of view in the negative and the positive direction of each world axis."""


@dataclass(frozen=True)
class Statistics:
    """Measurements of one liver; those of an empty one are 0 or None.

    Args:
        volume_ml: Volume.
        range_ml: Volume where all flips or members find liver, and where any of them does; None for one prediction.
        mean: Mean of the image in the liver, in units of the image.
        deviation: Standard deviation of the image there.
        extent_mm: From the right to the left, front to back, and foot to head, outer edges of the voxels included.
        centroid_mm: RAS.
        components: Number of connected parts; voxels that share a face, an edge or a corner are connected.
        largest_ml: Volume of the largest part.
        edges: Faces of the field of view that the liver touches: some of it may lie outside.
    """

    volume_ml: float
    range_ml: tuple[float, float] | None
    mean: float | None
    deviation: float | None
    extent_mm: tuple[float, ...]
    centroid_mm: tuple[float, ...] | None
    components: int
    largest_ml: float
    edges: tuple[str, ...]

    def content(self) -> dict[str, Any]:
        """All of them, for a JSON file."""
        return {
            "volume_ml": round(self.volume_ml, 4),
            "volume_range_ml": self.range_ml and [round(volume, 4) for volume in self.range_ml],
            "mean": _rounded(self.mean),
            "standard_deviation": _rounded(self.deviation),
            "extent_mm": dict(
                zip(("right_left", "anterior_posterior", "inferior_superior"), self.extent_mm, strict=True)
            ),
            "centroid_ras_mm": self.centroid_mm and list(self.centroid_mm),
            "components": self.components,
            "largest_component_ml": round(self.largest_ml, 4),
            "touches_edge": list(self.edges),
        }

    def facts(self) -> dict[str, float | str]:
        """Those that a report shows."""
        facts: dict[str, float | str] = {"volume_ml": round(self.volume_ml, 2)}
        if self.range_ml:
            facts |= {"volume_low_ml": round(self.range_ml[0], 2), "volume_high_ml": round(self.range_ml[1], 2)}
        facts |= {"components": self.components, "largest_component_ml": round(self.largest_ml, 2)}
        return facts | {"touches_edge": ", ".join(self.edges) or "no"}


def statistics_of(volume: Volume, mask: NDArray[np.uint8], range_ml: tuple[float, float] | None = None) -> Statistics:
    """Measure a liver, slice by slice and within its bounding box.

    Args:
        volume: The image.
        mask: `(X, Y, Z)` of 0 and 1.
        range_ml: Of `Segmentation`.
    """
    voxel_ml = volume.grid.voxel_volume / 1000
    low, high, total, count = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3), 0
    mean = squares = 0.0
    for k in range(mask.shape[2]):
        i, j = np.nonzero(mask[:, :, k])
        if not i.size:
            continue
        places = volume.grid.world(np.column_stack([i, j, np.full(i.size, k)]))
        low, high, total = np.minimum(low, places.min(0)), np.maximum(high, places.max(0)), total + places.sum(0)
        values = volume.values[i, j, k].astype(np.float64)
        # Chan, Golub and LeVeque (1979): moments of a union from those of its parts.
        own, size = float(values.mean()), i.size
        squares += float(((values - own) ** 2).sum()) + (own - mean) ** 2 * count * size / (count + size)
        mean += (own - mean) * size / (count + size)
        count += size
    if not count:
        return Statistics(0.0, range_ml, None, None, (0.0, 0.0, 0.0), None, 0, 0.0, ())
    sizes = components(mask).sizes
    extent = high - low + np.abs(volume.grid.affine[:3, :3]).sum(axis=1)
    return Statistics(
        count * voxel_ml,
        range_ml,
        mean,
        float(np.sqrt(squares / count)),
        _tuple(extent),
        _tuple(total / count),
        len(sizes),
        float(sizes.max()) * voxel_ml,
        edges_of(mask, volume.grid),
    )


def edges_of(mask: NDArray[np.uint8], grid: Grid) -> tuple[str, ...]:
    """The faces of the field of view that a mask touches, such as `("superior",)`."""
    touched = []
    for axis, (world, direction) in enumerate(grid.axes):
        for end, positive in ((0, direction < 0), (-1, direction > 0)):
            if mask.take(end, axis=axis).any():
                touched.append(FACES[world][positive])
    return tuple(sorted(set(touched)))


def _tuple(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
