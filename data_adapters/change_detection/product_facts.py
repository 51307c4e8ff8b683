"""Facts about the satellite product of a date: sensor, bands, units, fill, and the classes of its quality band."""

from collections.abc import Sequence
from dataclasses import replace

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.quality import FILL
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.scene import Scene

CLOUDY = 0.01
"""Share of clouds from which it is advised to leave them out."""

DATES = "before", "after"


def product_facts(scene: Scene) -> tuple[dict[str, float | str], list[str]]:
    """What the products of a pair say, by date, and warnings about their quality bands."""
    facts: dict[str, float | str] = {}
    warnings: list[str] = []
    for number, (date, product) in enumerate(zip(DATES, scene.products, strict=True)):
        if product:
            facts[f"{date}_product"] = _described(product)
        if product and product.quality:
            try:
                shares = _shares(scene, number)
                facts[f"{date}_quality"] = ", ".join(f"{100 * share:.3g} % {name}" for name, share in shares.items())
                warnings += _advice(scene, date, shares)
            except BadInput as error:
                warnings.append(f"the quality band of {date} is not used: {error}")
    return facts, warnings + unmasked(scene.products, scene.config)


def unmasked(products: Sequence[Product | None], config: ReadConfig) -> list[str]:
    """A warning for each date that has no quality band for `config.mask`."""
    return [
        f"read.mask leaves out nothing of {date}, which has no quality band"
        for date, product in zip(DATES, products, strict=True)
        if config.mask and not (product and product.quality)
    ]


def _described(product: Product) -> str:
    units = f"reflectance{product.level and f' ({product.level})'}" if product.scale else "stored values"
    scales = dict.fromkeys(map(_scaled, product.scale, product.offset))
    units += f" = {' or '.join(scales)}" if scales else ""
    fill = "no fill known" if product.fill is None else f"fill {product.fill:g}"
    return "; ".join(filter(None, [product.sensor, ",".join(product.names), units, fill]))


def _scaled(scale: float, offset: float) -> str:
    """The formula for stored values (DN)."""
    return f"{scale:g} x DN" + (f" {'-' if offset < 0 else '+'} {abs(offset):g}" if offset else "")


def _shares(scene: Scene, number: int) -> dict[str, float]:
    """The share of each class in the part of the date's raster that the scene uses."""
    paths, alignment = (scene.before, scene.after)[number], scene.alignments[number]
    # With a class to be left out, an unusable quality band raises.
    config = replace(scene.config, mask=scene.config.mask or ["clouds"])
    with Raster(paths, config, scene.products[number]) as raster:
        window = alignment.source_window(0, 0, scene.grid.height, scene.grid.width)
        return raster.quality.shares(*window) if raster.quality else {}


def _advice(scene: Scene, date: str, shares: dict[str, float]) -> list[str]:
    lacking = [name for name in scene.config.mask if name not in shares]
    if lacking:
        known = ", ".join(name for name in shares if name != FILL)
        return [f"the quality band of {date} has no {', '.join(lacking)}, only {known}"]
    if not scene.config.mask and shares["clouds"] > CLOUDY:
        cloudy = f"{100 * shares['clouds']:.2g} % of {date} are clouds, says its quality band"
        return [f"{cloudy}: to leave them out, set read.mask clouds,shadows"]
    return []
