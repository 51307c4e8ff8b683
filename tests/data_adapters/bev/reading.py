"""Reads synthetic drives through the adapter."""

from pathlib import Path
from typing import Any

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.config import ReadConfig, WriteConfig
from transect.data_adapters.bev.sample import Frame

SMALL = {"height": 32, "width": 64}


def adapter(**settings: Any) -> BevAdapter:
    return BevAdapter(ReadConfig(**SMALL, **settings), WriteConfig())


def read_all(folder: Path, **settings: Any) -> list[Frame | str]:
    """The samples, or why they cannot be read."""
    found: list[Frame | str] = []
    reader = adapter(**settings)
    for case in reader.cases(str(folder)):
        try:
            found.append(reader.read(case))
        except BadInput as error:
            found.append(str(error))
    return found


def shot_of(rows: list[dict], channel: str, sample: int = 0) -> dict:
    """The key frame of a sensor, in the order of time."""
    found = [row for row in rows if row["is_key_frame"] and f"/{channel}/" in row["filename"]]
    return sorted(found, key=lambda row: row["timestamp"])[sample]
