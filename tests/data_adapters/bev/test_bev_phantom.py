"""Synthetic drives: the official devkit loads them, and pixels, boxes, visibility and map agree."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from transect.data_adapters.bev import phantom
from transect.data_adapters.bev.config import PhantomConfig, ReadConfig
from transect.data_adapters.bev.geometry import box_corners, pose, project, rotation
from transect.data_adapters.bev.labels import to_pixels
from transect.data_adapters.bev.layouts import find_cases, read_case
from transect.data_adapters.bev.phantom import write_phantom
from transect.data_adapters.bev.synthetic.raycast import Camera, Ground, Light, Solid, render

SMALL = PhantomConfig(height=48, width=84, samples=2)
Array = NDArray[np.float64]


@dataclass
class Rendered:
    """What one call of the renderer was given and gave."""

    camera: Camera
    solids: list[Solid]
    ground: Ground
    light: Light
    image: NDArray[np.uint8]
    ids: NDArray[np.int32]
    alone: NDArray[np.int64]


class Drives:
    """The tables of a written folder, and the renderings of its images in the order of their records."""

    def __init__(self, root: Path, rendered: list[Rendered]) -> None:
        self.root, self.rendered = root, rendered
        self.tables = {path.stem: json.loads(path.read_text()) for path in (root / "v1.0-mini").glob("*.json")}
        self.images = [data for data in self.tables["sample_data"] if data["fileformat"] == "jpg"]

    def get(self, table: str, token: str) -> dict[str, Any]:
        return next(record for record in self.tables[table] if record["token"] == token)

    def camera(self, data: dict[str, Any]) -> tuple[Array, Array]:
        """World pose and K of an image, from its records alone."""
        ego = self.get("ego_pose", data["ego_pose_token"])
        sensor = self.get("calibrated_sensor", data["calibrated_sensor_token"])
        poses = [pose(rotation(record["rotation"]), record["translation"]) for record in (ego, sensor)]
        return poses[0] @ poses[1], np.array(sensor["camera_intrinsic"])

    def boxes(self, sample: str) -> list[dict[str, Any]]:
        return [record for record in self.tables["sample_annotation"] if record["sample_token"] == sample]


def written(root: Path, config: PhantomConfig, change: Callable[[Light], Light] = lambda light: light) -> Drives:
    rendered: list[Rendered] = []

    def watched(camera: Camera, solids: list[Solid], ground: Ground, light: Light) -> Any:
        out = render(camera, solids, ground, change(light))
        rendered.append(Rendered(camera, solids, ground, light, *out))
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantom, "render", watched)
        write_phantom(root, 2, 0, config)
    return Drives(root, rendered)


@pytest.fixture(scope="module")
def drives(tmp_path_factory: pytest.TempPathFactory) -> Drives:
    return written(tmp_path_factory.mktemp("drives"), PhantomConfig(height=96, width=168, samples=2))


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_one_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        write_phantom(tmp_path / name, 1, seed, replace(SMALL, samples=1))
    one, two, other = (digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not set(one.values()) & {hash_ for name, hash_ in other.items() if name.endswith((".jpg", ".bin"))}


def test_devkit_loads_drives_and_their_maps(drives: Drives) -> None:
    pytest.importorskip("nuscenes")
    from nuscenes.map_expansion.map_api import NuScenesMap
    from nuscenes.nuscenes import NuScenes

    data = NuScenes("v1.0-mini", str(drives.root), verbose=False)
    assert [scene["name"] for scene in data.scene] == ["scene-2001", "scene-2002"]
    for scene in data.scene:
        location = data.get("log", scene["log_token"])["location"]
        loaded = NuScenesMap(str(drives.root), location)
        assert any(polygon["holes"] for polygon in loaded.polygon)
        sample = data.get("sample", scene["first_sample_token"])
        lidar = data.get("sample_data", sample["data"]["LIDAR_TOP"])
        x, y, _ = data.get("ego_pose", lidar["ego_pose_token"])["translation"]
        shares = loaded.get_map_mask((x, y, 60.0, 60.0), 0.0, ["lane", "road_segment"], (120, 120)).mean((1, 2))
        assert 0.1 < shares[0] < shares[1] < 0.8
        _, boxes, _ = data.get_sample_data(sample["data"]["CAM_FRONT"])
        assert boxes


def test_drawn_pixels_lie_inside_their_projected_boxes(drives: Drives) -> None:
    checked = 0
    for data, seen in zip(drives.images, drives.rendered, strict=True):
        if not data["is_key_frame"]:
            continue
        to_world, k = drives.camera(data)
        for index, box in enumerate(drives.boxes(data["sample_token"])):
            rows, columns = np.nonzero(seen.ids == index)
            size = np.array(box["size"])[[1, 0, 2]]
            corners = box_corners([box["translation"]], [size], [rotation(box["rotation"])])[0]
            pixels, depth = project(corners, to_world, k)
            if len(rows) == 0 or (depth < 0.1).any():
                continue
            outline = shapely.MultiPoint(pixels).convex_hull.buffer(1e-6)
            assert shapely.contains_xy(outline, columns, rows).all()
            checked += len(rows)
    assert checked > 5000


def test_sensors_have_times_and_poses_of_their_own_and_the_vehicle_pitches_and_rolls(drives: Drives) -> None:
    ups = np.array([rotation(record["rotation"])[2, :2] for record in drives.tables["ego_pose"]])
    assert (np.abs(np.degrees(np.arcsin(ups))).max(0) > 0.7).all()
    for sample in drives.tables["sample"]:
        own = [d for d in drives.tables["sample_data"] if d["sample_token"] == sample["token"] and d["is_key_frame"]]
        assert len({data["timestamp"] for data in own}) == 7
        places = np.array([drives.get("ego_pose", data["ego_pose_token"])["translation"] for data in own])
        assert 0.03 < np.linalg.norm(places - places[-1], axis=1).max() < 0.5
    assert sum(not data["is_key_frame"] for data in drives.tables["sample_data"]) == 2 * 4
    moved = [drives.get("sample_annotation", a["next"])["translation"] != a["translation"]
             for a in drives.tables["sample_annotation"] if a["next"]]  # fmt: skip
    assert 0 < sum(moved) < len(moved)


def test_visibility_is_the_share_of_pixels_that_nothing_hides(drives: Drives) -> None:
    levels = set()
    for sample in drives.tables["sample"]:
        pairs = zip(drives.images, drives.rendered, strict=True)
        seen = [s for d, s in pairs if d["sample_token"] == sample["token"] and d["is_key_frame"]]
        for index, box in enumerate(drives.boxes(sample["token"])):
            shown = sum((one.ids == index).sum() for one in seen)
            alone = sum((render(one.camera, [one.solids[index]], one.ground, one.light)[1] == 0).sum() for one in seen)
            share = shown / alone if alone else 0.0
            level = 1 + (share >= 0.4) + (share >= 0.6) + (share >= 0.8)
            assert box["visibility_token"] == str(level)
            levels.add(level)
    assert {1, 4} < levels


def test_lidar_points_lie_in_the_boxes_that_count_them(drives: Drives) -> None:
    counts = []
    for sample in drives.tables["sample"]:
        (data,) = (
            d for d in drives.tables["sample_data"]
            if d["sample_token"] == sample["token"] and d["is_key_frame"] and d["fileformat"] == "pcd"
        )  # fmt: skip
        to_world, _ = drives.camera(data)
        points = np.fromfile(drives.root / data["filename"], np.float32).reshape(-1, 5)[:, :3]
        world = points @ to_world[:3, :3].T + to_world[:3, 3]
        for box in drives.boxes(sample["token"]):
            own = (world - box["translation"]) @ rotation(box["rotation"])
            inside = (np.abs(own) < np.array(box["size"])[[1, 0, 2]] / 2 + 1e-3).all(1) & (world[:, 2] > 1e-3)
            assert abs(inside.sum() - box["num_lidar_pts"]) <= 1  # one may lie where a tyre meets the ground
            counts.append(inside.sum())
    assert np.mean(np.array(counts) > 0) > 0.4


def test_ground_is_asphalt_where_the_label_has_a_road(tmp_path: Path) -> None:
    evenly = written(tmp_path, PhantomConfig(height=96, width=168, samples=1),
                     lambda light: replace(light, direct=0.0, ambient=1.0, haze=1e9))  # fmt: skip
    config = ReadConfig(height=96, width=168)
    for case in find_cases(str(tmp_path), config=config):
        frame = read_case(case, config)
        labels = frame.labels()
        assert labels is not None
        road, around = labels.mask("road"), np.ones((3, 3), np.uint8)
        inside, outside = cv2.erode(road, around) > 0, cv2.dilate(road, around) == 0
        on, off = [], []
        for name, image, k, camera in zip(
            frame.names, frame.images, frame.intrinsics, frame.camera_to_ego, strict=True
        ):
            (seen,) = (
                one.ids for data, one in zip(evenly.images, evenly.rendered, strict=True)
                if (data["sample_token"], data["is_key_frame"]) == (case.token, True)
                and f"/{name}/" in data["filename"]
            )  # fmt: skip
            rows, columns = np.nonzero(seen == -1)
            rays = camera[:3, :3] @ np.linalg.inv(k) @ np.stack([columns, rows, np.ones(len(rows))])
            far = -camera[2, 3] / np.where(rays[2] < 0, rays[2], np.nan)
            near = far < 12
            cells = np.rint(to_pixels((camera[:2, 3:] + far[near] * rays[:2, near]).T, frame.grid)).astype(int)
            colours = image[rows[near], columns[near]].astype(int)
            on.append(colours[inside[cells[:, 1], cells[:, 0]]])
            off.append(colours[outside[cells[:, 1], cells[:, 0]]])
        roadway, beside = np.concatenate(on), np.concatenate(off)
        asphalt = np.median(roadway, axis=0)
        assert len(roadway) > 3000 < len(beside)
        assert np.mean(np.abs(roadway - asphalt).max(1) < 25) > 0.85  # the rest is paint
        assert np.mean(np.abs(beside - asphalt).max(1) < 15) < 0.03


def test_drives_are_divided_into_training_validation_and_test(tmp_path: Path) -> None:
    write_phantom(tmp_path, 3, 0, replace(SMALL, samples=1))
    cases = find_cases(str(tmp_path), config=ReadConfig())
    assert [case.split for case in cases] == ["train", "val", "test"]
