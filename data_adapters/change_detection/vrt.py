"""Confine the sources of a virtual raster (VRT) to its own folder.

A VRT is a text file that makes GDAL open any file or network address it names. One from an untrusted source is
therefore parsed before GDAL opens it. Derived and raw bands, which evaluate expressions or read the bytes of any file
as pixels, are refused.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from transect.data_adapters.base import BadInput

LARGEST, DEEPEST = 64 << 20, 4
REFUSED_BANDS = ("VRTDerivedRasterBand", "VRTRawRasterBand", "VRTProcessedDataset")


def is_vrt(head: bytes) -> bool:
    """Whether GDAL would identify a file that begins with `head` as a VRT."""
    return b"<VRTDataset" in head


def sources(path: Path) -> list[Path]:
    """The source files of the VRT at `path`, all of them below its folder.

    Raises:
        BadInput: the VRT is too large or not well-formed, holds computed or raw bands, or names a URL, a missing
            file, or a file elsewhere.
    """
    root = path.resolve().parent
    files = []
    for element in _elements(path):
        if element.get("subClass") in REFUSED_BANDS:
            raise BadInput(path, "VRT", element.get("subClass"), "plain bands", "convert it to a GeoTIFF")
        if element.tag in ("SourceFilename", "SourceDataset"):
            name = (element.text or "").strip()
            relative = element.get("relativeToVRT", "0") == "1"
            source = ((path.parent if relative else Path.cwd()) / name).resolve()
            if not source.is_relative_to(root) or not source.is_file():
                advice = "put the VRT above its sources, or convert it to a GeoTIFF"
                raise BadInput(path, "VRT source", name, f"a file below {root}", advice)
            files.append(source)
    return files


def _elements(path: Path) -> list[ElementTree.Element]:
    content = path.read_bytes()[: LARGEST + 1]
    if len(content) > LARGEST:
        raise BadInput(path, "VRT", "a larger file", f"at most {LARGEST >> 20} MB")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BadInput(path, "VRT", "a document type or entities", "plain XML")
    try:
        return list(ElementTree.fromstring(content).iter())
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadInput(path, "VRT", error, "well-formed XML") from error
