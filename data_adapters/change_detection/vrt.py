"""Rewrite a virtual raster (VRT) so that GDAL reads nothing but checked files.

A VRT is a text file that makes GDAL open any file or network address it names, evaluate expressions, or read the bytes
of any file as pixels. GDAL never sees one as it was given: it is parsed here, and what is known to be harmless is
written again, in GDAL's own spelling and with checked sources.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transect.data_adapters.base import BadInput, reason

LARGEST, DEEPEST, MOST_SOURCES = 64 << 20, 4, 100_000
"""Bytes of a VRT, VRTs inside each other, and sources with those of the VRTs inside."""

_SOURCES = ("SimpleSource", "ComplexSource", "AveragedSource")
_VALUES = "NODATA UseMaskBand ScaleOffset ScaleRatio Exponent SrcMin SrcMax DstMin DstMax Clamp LUT ColorTableComponent"

CHILDREN = {
    "VRTDataset": "SRS GeoTransform GCPList VRTRasterBand MaskBand",
    "GCPList": "GCP",
    "MaskBand": "VRTRasterBand",
    "VRTRasterBand": f"NoDataValue HideNoDataValue ColorInterp ColorTable {' '.join(_SOURCES)}",
    "ColorTable": "Entry",
    **dict.fromkeys(_SOURCES, f"SourceFilename SourceBand SrcRect DstRect {_VALUES}"),
}
"""The elements that are written again, by the element that holds them."""

ATTRIBUTES = {
    "VRTDataset": "rasterXSize rasterYSize",
    "VRTRasterBand": "dataType band subClass blockXSize blockYSize",
    "SRS": "dataAxisToSRSAxisMapping coordinateEpoch",
    "GCPList": "Projection dataAxisToSRSAxisMapping",
    "GCP": "Id Info Pixel Line X Y Z GCPZ",
    "Entry": "c1 c2 c3 c4",
    "SourceFilename": "relativeToVRT shared",
    **dict.fromkeys(("SrcRect", "DstRect"), "xOff yOff xSize ySize"),
    **dict.fromkeys(_SOURCES, "name resampling"),
}
"""The attributes that these elements may have."""

DROPPED = {
    "metadata", "description", "unittype", "offset", "scale", "categorynames", "histograms",
    "gdalrasterattributetable", "blockxsize", "blockysize", "overview", "overviewlist", "sourceproperties",
}  # fmt: skip
"""Elements that are left out with all that is in them: pixels at full resolution do not depend on them."""

_PLAIN, _ADVICE = "plain bands of files", "convert it to a GeoTIFF"


@dataclass(frozen=True)
class Source:
    """A checked source: the file that GDAL opens, its properties as VRTs name them, and the number of files in it."""

    path: Path
    properties: dict[str, str]
    files: int = 1


def is_vrt(head: bytes) -> bool:
    """Whether GDAL would identify a file that begins with `head` as a VRT."""
    return b"<VRTDataset" in head


def rewrite(path: Path, check: Callable[[Path], Source]) -> tuple[bytes, int]:
    """The VRT at `path` in plain form, and the number of files it is made of.

    Names are compared without regard to case, as GDAL compares them.

    Args:
        path: The VRT.
        check: Checks a source, which is an existing file below the VRT's folder.

    Raises:
        BadInput: the VRT is too large or not well-formed, holds anything but plain bands, or names a URL, a missing
            file, or a file elsewhere.
    """
    given = parse(path, LARGEST)
    if given.tag.lower() != "vrtdataset":
        raise BadInput(path, "VRT", given.tag, "VRTDataset")
    plain = ElementTree.Element("VRTDataset", _attributes(path, given, "VRTDataset"))
    files = _copy(path, given, plain, check)
    if files > MOST_SOURCES:
        raise BadInput(path, "VRT sources", f"{files} files", f"at most {MOST_SOURCES}", _ADVICE)
    return ElementTree.tostring(plain), files


def parse(path: Path, largest: int) -> ElementTree.Element:
    """Parse an untrusted XML file of at most `largest` bytes, without entities.

    Raises:
        BadInput: it cannot be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise BadInput(path, "XML", reason(error), "well-formed XML") from error
    if len(content) > largest:
        raise BadInput(path, "XML", "a larger file", f"at most {largest >> 20} MB")
    return parse_bytes(path, content)


def parse_bytes(path: object, content: bytes) -> ElementTree.Element:
    """Parse untrusted XML, without entities; `path` is for messages.

    Raises:
        BadInput: it is something else.
    """
    try:
        text = content.decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise BadInput(path, "XML", "a document type or entities", "plain XML")
        return ElementTree.fromstring(text)
    except UnicodeDecodeError as error:
        raise BadInput(path, "XML", "another encoding", "UTF-8") from error
    except ElementTree.ParseError as error:
        raise BadInput(path, "XML", reason(error), "well-formed XML") from error


def _copy(path: Path, given: ElementTree.Element, plain: ElementTree.Element, check: Callable[[Path], Source]) -> int:
    """Write the children of `given` again in `plain`, refuse the unknown ones, and count the files of the sources."""
    known = {name.lower(): name for name in CHILDREN.get(plain.tag, "").split()}
    files = 0
    for child in given:
        if child.tag.lower() in DROPPED:
            continue
        name = known.get(child.tag.lower())
        if name is None:
            raise BadInput(path, "VRT", f"{child.tag} in {plain.tag}", _PLAIN, _ADVICE)
        attributes = _attributes(path, child, name)
        if name == "SourceFilename":
            source = check(_source(path, child))
            ElementTree.SubElement(plain, name, relativeToVRT="0").text = str(source.path)
            ElementTree.SubElement(plain, "SourceProperties", source.properties)
            files += source.files
        else:
            copied = ElementTree.SubElement(plain, name, attributes)
            copied.text = child.text
            files += _copy(path, child, copied, check)
    return files


def _attributes(path: Path, element: ElementTree.Element, name: str) -> dict[str, str]:
    known = {attribute.lower(): attribute for attribute in ATTRIBUTES.get(name, "").split()}
    for attribute, value in element.attrib.items():
        computed = attribute.lower() == "subclass" and value.lower() not in ("vrtrasterband", "vrtsourcedrasterband")
        if attribute.lower() not in known or computed:
            raise BadInput(path, "VRT", f'{attribute}="{value}" of {name}', _PLAIN, _ADVICE)
    return {known[attribute.lower()]: value for attribute, value in element.attrib.items()}


def _source(path: Path, element: ElementTree.Element) -> Path:
    """The file that a SourceFilename names."""
    name = (element.text or "").strip()
    relative = {attribute.lower(): value for attribute, value in element.attrib.items()}.get("relativetovrt", "0")
    root = path.resolve().parent
    try:
        source = ((path.parent if relative == "1" else Path.cwd()) / name).resolve()
        usable = name and relative in ("0", "1") and source.is_relative_to(root) and source.is_file()
    except (OSError, ValueError, RuntimeError):  # a name too long, a null byte, or a link to itself
        usable = False
    if not usable:
        advice = "put the VRT above its sources, or convert it to a GeoTIFF"
        raise BadInput(path, "VRT source", name, f"a file below {root}", advice)
    return source
