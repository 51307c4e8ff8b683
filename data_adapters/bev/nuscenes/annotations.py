"""The annotated boxes of nuScenes, kept in columns: the whole data set has more than a million."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.calibration import UNIT
from transect.data_adapters.bev.geometry import Array
from transect.data_adapters.bev.nuscenes.records import FARTHEST, Record, by_token, linked, read_records
from transect.data_adapters.bev.sample import INVISIBLE, Boxes

FIELDS = ("sample_token", "instance_token", "visibility_token", "translation", "size", "rotation")

NAMED = 3
"""Number of annotations that a note names."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """All boxes, and which belong to a sample.

    Args:
        rows: Rows of each sample, by its token, in the order of the table.
        numbers: float64 `(n, 10)`: centre in the world, size (width, length, height), rotation (w, x, y, z).
        categories: Name of the category of each row.
        visibility: uint8 `(n,)`: 1 to 4, or INVISIBLE where it is not known.
        unknown: Tokens of the annotations whose visibility is not known, by row.
        damaged: A record of a sample that cannot be used, by the token of the sample.
    """

    rows: Mapping[str, "array[int]"]
    numbers: Array
    categories: list[str]
    visibility: "array[int]"
    unknown: Mapping[int, str]
    damaged: Mapping[str, BadInput]

    def boxes(self, sample: str, frame: Array) -> tuple[Boxes, tuple[str, ...]]:
        """The boxes of a sample in the frame of a pose, and notes on them.

        Raises:
            BadInput: a record is damaged.
        """
        if sample in self.damaged:
            raise self.damaged[sample].with_traceback(None)
        rows = list(self.rows.get(sample, ()))
        centers, sizes, quaternions = np.split(self.numbers[rows], [3, 6], axis=1)
        turns = frame[:3, :3].T @ geometry.rotation(quaternions)
        corners = geometry.box_corners(geometry.from_parent(centers, frame), sizes[:, [1, 0, 2]], turns)
        names = tuple(self.categories[row] for row in rows)
        visibility = np.array([self.visibility[row] for row in rows], np.uint8)
        return Boxes(corners, names, visibility), self._notes(rows)

    def _notes(self, rows: list[int]) -> tuple[str, ...]:
        tokens = [self.unknown[row] for row in rows if row in self.unknown]
        if not tokens:
            return ()
        named = ", ".join(tokens[:NAMED]) + (" and more" if len(tokens) > NAMED else "")
        count = f"{len(tokens)} annotations" if len(tokens) > 1 else "1 annotation"
        return (f"{count} without a visibility_token: taken as visible ({named})",)


def read_annotations(folder: Path, samples: Collection[str]) -> Annotations:
    """Read `sample_annotation`, `instance` and `category`.

    Args:
        folder: Of the version.
        samples: Tokens of all samples.

    Raises:
        BadInput: a table is missing or is no list of records, a token is there twice, or an annotation names no sample:
            some label would lack it.
    """
    categories = by_token(read_records(folder / "category.json", ("name",)))
    instances = by_token(read_records(folder / "instance.json", ("category_token",)))
    rows: defaultdict[str, array[int]] = defaultdict(partial(array, "I"))
    numbers, names, visibility = array("d"), list[str](), array("B")
    unknown: dict[int, str] = {}
    damaged: dict[str, BadInput] = {}
    tokens = set()
    for row, record in enumerate(read_records(folder / "sample_annotation.json", FIELDS)):
        if record.token in tokens:
            raise record.repeated()
        tokens.add(record.token)
        sample = record.fields.get("sample_token")
        if not isinstance(sample, str) or sample not in samples:
            raise record.bad("sample_token", "a token of sample.json")
        try:
            values, seen = _box(record), _visibility(record)
            instance = linked(record, "instance_token", instances, "instance")
            name = linked(instance, "category_token", categories, "category").text("name")
        except BadInput as error:
            damaged.setdefault(sample, error.with_traceback(None))
            values, seen, name = [0.0] * 10, INVISIBLE, ""
        if seen == INVISIBLE:
            unknown[row] = record.token
        rows[sample].append(row)
        numbers.extend(values)
        names.append(name)
        visibility.append(seen)
    return Annotations(dict(rows), np.array(numbers).reshape(-1, 10), names, visibility, unknown, damaged)


def _box(record: Record) -> list[float]:
    """Centre, size and rotation: ten numbers."""
    fields = record.fields
    with suppress(TypeError, KeyError, ValueError):  # a shortcut past the checks below, which take ten times as long
        center, size, (w, x, y, z) = fields["translation"], fields["size"], fields["rotation"]
        values = [*center, *size, w, x, y, z]
        plain = len(center) == len(size) == 3 and {*map(type, values)} <= {int, float}
        bounded = all(-FARTHEST <= value <= FARTHEST for value in values) and min(size) > 0
        if plain and bounded and abs(w * w + x * x + y * y + z * z - 1) < UNIT:
            return values
    return _checked_box(record)


def _checked_box(record: Record) -> list[float]:
    size = record.vector("size")
    if size.min() <= 0:
        raise record.bad("size", "three numbers above 0")
    return [*record.vector("translation"), *size, *record.quaternion("rotation")]


def _visibility(record: Record) -> int:
    token = record.fields.get("visibility_token")
    if token is None or token == "":
        return INVISIBLE
    if str(token) not in ("1", "2", "3", "4"):
        raise record.bad("visibility_token", "1 to 4")
    return int(token)
