"""Refuse what could block or never end before it is opened."""

from pathlib import Path

from transect.data_adapters.base import BadInput


def require_regular(path: Path) -> None:
    """Refuse pipes and devices, which may never end.

    Raises:
        BadInput: `path` exists and is no regular file.
    """
    if path.exists() and not path.is_file():
        raise BadInput(path, "file", "a folder" if path.is_dir() else "a pipe or a device", "a regular file")
