"""Refuse what could block or never end before it is opened."""

import os
from pathlib import Path

from transect.data_adapters.base import BadInput


def require_regular(path: Path) -> None:
    """Refuse pipes and devices, which may never end.

    Raises:
        BadInput: `path` exists and is no regular file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise BadInput(path, "file", "a folder" if os.path.isdir(path) else "a pipe or a device", "a regular file")
