"""Folders of rasters as they are on disk: what is hidden is left out, and what cannot be read is told."""

import os
from pathlib import Path

from transect.data_adapters.base import BadInput

RASTERS = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".img", ".vrt"})


def listing(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """The sub-folders of `folder`, by case-folded name, and its files; hidden ones (macOS `._x`) are left out.

    Raises:
        BadInput: the folder is missing or may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
            folders = {entry.name.casefold(): Path(entry.path) for entry in shown if entry.is_dir()}
            return folders, [Path(entry.path) for entry in shown if entry.is_file()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(folder, "folder", reason.lower(), "a folder that can be read") from error


def rasters_by_stem(folder: Path) -> dict[str, str]:
    """The rasters of `folder` by their names without extension.

    Raises:
        BadInput: two files of the folder differ in their extension alone, so neither can be chosen.
    """
    found: dict[str, str] = {}
    for path in listing(folder)[1]:
        if path.suffix.lower() not in RASTERS:
            continue
        if path.stem in found:
            both = f"{Path(found[path.stem]).name} and {path.name}"
            raise BadInput(folder, "names", both, "one raster of each name", "move one of the two away")
        found[path.stem] = str(path)
    return found


def read_text(path: Path) -> str:
    """The text of `path`, UTF-8.

    Raises:
        BadInput: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "text", getattr(error, "strerror", None) or error, "a text in UTF-8") from error
