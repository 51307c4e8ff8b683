"""Rasters and text files in the folders of a data set."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.listing import contents

RASTERS = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".img", ".vrt"})
VECTORS = frozenset({".gpkg", ".geojson", ".shp"})
"""Suffixes of the files that are read, in lower case."""


def is_vector(path: str) -> bool:
    """Whether the name is that of a file of polygons."""
    return Path(path).suffix.lower() in VECTORS


def subfolders(folder: Path) -> dict[str, Path]:
    """The sub-folders of `folder` by case-folded name.

    Raises:
        BadInput: the folder is missing or may not be read.
    """
    return by_name(contents(folder)[0])


def by_name(folders: Iterable[Path]) -> dict[str, Path]:
    """`folders` by case-folded name: the case of a layout's folder names varies between copies of a data set."""
    return {path.name.casefold(): path for path in folders}


def rasters_by_stem(folder: Path, suffixes: frozenset[str] = RASTERS) -> dict[str, str]:
    """The rasters of `folder`, or other files of these suffixes, by file stem; dangling links count as missing.

    Raises:
        BadInput: two files of the folder differ only in their extension, so neither can be chosen.
    """
    rasters: dict[str, str] = {}
    for path in contents(folder)[1]:
        if path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if path.stem in rasters:
            both = f"{Path(rasters[path.stem]).name} and {path.name}"
            raise BadInput(folder, "names", both, "one raster of each name", "move one of the two away")
        rasters[path.stem] = str(path)
    return rasters


def read_text(path: Path) -> str:
    """The text of `path`, UTF-8.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "text", reason(error), "a text in UTF-8") from error


def start_of(path: Path, count: int, expected: str) -> tuple[bytes, int]:
    """The first `count` bytes and the size of a regular file; a pipe, which could block, is not read.

    Raises:
        BadInput: it cannot be read; `expected` is what the message asks for.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as content:
            status = os.fstat(content.fileno())
            if stat.S_ISREG(status.st_mode):
                return content.read(count), status.st_size
    except (OSError, ValueError) as error:
        raise BadInput(path, "file", reason(error).lower(), expected) from error
    raise BadInput(path, "file", "a pipe or a device", expected)
