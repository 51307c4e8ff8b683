"""Colours of change maps, in rasters, styles and pictures."""

from collections.abc import Sequence

from transect.data_adapters.change_detection.maps import NODATA

CLASSES = {0: "unchanged", 1: "changed", NODATA: "nodata"}

CLASS_COLOURS = {0: (224, 224, 224, 255), 1: (215, 48, 39, 255), NODATA: (0, 0, 0, 0)}
"""RGBA of the classes: unchanged grey, changed red, no data transparent."""

SCORE_COLOURS = ((0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191))
"""RGB of scores from 0 to 1 in equal steps: anchors of magma, monotone in lightness, so readable in greyscale."""


def hexadecimal(colour: Sequence[int]) -> str:
    """The first three channels as in "#d73027"."""
    red, green, blue, *_ = colour
    return f"#{red:02x}{green:02x}{blue:02x}"
