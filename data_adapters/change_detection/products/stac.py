"""STAC items as products: bands by common name, scale and nodata of each, and the quality asset.

Follows the `eo` and `raster` extensions of STAC 1.0 and the `bands` of STAC 1.1. Items of Earth Search whose pixels
already contain the offset of Sentinel-2's baseline 04.00 say so in `earthsearch:boa_offset_applied`, although their
`raster:bands` give the offset.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pystac

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Level, Quality, QualityKind
from transect.data_adapters.change_detection.products import landsat, sentinel2
from transect.data_adapters.change_detection.products.found import Band, Found, Side, chosen
from transect.data_adapters.change_detection.products.links import followed, read_item
from transect.data_adapters.change_detection.products.sensors import SENSORS, band_name, names_of

_NO_DATA = {"thumbnail", "overview", "visual", "metadata"}
_QUALITY: dict[str, QualityKind] = {"scl": "scl", "qa_pixel": "qa_pixel", "udm2": "udm2", "ortho_udm2": "udm2"}


def side_of_item(path: str, config: ReadConfig) -> Side:
    """The channels of a STAC item.

    Args:
        path: Path or `http` address of the item.
        config: The bands to choose, and where links may lead.

    Raises:
        BadInput: the item cannot be read, a band is missing, or its link may not be followed.
    """
    try:
        item = pystac.Item.from_dict(read_item(path), migrate=False)
        found = _found(item, path)
    except BadInput:
        raise
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, AttributeError, ValueError) as error:
        fault = f"{type(error).__name__} {reason(error)}"
        raise BadInput(path, "STAC item", fault, "an item of STAC 1.0 or 1.1") from error
    side = chosen(found, config, path)
    keys = {asset.href: key for key, asset in item.assets.items()}
    files = tuple(followed(file, keys[file], path, config) for file in side.files)
    quality = found.quality
    if quality:
        try:
            quality = replace(quality, file=followed(quality.file, keys[quality.file], path, config))
        except BadInput:
            if config.mask:
                raise
            quality = None
    assert side.product is not None
    return replace(side, files=files, product=replace(side.product, quality=quality))


@dataclass(frozen=True)
class _Choice:
    """A band of an asset; of several with one name, that of the smallest `rank` is taken."""

    rank: tuple[bool, bool, float]
    band: Band
    nodata: float | None


def _found(item: pystac.Item, path: str) -> Found:
    properties, sensor = item.properties, _sensor(item.properties)
    choices: dict[str, _Choice] = {}
    for key, asset in item.assets.items():
        for name, choice in _bands(key, asset, sensor, properties):
            if name not in choices or choice.rank < choices[name].rank:
                choices[name] = choice
    nodata = {choice.nodata for choice in choices.values() if choice.nodata is not None}
    fill = nodata.pop() if len(nodata) == 1 else 0.0 if sensor else None
    if not sensor and not any(choice.band.scale for choice in choices.values()):
        fill = None  # the nodata value of a picture, unlike that of a product, may be measured in one of its bands
    kinds = {key: _QUALITY[key.lower()] for key in item.assets if key.lower() in _QUALITY}
    quality = next((Quality(item.assets[key].href, kind) for key, kind in kinds.items()), None)
    start = item.datetime or item.common_metadata.start_datetime
    return Found(
        name=item.id,
        sensor=sensor,
        bands={name: choice.band for name, choice in choices.items()},
        date=start.date().isoformat() if start else None,
        level=_level(properties),
        fill=fill,
        quality=quality,
        note=f"{item.id}: stored values, since the item gives no scale of the bands",
        metadata=(path,),
    )


def _bands(key: str, asset: pystac.Asset, sensor: str, properties: dict[str, Any]) -> Iterator[tuple[str, _Choice]]:
    media = asset.media_type or ""
    if _NO_DATA & set(asset.roles or ()) or not (media.startswith("image/") or not media) or key.lower() in _QUALITY:
        return
    fields = asset.extra_fields
    bands = fields.get("bands") or fields.get("eo:bands") or [{"name": key}]
    rasters = fields.get("raster:bands") or []
    for number, about in enumerate(bands, 1):
        given = {**fields, **about, **(rasters[number - 1] if number <= len(rasters) else {})}
        values = {name.removeprefix("raster:"): value for name, value in given.items()}
        own, name = _name(key if len(bands) == 1 else "", about, sensor)
        metres = _finite(values.get("gsd") or values.get("spatial_resolution")) or math.inf
        band = Band(asset.href, number, _scale(values, own, properties))
        yield name, _Choice((len(bands) > 1, "jp2" in media, metres), band, _finite(values.get("nodata")))


def _name(key: str, band: dict[str, Any], sensor: str) -> tuple[str, str]:
    """The band's own name, such as B8A, where the sensor has it, and its common name."""
    names = names_of(sensor) if sensor else {}
    for text in (str(band.get("name", "")), key):
        own = text.rpartition("_")[2].upper()
        own = re.sub(r"^B(\d)$", r"B0\1", own) if sensor == sentinel2.SENSOR else own
        if own in names:
            return own, names[own]
    given = [band.get("eo:common_name") or band.get("common_name"), band.get("name"), key]
    candidates = [band_name(str(text)) for text in given if text]
    known = SENSORS.get(sensor, {})
    name = next((name for name in candidates[::-1] if name in known), candidates[0])
    return known.get(name, ""), name


def _scale(values: dict[str, Any], own: str, properties: dict[str, Any]) -> tuple[float, float] | None:
    factor, offset = _finite(values.get("scale")), _finite(values.get("offset"))
    by_baseline = sentinel2.scales_by_baseline(_finite(properties.get("s2:processing_baseline"))).get(own)
    if by_baseline:
        factor = by_baseline[0] if factor is None else factor
        offset = by_baseline[1] if offset is None else offset
    if properties.get("earthsearch:boa_offset_applied") is True:
        offset = 0.0
    return None if factor is None else (factor, offset or 0.0)


def _finite(value: object) -> float | None:
    """The number that a field gives, which may be text as in "05.00"."""
    try:
        number = float(value) if isinstance(value, str | float | int) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _sensor(properties: dict[str, Any]) -> str:
    platform = f"{properties.get('platform', '')} {properties.get('constellation', '')}".lower()
    if "sentinel-2" in platform:
        return sentinel2.SENSOR
    match = re.search(r"landsat[-_]?0?([45789])", platform)
    return landsat.sensor_of(match[1]) if match else ""


def _level(properties: dict[str, Any]) -> Level:
    given = [properties.get(name) for name in ("processing:level", "s2:product_type", "landsat:correction")]
    text = next((str(level) for level in given if level), "")
    return "surface" if re.search("L2|2A", text) else "top of atmosphere" if re.search("L1|1C", text) else ""
