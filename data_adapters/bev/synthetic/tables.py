"""The thirteen tables of a nuScenes folder, filled record by record."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

TABLES = (
    "category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose", "log", "scene",
    "sample", "sample_data", "sample_annotation", "map",
)  # fmt: skip
VISIBILITY = ("v0-40", "v40-60", "v60-80", "v80-100")
ATTRIBUTES = ("vehicle.moving", "vehicle.parked", "cycle.with_rider", "pedestrian.moving")


def token(*parts: object) -> str:
    """32 hexadecimal digits that follow from `parts`."""
    return hashlib.md5("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


def quaternion(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> list[float]:
    """(w, x, y, z) of Rz(yaw) Ry(pitch) Rx(roll), radians."""
    (cy, cp, cr), (sy, sp, sr) = (trig(np.array([yaw, pitch, roll]) / 2) for trig in (np.cos, np.sin))
    return [
        float(cr * cp * cy + sr * sp * sy), float(sr * cp * cy - cr * sp * sy),
        float(cr * sp * cy + sr * cp * sy), float(cr * cp * sy - sr * sp * cy),
    ]  # fmt: skip


def times(first: list[float], second: list[float]) -> list[float]:
    """The quaternion of turning by `second`, then by `first`."""
    (w, *u), (s, *v) = first, second
    x, y, z = w * np.array(v) + s * np.array(u) + np.cross(u, v)
    return [float(w * s - np.dot(u, v)), float(x), float(y), float(z)]


class Tables:
    """Records by table; `add` gives each the token of its names."""

    def __init__(self) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}

    def add(self, table: str, names: tuple[object, ...], **values: Any) -> dict[str, Any]:
        """Append a record, whose token follows from the table and `names`."""
        record = {"token": token(table, *names), **values}
        self.records[table].append(record)
        return record

    def chain(self, records: list[dict[str, Any]]) -> None:
        """Link records in their order by "prev" and "next"."""
        for before, after in zip([None, *records], [*records, None], strict=True):
            if before is not None:
                before["next"] = after["token"] if after is not None else ""
            if after is not None:
                after["prev"] = before["token"] if before is not None else ""

    def constants(self, categories: tuple[str, ...], channels: dict[str, str]) -> None:
        """The tables that do not depend on a drive; `channels` are modalities by name."""
        for name in categories:
            self.add("category", (name,), name=name, description="")
        for name in ATTRIBUTES:
            self.add("attribute", (name,), name=name, description="")
        for number, level in enumerate(VISIBILITY, 1):
            shares = level[1:].replace("-", " and ")
            self.records["visibility"].append(
                {
                    "token": str(number),
                    "level": level,
                    "description": f"visibility of whole object is between {shares} %",
                }
            )
        for channel, modality in channels.items():
            self.add("sensor", (channel,), channel=channel, modality=modality)

    def write(self, folder: Path) -> None:
        """Write each table as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, records in self.records.items():
            (folder / f"{name}.json").write_text(json.dumps(records, indent=0), encoding="utf-8")
