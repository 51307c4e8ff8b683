"""Give both dates of a pair the same units: a change detector takes a difference of units for change."""

from dataclasses import replace

from transect.data_adapters.change_detection.product import Product

Products = tuple[Product | None, Product | None]
_SIDES = ("before", "after")


def comparable(products: Products) -> tuple[Products, list[str]]:
    """The products of both dates with one unit, and warnings.

    Values are scaled to reflectance if those of both dates can be; otherwise both keep their stored values.
    """
    warnings = [product.note for product in products if product and product.note]
    scaled = [bool(product and product.scale) for product in products]
    levels = [product.level for product in products if product and product.level]
    if all(scaled):
        if len(set(levels)) > 1:
            warnings.append("reflectance of the {} before, of the {} after".format(*levels))
        return products, warnings
    if any(scaled):
        other = _SIDES[scaled.index(False)]
        warnings.append(f"stored values of both dates, since those of {other} cannot be scaled to reflectance")
    before, after = (product and replace(product, scale=(), offset=(), level="") for product in products)
    return (before, after), warnings
