"""The film of a drive, for `App.join`."""

from collections.abc import Sequence
from pathlib import Path

from transect.apps.base import View
from transect.data_adapters.bev.film import write_film


def join_drive(group: str, folders: Sequence[Path], folder: Path) -> list[View]:
    """Write the film of a drive from the folders of its samples; returns its player."""
    names, milliseconds = write_film(folders, folder)
    legend = f"Cameras and predicted map of {len(names)} samples, at the pace of the drive"
    return [View("film", tuple(names), legend, milliseconds)]
