"""The map expansion of nuScenes: polygons of the road and lines of its dividers in metres of the world."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.bev.geometry import Array
from transect.data_adapters.bev.nuscenes.records import FARTHEST, Record, by_token, linked, shortened
from transect.data_adapters.regular import require_regular

log = logging.getLogger("transect")

POLYGONS = ("lane", "road_segment")
"""The layers that make a road."""

LINES = ("road_divider", "lane_divider")
"""The layers that make lanes."""

VERSION = (1, 3)
"""The first version of the maps whose layers are those of the published labels."""

NOTHING = (None, "")
"""What stands for a token or a list that is not there."""

LARGEST = 1 << 29
"""Largest size of a map in bytes; the largest of the four of nuScenes has a tenth of it."""

Shape = tuple[Array, ...]
"""The rings `(k, 2)` of a polygon, its exterior first, or the one line."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The shapes of one layer.

    Args:
        shapes: In the order of their records.
        low: Smallest x and y of each, float64 `(n, 2)`.
        high: Largest x and y of each.
    """

    shapes: tuple[Shape, ...]
    low: Array
    high: Array

    def near(self, point: Array, radius: float) -> Iterator[Shape]:
        """The shapes that may reach into a square around a point `(2,)`."""
        hit = (self.low <= point + radius) & (self.high >= point - radius)
        return (self.shapes[number] for number in np.flatnonzero(hit.all(1)))


@dataclass(frozen=True, eq=False)
class Map:
    """A map.

    Args:
        layers: By name: those of `POLYGONS` and `LINES`.
        notes: What was left out.
    """

    layers: Mapping[str, Layer]
    notes: tuple[str, ...]


def open_map(path: Path) -> Map:
    """Read a map expansion, once in a process unless the file changes.

    Raises:
        BadInput: it is missing or damaged, a token is there twice or not known, or a coordinate is no number.
    """
    require_regular(path)
    try:
        state = os.stat(path)
    except OSError as error:
        advice = "it is in the map expansion of nuScenes (v1.3), which is a download of its own"
        raise BadInput(path, "map", "no such file", "a map with lanes and road segments", advice) from error
    if state.st_size > LARGEST:
        raise BadInput(path, "size", f"{state.st_size} bytes", f"at most {LARGEST}")
    return _opened(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _opened(path: Path, modified: int, size: int) -> Map:
    content = _content(path)
    points = {node.token: (node.fields.get("x"), node.fields.get("y")) for node in _records(path, content, "node")}
    polygons = by_token(_records(path, content, "polygon"))
    lines = by_token(_records(path, content, "line"))
    shapes: dict[str, list[Shape]] = {
        **{name: [_polygon(each, polygons, points) for each in _records(path, content, name)] for name in POLYGONS},
        **{name: [_line(each, lines, points) for each in _records(path, content, name)] for name in LINES},
    }
    empty = {name: sum(not shape for shape in shapes[name]) for name in shapes}
    notes = _doubts_of_version(path, content.get("version")) + tuple(
        f"{path.name}: left out {count} of {len(shapes[name])} records of {name} without geometry"
        for name, count in empty.items()
        if count
    )
    for note in notes:
        log.warning("%s", note)
    return Map({name: _layer([shape for shape in each if shape]) for name, each in shapes.items()}, notes)


def _doubts_of_version(path: Path, version: object) -> tuple[str, ...]:
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", str(version))
    if numbers and (int(numbers[1]), int(numbers[2])) >= VERSION:
        return ()
    expected = ".".join(map(str, VERSION))
    return (f"{path.name}: version {shortened(version)}: published labels are those of {expected} or later",)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: damaged JSON or UTF-8
        raise BadInput(path, "JSON", shortened(reason(error)), "a map of nuScenes") from error
    if not isinstance(content, dict):
        raise BadInput(path, "JSON", type(content).__name__, "an object with the layers of a map")
    return content


def _records(path: Path, content: dict[str, Any], name: str) -> Iterator[Record]:
    rows = content.get(name)
    if not isinstance(rows, list):
        raise BadInput(path, name, "no such layer" if name not in content else type(rows).__name__, "a list of records")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("token"), str):
            raise BadInput(path, f"{name}, record {number}", shortened(row), "an object with a token")
        yield Record(path, row["token"], row)


def _polygon(record: Record, polygons: Mapping[str, Record], points: Mapping[str, Any]) -> Shape:
    """The rings of a record of a layer; nothing where it has no geometry."""
    if record.fields.get("polygon_token", 0) in NOTHING:
        return ()
    polygon = linked(record, "polygon_token", polygons, "polygon")
    exterior = _ring(polygon, "exterior_node_tokens", polygon.fields.get("exterior_node_tokens"), points)
    if len(exterior) < 3:
        return ()
    holes = polygon.fields.get("holes")
    holes = [] if holes in NOTHING else holes
    if not isinstance(holes, list) or not all(isinstance(hole, dict) for hole in holes):
        raise polygon.bad("holes", "a list of objects")
    rings = [_ring(polygon, "holes, node_tokens", hole.get("node_tokens"), points) for hole in holes]
    return (exterior, *(ring for ring in rings if len(ring) > 2))


def _line(record: Record, lines: Mapping[str, Record], points: Mapping[str, Any]) -> Shape:
    """The line of a record of a layer; nothing where it has no geometry."""
    if record.fields.get("line_token", 0) in NOTHING:
        return ()
    line = linked(record, "line_token", lines, "line")
    ring = _ring(line, "node_tokens", line.fields.get("node_tokens"), points)
    return (ring,) if len(ring) > 1 else ()


def _ring(record: Record, field: str, tokens: object, points: Mapping[str, Any]) -> Array:
    """The points `(k, 2)` of a list of nodes."""
    place, name = record.place, record.named(field)
    tokens = [] if tokens in NOTHING else tokens
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise place.bad(name, shortened(tokens), "a list of tokens")
    unknown = next((token for token in tokens if token not in points), None)
    if unknown is not None:
        raise place.bad(name, shortened(unknown), "tokens of nodes")
    values = [points[token] for token in tokens]
    wrong = next((pair for pair in values if not all(map(_is_coordinate, pair))), None)
    if wrong is not None:
        raise place.bad(name, f"a node at {shortened(wrong)}", f"x and y of at most {FARTHEST:g} m")
    return np.array(values, np.float64).reshape(-1, 2)


def _is_coordinate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -FARTHEST <= value <= FARTHEST


def _layer(shapes: Sequence[Shape]) -> Layer:
    low = np.array([shape[0].min(0) for shape in shapes]).reshape(-1, 2)
    high = np.array([shape[0].max(0) for shape in shapes]).reshape(-1, 2)
    return Layer(tuple(shapes), low, high)
