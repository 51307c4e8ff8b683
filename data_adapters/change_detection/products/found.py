"""A product with all of its bands, before some are chosen as the channels of one date."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Level, Product, Quality
from transect.data_adapters.change_detection.products.sensors import (
    NATURAL_COLOUR,
    SENSORS,
    THERMAL,
    band_name,
)


@dataclass(frozen=True)
class Band:
    """One band of a product.

    Args:
        file: The raster, as `opened` takes it.
        number: The band in `file`, from 1.
        scale: Factor and offset to reflectance; None if unknown.
    """

    file: str
    number: int = 1
    scale: tuple[float, float] | None = None


@dataclass(frozen=True)
class Found:
    """A product as it was found.

    Args:
        name: Of the scene.
        sensor: A key of `SENSORS`, or empty if unknown.
        bands: By name.
        date: ISO 8601, or None.
        level: As for `Product`.
        fill: As for `Product`.
        quality: As for `Product`.
        note: Why the values cannot be scaled to reflectance, or empty.
        metadata: As for `Product`.
    """

    name: str
    sensor: str
    bands: dict[str, Band] = field(default_factory=dict)
    date: str | None = None
    level: Level = ""
    fill: float | None = 0.0
    quality: Quality | None = None
    note: str = ""
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """One date of a pair: its files in the order of the channels, its name and what its product says of it."""

    files: tuple[str, ...] = ()
    name: str = ""
    date: str | None = None
    product: Product | None = None


def chosen(found: Found, config: ReadConfig, where: object) -> Side:
    """The channels that `config.bands` asks for; numbers mean 1 red, 2 green and 3 blue.

    Args:
        found: The product.
        config: Settings of raster reading.
        where: What the user named, for messages.

    Raises:
        BadInput: a band is missing, or unknown for the sensor, whose bands the message names.
    """
    if max(config.numbers, default=0) > len(NATURAL_COLOUR):
        advice = f"name the bands: read.bands [{','.join(found.bands)}]"
        raise BadInput(where, "read.bands", max(config.numbers), "1 red, 2 green or 3 blue of a product", advice)
    wanted = [NATURAL_COLOUR[number - 1] for number in config.numbers] or [band_name(name) for name in config.names]
    _require(found, wanted, where)
    bands = [found.bands[name] for name in wanted]
    return side_of(found, wanted, bands)


def side_of(found: Found, names: Sequence[str], bands: Sequence[Band]) -> Side:
    """The date of a pair whose channels are `bands`."""
    files = tuple(band.file for band in bands)
    if len(set(files)) == 1:
        files = files[:1]
    scales = [band.scale or (1.0, 0.0) for band in bands]
    unscaled = [name for name, band in zip(names, bands, strict=True) if band.scale is None]
    thermal = [name for name in unscaled if name in THERMAL]
    known = len(unscaled) == len(thermal) < len(bands)
    note = found.note if set(unscaled) - set(thermal) else ""
    if thermal and known:
        note = f"{', '.join(thermal)}: stored values, which are not reflectance"
    product = Product(
        sensor=found.sensor,
        names=tuple(names),
        numbers=tuple(band.number for band in bands),
        scale=tuple(scale for scale, _ in scales) if known else (),
        offset=tuple(offset for _, offset in scales) if known else (),
        fill=found.fill,
        quality=found.quality,
        level=found.level if known else "",
        note=note,
        metadata=found.metadata,
    )
    return Side(files, found.name, found.date, product)


def _require(found: Found, wanted: Sequence[str], where: object) -> None:
    if missing := [name for name in wanted if name not in found.bands]:
        own = SENSORS.get(found.sensor, dict.fromkeys(found.bands, ""))
        there = ", ".join(Path(found.bands[name].file).name for name in wanted if name in found.bands)
        expected = ", ".join(own.get(name) or name for name in wanted)
        known = ", ".join(f"{name} {band}".rstrip() for name, band in own.items())
        advice = f"missing: {', '.join(dict.fromkeys(missing))}"
        advice += f"; choose with read.bands from {known}" if known else "; no band of it is named"
        raise BadInput(where, f"bands of {found.sensor or found.name}", there or "none of them", expected, advice)
