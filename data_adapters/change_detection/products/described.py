"""Bands by name in plain rasters: from the descriptions and the colours of their bands."""

from collections.abc import Sequence

from rasterio.io import DatasetReader

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.opening import opened
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.products.sensors import band_name

_NO_BAND = ("undefined", "gray", "grey", "palette", "alpha")


def described(files: Sequence[str], config: ReadConfig) -> tuple[tuple[str, ...], Product]:
    """The files of one date and the bands in them that `config.names` asks for.

    Args:
        files: One raster, or several single-band files.
        config: Settings of raster reading.

    Raises:
        BadInput: a file cannot be opened, or has no band of a name.
    """
    bands: list[tuple[str, str, int]] = []
    for file in files:
        with opened(file, config) as dataset:
            bands += [(name, file, number) for number, name in enumerate(_names(dataset), 1)]
    named = {name: (file, number) for name, file, number in reversed(bands)}
    wanted = [band_name(name) for name in config.names]
    if missing := [name for name in wanted if name not in named]:
        there = ", ".join(name for name, _, _ in bands if name) or "no descriptions of bands"
        numbers = ",".join(str(min(number, len(bands))) for number in range(1, len(wanted) + 1))
        advice = f"give the numbers of the bands, such as read.bands [{numbers}], or write their names as descriptions"
        raise BadInput(files[0], "names of bands", there, ", ".join(dict.fromkeys(missing)), advice)
    places = [named[name] for name in wanted]
    used = tuple(file for file, _ in places)
    product = Product("", tuple(wanted), tuple(number for _, number in places))
    return used[:1] if len(set(used)) == 1 else used, product


def _names(dataset: DatasetReader) -> list[str]:
    """The name of each band by its description, or else by its colour; empty if it has neither."""
    colours = [colour.name for colour in dataset.colorinterp]
    return [
        band_name(description or ("" if colour in _NO_BAND else colour))
        for description, colour in zip(dataset.descriptions, colours, strict=True)
    ]
