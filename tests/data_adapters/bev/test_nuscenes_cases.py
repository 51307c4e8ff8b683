"""The nuScenes folders of ../shared/cases/bev, through the adapter: read as their index says."""

from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.config import ReadConfig, WriteConfig
from transect.data_adapters.bev.sample import INVISIBLE, Frame, Labels

COLOURS = {"magenta": (255, 0, 255), "green": (0, 255, 0), "cyan": (0, 255, 255), "yellow": (255, 255, 0)}


def read(folder: Path) -> Frame:
    adapter = BevAdapter(ReadConfig(), WriteConfig())
    (case,) = adapter.cases(str(folder))
    return adapter.read(case)


def labels(folder: Path) -> Labels:
    found = read(folder).labels()
    assert found is not None
    return found


def spans(mask: np.ndarray) -> list[list[int]]:
    return [[int(each.min()), int(each.max())] for each in np.nonzero(mask)]


def test_01_each_camera_has_the_pose_of_its_own_time(given) -> None:
    folder, right = given("01_camera_exposed_at_another_time")
    frame = read(folder / "data")
    assert frame.names == ("CAM_FRONT", "CAM_BACK")
    for name, place in right["camera_in_reference_frame"].items():
        np.testing.assert_allclose(frame.camera_to_ego[frame.names.index(name), :3, 3], place, atol=1e-6)
    for number, name in enumerate(frame.names):
        for colour in right["pixels"][name]:
            sought, _ = geometry.project(
                right["landmarks"][colour], frame.camera_to_ego[number], frame.intrinsics[number]
            )
            rows, columns = np.nonzero(np.abs(frame.images[number] - np.array(COLOURS[colour])).sum(-1) < 120)
            assert np.hypot(*(sought - [columns.mean(), rows.mean()])) < 1
    assert frame.labels() is None  # no annotations at all


def test_02_width_comes_first_and_boxes_turn(given) -> None:
    folder, right = given("02_box_turned_and_its_width_first")
    found = labels(folder / "data")
    vehicle = found.masks["vehicle"]
    for name, rows, columns in (("A", slice(70, 90), slice(90, 110)), ("B", slice(110, 130), slice(50, 70))):
        box = np.zeros_like(vehicle)
        box[rows, columns] = vehicle[rows, columns]
        assert spans(box) == [right[name]["rows"], right[name]["columns"]]
        assert box.sum() == 55
    assert found.boxes.names == ("vehicle.car", "vehicle.truck", "vehicle.bus.rigid")
    for corners, name in zip(found.boxes.corners, "ABC", strict=True):
        np.testing.assert_allclose(corners[:4, :2], right[name]["ego_corners"], atol=1e-5)


def test_03_words_make_vehicles_and_the_later_box_is_seen(given) -> None:
    folder, right = given("03_categories_visibility_and_overlap")
    found = labels(folder / "data")
    vehicle, seen = found.masks["vehicle"], found.visibility
    assert vehicle.sum() == right["vehicle_pixels"]
    assert vehicle[seen >= 2].sum() == right["vehicle_pixels_after_filter"]
    counts = {str(value): int((seen == value).sum()) for value in np.unique(seen) if value != INVISIBLE}
    assert counts == right["visibility_counts"]
    assert (found.center > 0).sum() == sum(counts.values())


def test_04_a_map_with_a_hole_and_records_without_geometry(given, caplog) -> None:
    folder, right = given("04_map_with_hole_and_null_tokens")
    found = labels(folder / "data")
    road = found.mask("road")
    assert road.sum() == right["road_pixels"]
    (top, bottom), (left, end) = right["hole_rows_columns"]
    assert not road[top : bottom + 1, left : end + 1].any()
    assert spans(road[:60]) == [[20, 59], right["lane_rows_columns"][1]]
    assert spans(found.mask("road_divider")) == [[0, 199], [right["road_divider_column"]] * 2]
    np.testing.assert_array_equal(found.mask("lane"), found.mask("road_divider"))
    (note,) = found.notes
    assert note == "singapore-queenstown.json: left out 1 of 1 records of lane_divider without geometry"
    labels(folder / "data")
    assert caplog.text.count(note) <= 1  # not again for a later sample


def test_04_without_a_map_there_are_vehicles_all_the_same(given) -> None:
    folder, _ = given("04_map_with_hole_and_null_tokens")
    found = labels(folder / "data_without_map")
    assert found.mask("vehicle").sum() == 55
    for name in ("road", "lane"):
        with pytest.raises(BadInput, match=r"maps/expansion/singapore-queenstown\.json: map: found no such file"):
            found.mask(name)
