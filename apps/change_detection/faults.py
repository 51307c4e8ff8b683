"""Faults of a pair, to measure what they cost: a date that is not registered to the other."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from transect.data_adapters.change_detection.maps import Strip
from transect.data_adapters.change_detection.scene import Scene


@dataclass(frozen=True)
class Misregistered(Scene):
    """A scene whose first date is moved to the right.

    Args:
        columns: By how many pixels; values between pixels are interpolated linearly.
    """

    columns: float = 0.0

    def strips(self) -> Iterator[Strip]:
        """The strips of the scene. A pixel is valid where it and those that its value comes from are."""
        for strip in super().strips():
            missing = moved((~strip.valid).astype(np.float32), self.columns) > 0
            before = moved(strip.before, self.columns)
            yield replace(strip, before=before, valid=strip.valid & ~missing)


def misregistered(scene: Scene, columns: float) -> Scene:
    """The scene with its first date moved to the right by a number of pixels; the same scene for 0."""
    if not columns:
        return scene
    values = {each.name: getattr(scene, each.name) for each in fields(Scene)}
    return Misregistered(**values, columns=columns)


def moved(values: np.ndarray, columns: float) -> np.ndarray:
    """Values `(..., width)` moved to the right, with the edge repeated: of their type by whole pixels, else float32."""
    last = values.shape[-1] - 1
    source = np.clip(np.arange(last + 1) - columns, 0, last)
    left = np.floor(source).astype(int)
    if columns == round(columns):
        return values[..., left]
    share = (source - left).astype(np.float32)
    return values[..., left] * (1 - share) + values[..., np.minimum(left + 1, last)] * share
