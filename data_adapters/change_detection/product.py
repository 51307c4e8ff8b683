"""What a satellite product says of its band files: sensor, band names, scale to reflectance, fill and quality band."""

from dataclasses import dataclass
from typing import Literal

Masked = Literal["clouds", "shadows", "cirrus", "snow", "water"]
"""Classes of a quality band that can be left out; fill always is."""

QualityKind = Literal["qa_pixel", "bqa", "scl", "udm2"]
"""Landsat Collection 2 and 1, Sentinel-2 Level-2A, and Planet."""

Level = Literal["", "surface", "top of atmosphere"]
"""What reflectance is that of; empty if unknown."""


@dataclass(frozen=True)
class Quality:
    """The quality band of a product.

    Args:
        file: The raster, as `opened` takes it.
        kind: How its values are coded; see `quality`.
    """

    file: str
    kind: QualityKind


@dataclass(frozen=True)
class Product:
    """What a product says of the bands of one date, which are read from the files of that date.

    Args:
        sensor: Such as "Sentinel-2" or "Landsat 8-9 OLI", empty if unknown; dates of one sensor share the limits of
            their stretch.
        names: Names of the channels, such as ("red", "green", "blue").
        numbers: Band of its file, from 1, that each channel is: the files are single-band files in the order of the
            channels, or one file with all of them.
        scale: Reflectance is `scale * stored + offset`, by channel; empty if the stored values are not to be scaled.
        offset: As long as `scale`.
        fill: Stored value of pixels without data, which need not be declared in the files.
        quality: The quality band, or None.
        level: What the reflectance is that of.
        note: A warning about the values, or empty.
        metadata: Files that this was read from.
    """

    sensor: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    fill: float | None = None
    quality: Quality | None = None
    level: Level = ""
    note: str = ""
    metadata: tuple[str, ...] = ()
