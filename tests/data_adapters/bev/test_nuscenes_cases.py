"""The nuScenes folders of ../shared/cases/bev, through the adapter: read as their index says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.config import ReadConfig, WriteConfig
from transect.data_adapters.bev.sample import INVISIBLE, Frame

COLOURS = {"magenta": (255, 0, 255), "green": (0, 255, 0), "cyan": (0, 255, 255), "yellow": (255, 255, 0)}


@dataclass(frozen=True)
class Checked:
    frame: Frame
    facts: dict[str, Any]
    files: dict[str, np.ndarray]  # of inputs.npz


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[Path], Checked]:
    """Reads and checks the only sample of a folder."""

    def run(folder: Path) -> Checked:
        adapter = BevAdapter(ReadConfig(), WriteConfig())
        (case,) = adapter.cases(str(folder))
        frame = adapter.read(case)
        facts = adapter.check(case, frame, tmp_path)
        with np.load(tmp_path / "inputs.npz") as arrays:
            return Checked(frame, facts, dict(arrays))

    return run


def spans(mask: np.ndarray) -> list[list[int]]:
    return [[int(each.min()), int(each.max())] for each in np.nonzero(mask)]


def test_01_each_camera_has_the_pose_of_its_own_time(given, checked) -> None:
    folder, right = given("01_camera_exposed_at_another_time")
    found = checked(folder / "data")
    files = found.files
    assert files["names"].tolist() == ["CAM_FRONT", "CAM_BACK"]
    cameras = zip(files["names"], files["images"], files["K"], files["camera_to_ego"], strict=True)
    for name, image, intrinsics, pose in cameras:
        np.testing.assert_allclose(pose[:3, 3], right["camera_in_reference_frame"][name], atol=1e-6)
        for colour in right["pixels"][name]:
            sought, _ = geometry.project(right["landmarks"][colour], pose, intrinsics)
            rows, columns = np.nonzero(np.abs(image - np.array(COLOURS[colour])).sum(-1) < 120)
            assert np.hypot(*(sought - [columns.mean(), rows.mean()])) < 1
    assert found.facts["time_offset_ms"] == 42
    assert found.frame.labels() is None  # no annotations at all
    assert "vehicle" not in files


def test_02_width_comes_first_and_boxes_turn(given, checked) -> None:
    folder, right = given("02_box_turned_and_its_width_first")
    found = checked(folder / "data")
    vehicle = found.files["vehicle"]
    for name, rows, columns in (("A", slice(70, 90), slice(90, 110)), ("B", slice(110, 130), slice(50, 70))):
        box = np.zeros_like(vehicle)
        box[rows, columns] = vehicle[rows, columns]
        assert spans(box) == [right[name]["rows"], right[name]["columns"]]
        assert box.sum() == 55
    boxes = found.frame.labels().boxes
    assert boxes.names == ("vehicle.car", "vehicle.truck", "vehicle.bus.rigid")
    for corners, name in zip(boxes.corners, "ABC", strict=True):
        np.testing.assert_allclose(corners[:4, :2], right[name]["ego_corners"], atol=1e-5)


def test_03_words_make_vehicles_and_the_later_box_is_seen(given, checked) -> None:
    folder, right = given("03_categories_visibility_and_overlap")
    found = checked(folder / "data")
    vehicle, seen = found.files["vehicle"], found.files["visibility"]
    assert vehicle.sum() == found.facts["vehicle_pixels"] == right["vehicle_pixels"]
    assert vehicle[seen >= 2].sum() == right["vehicle_pixels_after_filter"]
    assert found.facts["hidden_pixels"] == right["left_out_by_filter"]
    counts = {str(value): int((seen == value).sum()) for value in np.unique(seen) if value != INVISIBLE}
    assert counts == right["visibility_counts"]
    assert (found.frame.labels().center > 0).sum() == sum(counts.values())


def test_04_a_map_with_a_hole_and_records_without_geometry(given, checked, caplog) -> None:
    folder, right = given("04_map_with_hole_and_null_tokens")
    found = checked(folder / "data")
    road, lane = found.files["road"], found.files["lane"]
    assert road.sum() == right["road_pixels"]
    (top, bottom), (left, end) = right["hole_rows_columns"]
    assert not road[top : bottom + 1, left : end + 1].any()
    assert spans(road[:60]) == [[20, 59], right["lane_rows_columns"][1]]
    assert spans(found.files["road_divider"]) == [[0, 199], [right["road_divider_column"]] * 2]
    np.testing.assert_array_equal(lane, found.files["road_divider"])
    note = "singapore-queenstown.json: left out 1 of 1 records of lane_divider without geometry"
    assert found.facts["warnings"] == note
    checked(folder / "data")
    assert caplog.text.count(note) <= 1  # not again for a later sample


def test_04_without_a_map_there_are_vehicles_all_the_same(given, checked) -> None:
    folder, _ = given("04_map_with_hole_and_null_tokens")
    found = checked(folder / "data_without_map")
    assert found.files["vehicle"].sum() == 55
    assert "road" not in found.files
    missing = "maps/expansion/singapore-queenstown.json: map: found no such file"
    assert found.facts["warnings"].count(missing) == 1
    for name in ("road", "lane"):
        with pytest.raises(BadInput, match=missing):
            found.frame.labels().mask(name)
