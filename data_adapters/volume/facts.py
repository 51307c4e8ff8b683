"""Facts about a volume as it was read, for `transect check`."""

from collections.abc import Mapping
from typing import Any

from transect.data_adapters.volume.volume import Volume

LISTED = 20
"""Number of files that are left out whose names are given."""


def volume_facts(volume: Volume) -> dict[str, Any]:
    """Format, series and geometry; DICOM keywords such as "SeriesDescription" become "series_description"."""
    facts: dict[str, Any] = {"format": "DICOM" if volume.slices else "NIfTI"}
    return facts | {_snake(name): value for name, value in volume.facts.items()} | volume.grid.facts()


def omitted(left_out: Mapping[str, str], skipped: Mapping[str, str]) -> dict[str, str]:
    """`left_out`, other series, and `skipped`, files that are no images, each with the reason, where there are any."""
    facts = {}
    for name, files in (("left_out", left_out), ("skipped", skipped)):
        if files:
            more = [f"{len(files) - LISTED} more"] if len(files) > LISTED else []
            facts[name] = "; ".join([*(f"{file}: {why}" for file, why in list(files.items())[:LISTED]), *more])
    return facts


def _snake(keyword: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in keyword).lstrip("_")
