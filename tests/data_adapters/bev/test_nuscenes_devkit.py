"""Our reading of nuScenes against the official devkit, on synthetic drives with roll, pitch and a pose per camera."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.config import ReadConfig, WriteConfig
from transect.data_adapters.bev.nuscenes.splits import splits_of
from transect.data_adapters.bev.sample import Frame

pytest.importorskip("nuscenes")

ORDER = [3, 2, 6, 7, 0, 1, 5, 4]
"""Our order of the corners of a box, as positions in the devkit's."""


@pytest.fixture(scope="module")
def frames(drives: Path) -> list[Frame]:
    adapter = BevAdapter(ReadConfig(height=48, width=84), WriteConfig())
    return [adapter.read(case) for case in adapter.cases(str(drives))]


@pytest.fixture(scope="module")
def devkit(drives: Path):
    from nuscenes.nuscenes import NuScenes

    return NuScenes("v1.0-mini", str(drives), verbose=False)


@pytest.fixture(scope="module")
def map_of(devkit, drives: Path) -> Callable[[Frame], Any]:
    from nuscenes.map_expansion.map_api import NuScenesMap

    def load(frame: Frame) -> Any:
        scene = devkit.get("scene", devkit.get("sample", frame.case.token)["scene_token"])
        return NuScenesMap(str(drives), devkit.get("log", scene["log_token"])["location"])

    return load


def test_samples_cameras_and_names_of_boxes(frames, devkit) -> None:
    assert [frame.case.token for frame in frames] == [sample["token"] for sample in devkit.sample]
    for frame, sample in zip(frames, devkit.sample, strict=True):
        assert frame.case.group == devkit.get("scene", sample["scene_token"])["name"]
        assert frame.timestamp == sample["timestamp"]
        assert sorted([*frame.names, "LIDAR_TOP"]) == sorted(sample["data"])
        assert frame.labels().boxes.names == tuple(
            devkit.get("sample_annotation", token)["category_name"] for token in sample["anns"]
        )


def test_boxes_project_where_the_devkit_projects_them(frames, devkit) -> None:
    from nuscenes.utils.geometry_utils import BoxVisibility, view_points

    compared = 0
    for frame, sample in zip(frames, devkit.sample, strict=True):
        corners = frame.labels().boxes.corners
        for number, name in enumerate(frame.names):
            _, boxes, intrinsics = devkit.get_sample_data(sample["data"][name], box_vis_level=BoxVisibility.NONE)
            np.testing.assert_allclose(frame.intrinsics[number], intrinsics)  # of images that are not resized
            pixels, depth = geometry.project(corners, frame.camera_to_ego[number], frame.intrinsics[number])
            theirs = np.stack([box.corners()[:, ORDER].T for box in boxes])
            np.testing.assert_allclose(depth, theirs[..., 2], atol=1e-9)
            for ours, box, ahead in zip(pixels, theirs, (depth > 1).all(1), strict=True):
                if ahead:
                    np.testing.assert_allclose(ours, view_points(box.T, intrinsics, True)[:2].T, rtol=1e-9, atol=1e-6)
                    compared += 1
    assert compared > 100


def test_the_heading_is_that_of_the_devkit(frames, devkit) -> None:
    from nuscenes.eval.common.utils import quaternion_yaw
    from pyquaternion import Quaternion

    for frame, sample in zip(frames, devkit.sample, strict=True):
        lidar = devkit.get("sample_data", sample["data"]["LIDAR_TOP"])
        record = devkit.get("ego_pose", lidar["ego_pose_token"])
        assert geometry.heading(frame.ego_pose) == pytest.approx(
            quaternion_yaw(Quaternion(record["rotation"])), abs=1e-12
        )
        np.testing.assert_allclose(frame.ego_pose[:3, 3], record["translation"])
        np.testing.assert_allclose(frame.ego_pose[2], [0, 0, 1, record["translation"][2]])


def whole_pixels(frame: Frame, coordinates: Any) -> np.ndarray:
    x, y = np.array(coordinates).T
    points = frame.grid.matrix @ np.linalg.inv(frame.ego_pose)[[0, 1, 3]] @ [x, y, 0 * x, 1 + 0 * x]
    return np.rint(points[:2].T).astype(np.int32)


def test_the_road_is_drawn_of_the_polygons_of_the_devkit(frames, map_of) -> None:
    for frame in frames:
        loaded, pixels = map_of(frame), partial(whole_pixels, frame)
        drawn = {
            name: np.zeros((200, 200), np.uint8) for name in ("lane", "road_segment", "road_divider", "lane_divider")
        }
        for name in ("lane", "road_segment"):
            for record in getattr(loaded, name):
                polygon = loaded.extract_polygon(record["polygon_token"])
                cv2.fillPoly(drawn[name], [pixels(polygon.exterior.coords)], (1,))
                for hole in polygon.interiors:
                    cv2.fillPoly(drawn[name], [pixels(hole.coords)], (0,))
        for name in ("road_divider", "lane_divider"):
            for record in getattr(loaded, name):
                line = pixels(loaded.extract_line(record["line_token"]).coords)
                cv2.polylines(drawn[name], [line], False, (1,))
        labels = frame.labels()
        np.testing.assert_array_equal(labels.mask("road"), drawn["lane"] | drawn["road_segment"])
        np.testing.assert_array_equal(labels.mask("lane"), drawn["lane_divider"] | drawn["road_divider"])
        np.testing.assert_array_equal(labels.mask("lane_divider"), drawn["lane_divider"])
        assert labels.mask("road").any()


def test_the_mask_of_the_devkit_differs_at_edges_alone(frames, map_of) -> None:
    """Theirs is drawn with columns along x and rows along y of the vehicle, of polygons clipped to the patch."""
    for frame in frames:
        (x, y), heading = frame.ego_pose[:2, 3], np.degrees(geometry.heading(frame.ego_pose))
        masks = map_of(frame).get_map_mask((x, y, 100.0, 100.0), heading, ["lane", "road_segment"], (200, 200))
        theirs = masks.max(0).T[::-1, ::-1][:-1, :-1]
        ours = frame.labels().mask("road")[1:, 1:]
        assert (theirs & ours).sum() / (theirs | ours).sum() > 0.985
        moved = [np.roll(ours, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
        inner, outer = np.min([ours, *moved], 0), np.max([ours, *moved], 0)
        assert ((inner <= theirs) & (theirs <= outer))[1:-1, 1:-1].mean() > 0.9995


def test_splits_are_those_of_the_devkit(tmp_path) -> None:
    from nuscenes.utils.splits import mini_train, mini_val, test, train, val

    known = {"v1.0-trainval": {"train": train, "val": val}, "v1.0-mini": {"train": mini_train, "val": mini_val}}
    for version, lists in {**known, "v1.0-test": {"test": test}}.items():
        expected = {scene: split for split, scenes in lists.items() for scene in scenes}
        assert splits_of(tmp_path / version, expected) == expected
