"""Damage anywhere in a nuScenes folder is a `BadInput` or a valid sample, and nothing else."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data_adapters.bev.reading import adapter
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.phantom import write_phantom

VALUES: tuple[Any, ...] = (None, True, -1, 10**400, 1e300, "", "\ud800", "x", [], [None], {}, [1e300] * 4)
"""What takes the place of a value; a field is removed too."""

TABLES = (
    *("category", "instance", "sensor", "calibrated_sensor", "ego_pose", "log", "scene", "sample", "sample_data"),
    "sample_annotation",
)

LAYERS = ("polygon", "line", "node", "lane", "road_segment", "road_divider", "lane_divider")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sample, whose files are damaged and mended again."""
    root = tmp_path_factory.mktemp("damaged")
    write_phantom(root, 1, 0, PhantomConfig(height=48, width=84, samples=1))
    assert is_readable(root)
    return root


def is_readable(root: Path) -> bool:
    """Whether the sample and its labels can be read; whatever is read must be valid."""
    reader = adapter(cameras=("CAM_FRONT",))
    try:
        (case,) = reader.cases(str(root))
        json.dumps([case.id, case.group, case.files], ensure_ascii=False).encode()
        frame = reader.read(case)
        json.dumps([frame.notes, frame.missing], ensure_ascii=False).encode()
        assert frame.images.shape == (1, 32, 64, 3)
        assert np.isfinite(frame.camera_to_ego).all()
        assert np.isfinite(frame.intrinsics).all()
        labels = frame.labels()
        if labels is not None:
            assert np.isfinite(labels.boxes.corners).all()
            assert labels.mask("vehicle").max() <= 1
            assert labels.mask("road").max() <= 1
    except BadInput as error:
        str(error).encode()  # no half of a surrogate pair
        return False
    return True


def change(path: Path, content: bytes) -> None:
    """Replace a file, so that it has another time even where the clock has not moved on."""
    modified = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(modified + 1, modified + 1))


def variants(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record with another value of each of its fields, and without it."""
    for field in record:
        yield from ({**record, field: value} for value in VALUES)
        yield {name: value for name, value in record.items() if name != field}


@pytest.mark.parametrize("table", TABLES)
def test_any_value_of_a_field_of_a_table(root, table) -> None:
    path = root / f"v1.0-mini/{table}.json"
    text = path.read_bytes()
    first, *others = json.loads(text)
    outcomes = set()
    for record in variants(first):
        change(path, json.dumps([record, *others]).encode())
        outcomes.add(is_readable(root))
    assert False in outcomes
    change(path, text)
    assert is_readable(root)


@pytest.mark.parametrize("layer", LAYERS)
def test_any_value_of_a_field_of_a_map(root, layer) -> None:
    path = root / "maps/expansion/boston-seaport.json"
    text = path.read_bytes()
    content = json.loads(text)
    first, *others = content[layer]
    outcomes = set()
    for record in variants(first):
        change(path, json.dumps({**content, layer: [record, *others]}).encode())
        outcomes.add(is_readable(root))
    assert False in outcomes
    change(path, text)
    assert is_readable(root)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_byte(root, data) -> None:
    tables, maps, images = (sorted(root.glob(name)) for name in ("v1.0*/*", "maps/expansion/*", "samples/CAM_FRONT/*"))
    path = data.draw(st.sampled_from([*tables, *maps, *images]))
    text = path.read_bytes()
    damaged = bytearray(text)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    change(path, bytes(damaged[: data.draw(st.sampled_from([None, None, None, len(text) // 2]))]))
    try:
        is_readable(root)
    finally:
        change(path, text)
