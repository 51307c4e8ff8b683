"""What was read of a sample, in numbers and in files that show it."""

from pathlib import Path
from typing import Any

from transect.data_adapters.bev.sample import Frame


def facts_of(frame: Frame) -> dict[str, Any]:
    """Facts about a sample, with anything suspicious under "warnings"."""
    raise NotImplementedError


def write_as_read(frame: Frame, folder: Path) -> None:
    """Write `inputs.npz` and `overlay.png`."""
    raise NotImplementedError
