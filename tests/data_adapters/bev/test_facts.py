"""What `transect check` tells and writes of a sample, and what it warns of."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data_adapters.bev.rigs import AT, FORWARD, camera, frame, save, write_rig
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.facts import facts_of, write_as_read
from transect.data_adapters.bev.geometry import box_corners, pose, rotation
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.labels import draw_boxes
from transect.data_adapters.bev.measures import optics_of
from transect.data_adapters.bev.sample import Boxes, Frame, Labels

ALONG_Z, ALONG_Y, ALONG_X = (0, 0, 1), (0, 1, 0), (1, 0, 0)


def turned(degrees: float, axis: Sequence[float], at: Sequence[float] = AT) -> list[list[float]]:
    """The pose of a camera that looked forward and is turned about an axis of the vehicle."""
    half = np.radians(degrees) / 2
    turn = rotation([np.cos(half), *(np.sin(half) * np.array(axis))])
    return pose(turn @ FORWARD, at).tolist()


def sample(folder: Path, *poses: Any) -> Frame:
    return frame(write_rig(folder, *(camera(f"cam{i}", camera_to_ego=each) for i, each in enumerate(poses))))


def labelled(plain: Frame) -> tuple[Frame, Labels]:
    """The sample with a car 10 m ahead and 3 m to the left, a hidden one, a pedestrian and a road."""
    corners = box_corners(
        [[10, 3, 0.8], [-8, 2, 0.8], [6, -3, 0.9]], [[4, 2, 1.6]] * 2 + [[0.5, 0.5, 1.8]], [np.eye(3)] * 3
    )
    boxes = Boxes(corners, ("vehicle.car", "vehicle.car", "human.pedestrian.adult"), np.array([4, 1, 4], np.uint8))
    vehicle, visibility, centre = draw_boxes(boxes, plain.grid)
    road = np.zeros(vehicle.shape, np.uint8)
    road[:, 90:110] = 1
    refused = {"lane": BadInput("maps", "expansion", "none", "a map", "")}
    labels = Labels({"vehicle": vehicle, "road": road}, visibility, centre, boxes, refused)
    return replace(plain, labels=lambda: labels), labels


def test_optics_are_measured_in_ego_axes(tmp_path: Path) -> None:
    left, down, rolled = optics_of(
        sample(tmp_path, turned(70, ALONG_Z), turned(12, ALONG_Y), turned(9, ALONG_X, (1, -2, 1.4)))
    )
    assert (left.heading, left.pitch, left.roll) == (70, 0, 0)
    assert (down.heading, down.pitch, down.roll) == (0, -12, 0)
    assert (rolled.heading, rolled.pitch, rolled.roll) == (0, 0, 9)
    assert (rolled.x, rolled.y, rolled.z) == (1, -2, 1.4)
    assert left.fov == pytest.approx(90, abs=1e-6)


def test_the_facts_of_a_sample(tmp_path: Path) -> None:
    plain = sample(tmp_path, turned(0, ALONG_Z), turned(-60, ALONG_Z, (1, -0.5, 1.5)))
    known = replace(plain, offsets=(3.0, -12.5), missing=("back",), epsg=32632, ego_pose=pose(np.eye(3), (1, 2, 0)))
    shown, labels = labelled(known)
    facts = facts_of(shown)
    assert facts["cameras"] == ["cam0", "cam1"]
    assert facts["image_size"] == "320 x 180"
    assert facts["height_m"] == [1.6, 1.5]
    assert facts["heading_degrees"] == [0, -60]
    assert facts["view_degrees"] == [90, 90]
    assert (facts["time_offset_ms"], facts["pose"], facts["missing"]) == (12.5, "EPSG:32632", ["back"])
    assert facts["vehicle_pixels"] == 9 * 5 * 2 == labels.masks["vehicle"].sum()
    assert (facts["road_pixels"], facts["hidden_pixels"], facts["boxes"]) == (4000, 45, 3)
    assert facts["warnings"] == "no image of back; maps: expansion: found none, expected a map"
    json.dumps(facts)


@pytest.mark.parametrize(
    ("poses", "words"),
    [
        ([turned(0, ALONG_Z, (1, 0, -0.3))], "camera cam0 stands 0.30 m below the ground"),
        ([turned(0, ALONG_Z, (1, 0, 160))], "camera cam0 stands 160.00 m above the ground"),
        ([turned(0, ALONG_Z, (60, 0, 1.6))], "camera cam0 stands 60.0 m from the origin"),
        ([turned(-60, ALONG_Y)], "camera cam0 looks 60 degrees up"),
        ([turned(80, ALONG_Y)], "camera cam0 looks 80 degrees down"),
        ([turned(180, ALONG_X)], "camera cam0 is turned by 180 degrees about its axis"),
        ([turned(0, ALONG_Z), turned(60, ALONG_Z)], "all cameras stand at one point"),
        ([turned(90, ALONG_Z)], "no camera sees what is ahead"),
    ],
)
def test_a_suspicious_calibration_is_read_with_a_warning(tmp_path: Path, poses: Any, words: str) -> None:
    assert words in facts_of(sample(tmp_path, *poses))["warnings"]


def test_a_tall_image_loses_its_horizon_with_a_warning(tmp_path: Path) -> None:
    """A picture of 180 x 320 pixels becomes 480 x 853, of which the lowest 224 rows are kept: the middle is row 426."""
    size = {"width": 180, "height": 320, "K": [[160.0, 0, 89.5], [0, 160.0, 159.5], [0, 0, 1]]}
    save(tmp_path / "front.png", np.zeros((320, 180, 3), np.uint8))
    shown = frame(write_rig(tmp_path, camera(**size)), ReadConfig())
    assert optics_of(shown)[0].horizon == pytest.approx((426.4 - 629) / 224, abs=0.005)
    assert "no horizon" in facts_of(shown)["warnings"]


@pytest.mark.parametrize(("column", "warned"), [(159.5, False), (210.0, True), (115.0, False), (110.0, True)])
def test_a_principal_point_far_from_the_middle_has_a_warning(tmp_path: Path, column: float, warned: bool) -> None:
    shown = frame(write_rig(tmp_path, camera(K=[[160.0, 0, column], [0, 160.0, 89.5], [0, 0, 1]])))
    assert optics_of(shown)[0].middle == pytest.approx((column + 0.5) / 320, abs=1e-6)
    assert ("principal point" in facts_of(shown).get("warnings", "")) == warned


@pytest.mark.parametrize("heading", [-44, 0, 44])
def test_a_usual_calibration_has_no_warning(tmp_path: Path, heading: float) -> None:
    assert "warnings" not in facts_of(sample(tmp_path, turned(heading, ALONG_Z)))


def test_the_arrays_are_written_as_they_were_read(tmp_path: Path) -> None:
    shown, labels = labelled(sample(tmp_path / "rig", turned(0, ALONG_Z), turned(-60, ALONG_Z)))
    write_as_read(shown, tmp_path)
    with np.load(tmp_path / "inputs.npz", allow_pickle=False) as file:
        arrays = dict(file)
    expected = {"names", "images", "K", "camera_to_ego", "view", "ego_pose", "vehicle", "road", "visibility"}
    assert set(arrays) == expected
    assert arrays["names"].tolist() == ["cam0", "cam1"]
    assert arrays["images"].dtype == arrays["vehicle"].dtype == np.uint8
    assert np.array_equal(arrays["images"], shown.images)
    assert np.array_equal(arrays["K"], shown.intrinsics)
    assert np.array_equal(arrays["camera_to_ego"], shown.camera_to_ego)
    assert np.array_equal(arrays["view"], Grid().matrix)
    assert np.array_equal(arrays["visibility"], labels.visibility)
    with Image.open(tmp_path / "overlay.png") as picture:
        assert picture.mode == "RGB"
        assert picture.width == 1484


def test_a_sample_without_labels_has_none_in_its_arrays(tmp_path: Path) -> None:
    write_as_read(sample(tmp_path / "rig", turned(0, ALONG_Z)), tmp_path)
    with np.load(tmp_path / "inputs.npz") as file:
        assert set(file) == {"names", "images", "K", "camera_to_ego", "view", "ego_pose"}


def test_several_agents_are_named(tmp_path: Path) -> None:
    poses = np.stack([np.eye(4), pose(np.eye(3), (20, 0, 0))])
    shown = replace(sample(tmp_path / "rig", turned(0, ALONG_Z)), agents=("a", "b"), agent_to_ego=poses)
    write_as_read(shown, tmp_path)
    with np.load(tmp_path / "inputs.npz") as file:
        assert file["agents"].tolist() == ["a", "b"]
        assert np.array_equal(file["agent_to_ego"], poses)
    assert facts_of(shown)["agents"] == ["a", "b"]
