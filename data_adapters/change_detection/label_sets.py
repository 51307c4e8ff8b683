"""All labels of one data set, which share a coding.

They are given by where they are, not as a list, so that a pair of a large data set stays small when it is sent to
another process.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.folders import rasters_by_stem
from transect.data_adapters.change_detection.labels import LabelWithOne, with_one
from transect.data_adapters.change_detection.tables import labels_in_table


def label_with_one(places: tuple[str, ...]) -> LabelWithOne | None:
    """The first label of a data set that has the value 1 for change, or None.

    Scans the labels up to that one, once in a process unless files are added or removed. Labels that cannot be read are
    passed over: each fails in the case that it belongs to.

    Args:
        places: Folders of labels, CSVs of pairs, or label files.
    """
    return _first(places, tuple(os.stat(place).st_mtime_ns for place in places if os.path.exists(place)))


@lru_cache(maxsize=64)
def _first(places: tuple[str, ...], changed: tuple[int, ...]) -> LabelWithOne | None:
    for path in _labels(places):
        with suppress(BadInput):
            if found := with_one(path):
                return found
    return None


def _labels(places: tuple[str, ...]) -> Iterator[str]:
    for place in places:
        path = Path(place)
        if path.is_dir():
            yield from rasters_by_stem(path).values()
        elif path.suffix.lower() == ".csv":
            yield from labels_in_table(path)
        else:
            yield place
