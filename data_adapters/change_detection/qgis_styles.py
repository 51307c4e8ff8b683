"""QGIS styles: QGIS loads NAME.qml when it opens the raster or the GeoPackage NAME next to it (QGIS 3.20 or newer)."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from transect.data_adapters.change_detection.colours import CLASS_COLOURS, CLASSES, SCORE_COLOURS, hexadecimal
from transect.data_adapters.files import writing


def write_styles(folder: Path) -> None:
    """Write a style for each raster and for the polygons in `folder`.

    Raises:
        OSError: a file could not be written whole.
    """
    ramps = dict.fromkeys(("score.tif", "probability.tif", "spread.tif"), _ramp)
    for name, style in {"mask.tif": _classes, **ramps, "changes.gpkg": _outlines}.items():
        if (folder / name).exists():
            path = (folder / name).with_suffix(".qml")
            root = Element("qgis", version="3.20", styleCategories="Symbology")
            style(root)
            indent(root)
            with writing(path):
                path.write_text(tostring(root, encoding="unicode") + "\n", encoding="utf-8")


def _classes(root: Element) -> None:
    """The classes of the mask, in the colours of its own table."""
    renderer = _renderer(root, type="paletted")
    palette = SubElement(renderer, "colorPalette")
    for value, rgba in CLASS_COLOURS.items():
        colour = {"value": str(value), "color": hexadecimal(rgba), "alpha": str(rgba[3]), "label": CLASSES[value]}
        SubElement(palette, "paletteEntry", colour)


def _ramp(root: Element) -> None:
    """Values from 0 to 1, which QGIS computes from the stored ones by the scale of the band."""
    limits = {"classificationMin": "0", "classificationMax": "1"}
    shader = SubElement(_renderer(root, type="singlebandpseudocolor", **limits), "rastershader")
    kind = {"colorRampType": "INTERPOLATED", "classificationMode": "1", "minimumValue": "0", "maximumValue": "1"}
    ramp = SubElement(shader, "colorrampshader", kind, clip="0")
    for step, colour in enumerate(SCORE_COLOURS):
        value = f"{step / (len(SCORE_COLOURS) - 1):g}"
        SubElement(ramp, "item", value=value, color=hexadecimal(colour), alpha="255", label=value)


def _renderer(root: Element, **attributes: str) -> Element:
    return SubElement(SubElement(root, "pipe"), "rasterrenderer", attributes, band="1", opacity="1", alphaBand="-1")


def _outlines(root: Element) -> None:
    """Polygons with an outline in the colour of change, filled with 30 % of it."""
    renderer = SubElement(root, "renderer-v2", type="singleSymbol", symbollevels="0", enableorderby="0")
    symbol = SubElement(SubElement(renderer, "symbols"), "symbol", type="fill", name="0", alpha="1")
    layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
    options = SubElement(layer, "Option", type="Map")
    red, green, blue, _ = CLASS_COLOURS[1]
    properties = {
        "color": f"{red},{green},{blue},77",
        "style": "solid",
        "outline_color": f"{red},{green},{blue},255",
        "outline_style": "solid",
        "outline_width": "0.4",
        "outline_width_unit": "MM",
    }
    for name, value in properties.items():
        SubElement(options, "Option", type="QString", name=name, value=value)
