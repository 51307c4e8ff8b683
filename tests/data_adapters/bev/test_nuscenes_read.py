"""Samples of nuScenes: what is read, what may be missing, and what a move of the world changes."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_adapters.bev.reading import adapter, read_all, shot_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import geometry
from transect.data_adapters.bev.nuscenes.splits import splits_of
from transect.data_adapters.bev.sample import INVISIBLE


def test_cases_are_named_after_scenes_and_positions(drives) -> None:
    cases = adapter().cases(str(drives))
    assert [case.id for case in cases] == [f"scene-{scene}_{n:03d}" for scene in (2001, 2002) for n in (0, 1)]
    assert [(case.group, case.frame) for case in cases] == [(f"scene-{s}", n) for s in (2001, 2002) for n in (0, 1)]
    assert all(Path(file).exists() for case in cases for file in case.files)
    assert sum(file.endswith(".jpg") for file in cases[0].files) == 6
    assert len(pickle.dumps(cases[0])) < 3000
    assert pickle.loads(pickle.dumps(cases)) == cases == adapter().cases(str(drives))


def test_a_sample_as_it_is_read(drives) -> None:
    frame = adapter().read(adapter().cases(str(drives))[1])
    assert frame.names == (
        "CAM_FRONT_LEFT",
        "CAM_FRONT",
        "CAM_FRONT_RIGHT",
        "CAM_BACK_LEFT",
        "CAM_BACK",
        "CAM_BACK_RIGHT",
    )
    assert frame.images.shape == (6, 32, 64, 3)
    assert frame.camera_to_ego.dtype == frame.intrinsics.dtype == np.float64
    forward = frame.camera_to_ego[:, :3, 2]
    angles = [np.degrees(np.arctan2(y, x)) for x, y, _ in forward]
    np.testing.assert_allclose(angles, [55, 0, -55, 110, 180, -110], atol=5)
    assert max(map(abs, frame.offsets)) < 50
    assert (frame.missing, frame.notes, frame.epsg) == ((), (), None)
    assert frame.agent.tolist() == [0] * 6


def test_some_of_the_cameras(drives) -> None:
    frame, *_ = read_all(drives, cameras=("CAM_BACK", "CAM_FRONT"))
    assert frame.names == ("CAM_FRONT", "CAM_BACK")
    assert frame.missing == ()
    assert set(read_all(drives, cameras=("CAM_SIDE",))) == {
        f"{drives}/v1.0-mini/sensor.json: channel: found CAM_FRONT_LEFT, CAM_FRONT, CAM_FRONT_RIGHT, CAM_BACK_LEFT, "
        "CAM_BACK, CAM_BACK_RIGHT, expected CAM_SIDE"
    }


def test_a_missing_file_or_key_frame_is_a_missing_camera(folder, edit) -> None:
    rows = json.loads((folder / "v1.0-mini" / "sample_data.json").read_text())
    gone = folder / shot_of(rows, "CAM_BACK")["filename"]
    gone.unlink()
    edit(folder, "sample_data", lambda rows: rows.remove(shot_of(rows, "CAM_FRONT")))
    frame, whole, *_ = read_all(folder)
    assert frame.names == ("CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
    assert frame.missing == ("CAM_FRONT", "CAM_BACK")
    assert frame.notes == ("CAM_FRONT is missing: it has no key frame", f"CAM_BACK is missing: there is no file {gone}")
    assert len(frame.images) == len(frame.intrinsics) == len(frame.camera_to_ego) == len(frame.offsets) == 4
    assert len(whole.names) == 6


def test_a_smaller_image_of_the_same_aspect_has_its_intrinsics_scaled(folder) -> None:
    rows = json.loads((folder / "v1.0-mini" / "sample_data.json").read_text())
    whole, *_ = read_all(folder, cameras=("CAM_FRONT",))
    Image.new("RGB", (42, 24)).save(folder / shot_of(rows, "CAM_FRONT")["filename"])
    half, *_ = read_all(folder, cameras=("CAM_FRONT",))
    np.testing.assert_allclose(half.intrinsics[0, :2, :2], whole.intrinsics[0, :2, :2], rtol=1e-9)
    # Of 84 pixels the width shrinks to 64, about the first pixel; of 42 it grows, about the corner.
    np.testing.assert_allclose(half.intrinsics[0, 0, 2] - whole.intrinsics[0, 0, 2], 0.5 * 64 / 84 - 0.5, rtol=1e-9)


def test_the_time_of_a_camera_may_be_some_way_off(folder, edit) -> None:
    def later(rows: list[dict]) -> None:
        shot_of(rows, "CAM_FRONT")["timestamp"] += 300_000

    edit(folder, "sample_data", later)
    first, *_ = read_all(folder)
    assert re.search(r"CAM_FRONT, \w+, timestamp: found 29\d\.\d+ ms from LIDAR_TOP, expected at most 250 ms", first)
    first, *_ = read_all(folder, max_time_offset=400.0)
    assert 290 < max(first.offsets) < 310


def test_a_quaternion_of_nearly_unit_length_is_normalised(folder, edit) -> None:
    before, *_ = read_all(folder)
    boxes = before.labels().boxes

    def stretch(rows: list[dict]) -> None:
        for row in rows:
            row["rotation"] = [1.005 * value for value in row["rotation"]]

    edit(folder, "ego_pose", stretch)
    edit(folder, "sample_annotation", stretch)
    after, *_ = read_all(folder)
    np.testing.assert_allclose(after.camera_to_ego, before.camera_to_ego, atol=1e-12)
    np.testing.assert_allclose(after.labels().boxes.corners, boxes.corners, atol=1e-9)


def test_sweeps_are_no_key_frames(folder, edit) -> None:
    def sweeps(rows: list[dict]) -> None:
        for channel in ("CAM_FRONT", "CAM_BACK"):
            shot = shot_of(rows, channel)
            rows.insert(0, {**shot, "token": f"before {channel}", "is_key_frame": False, "filename": "no.jpg"})

    before, *_ = read_all(folder)
    edit(folder, "sample_data", sweeps)
    after, *_ = read_all(folder)
    assert after.names == before.names
    np.testing.assert_array_equal(after.images, before.images)


def test_samples_without_annotations_are_empty_and_data_without_any_have_no_labels(folder, edit) -> None:
    first, *_ = read_all(folder)

    def clear(rows: list[dict]) -> None:
        rows[:] = [row for row in rows if row["sample_token"] != first.case.token]

    edit(folder, "sample_annotation", clear)
    labels = read_all(folder)[0].labels()
    assert not labels.mask("vehicle").any()
    assert not labels.center.any()
    assert (labels.visibility == INVISIBLE).all()
    assert labels.mask("road").any()
    edit(folder, "sample_annotation", list.clear)
    assert read_all(folder)[0].labels() is None
    (folder / "v1.0-mini/sample_annotation.json").unlink()
    with pytest.raises(BadInput, match=r"sample_annotation\.json: table: found no such file"):
        read_all(folder)[0].labels()


def test_an_annotation_without_a_visibility_is_visible_and_named(folder, edit) -> None:
    first, *_ = read_all(folder)
    before = first.labels()
    number = before.boxes.names.index("vehicle.car")
    tokens = []

    def blank(rows: list[dict]) -> None:
        rows = [row for row in rows if row["sample_token"] == first.case.token]
        rows[number]["visibility_token"] = ""
        tokens.append(rows[number]["token"])

    edit(folder, "sample_annotation", blank)
    after = read_all(folder)[0].labels()
    assert after.boxes.visibility[number] == INVISIBLE
    assert (after.visibility >= before.visibility).all()
    np.testing.assert_array_equal(after.mask("vehicle"), before.mask("vehicle"))
    assert after.notes == (f"1 annotation without a visibility_token: taken as visible ({tokens[0]})",)


def test_splits_that_a_folder_lists(folder, edit) -> None:
    path = folder / "v1.0-mini" / "splits.json"
    lists = {"mini_train": ["scene-2001"], "Validation": ["scene-2002"], "night": ["scene-2001"], "test": []}
    path.write_text(json.dumps(lists))
    assert [case.split for case in adapter().cases(str(folder))] == ["train", "train", "val", "val"]
    path.write_text(json.dumps({**lists, "test": ["scene-2001"]}))
    with pytest.raises(BadInput, match=r"splits\.json: scene-2001: found train and test, expected each scene in one"):
        adapter().cases(str(folder))
    for damaged in ("[]", "{", '{"train": 3}'):
        path.write_text(damaged)
        with pytest.raises(BadInput, match=r"splits\.json: "):
            adapter().cases(str(folder))


def test_official_splits(tmp_path) -> None:
    assert splits_of(tmp_path / "v1.0-trainval", ["scene-0001", "scene-0003"]) == {
        "scene-0001": "train",
        "scene-0003": "val",
    }
    assert splits_of(tmp_path / "v1.0-mini", ["scene-0103", "scene-0001"]) == {"scene-0103": "val", "scene-0001": ""}
    assert splits_of(tmp_path / "v1.0-test", ["scene-0077"]) == {"scene-0077": "test"}


@pytest.mark.parametrize(
    ("yaw", "shift", "error"), [(1.1, (-3000.0, 700.0, 12.0), 1e-9), (-2.5, (5e5, 5.4e6, 400.0), 1e-8)]
)
def test_a_move_of_the_world_changes_nothing_but_the_pose(folder, edit, yaw, shift, error) -> None:
    """Coordinates of UTM in a float64 have steps of 1e-9 m, which is what remains of the difference."""
    before = [(frame, frame.labels()) for frame in read_all(folder)]
    turn = geometry.rotation([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
    motion = geometry.pose(turn, shift)

    def move(rows: list[dict]) -> None:
        for row in rows:
            w, x, y, z = row["rotation"]
            cos, sin = np.cos(yaw / 2), np.sin(yaw / 2)
            row["rotation"] = [cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w]
            row["translation"] = (motion @ [*row["translation"], 1])[:3].tolist()

    def move_nodes(content: dict) -> None:
        for node in content["node"]:
            node["x"], node["y"] = (motion @ [node["x"], node["y"], 0, 1])[:2].tolist()

    edit(folder, "ego_pose", move)
    edit(folder, "sample_annotation", move)
    for path in (folder / "maps" / "expansion").iterdir():
        edit(folder, str(path.relative_to(folder)), move_nodes)
    for (old, was), new in zip(before, read_all(folder), strict=True):
        np.testing.assert_allclose(new.camera_to_ego, old.camera_to_ego, rtol=0, atol=error)
        np.testing.assert_allclose(new.ego_pose, motion @ old.ego_pose, rtol=1e-12, atol=1e-9)
        is_ = new.labels()
        np.testing.assert_allclose(is_.boxes.corners, was.boxes.corners, rtol=0, atol=10 * error)
        np.testing.assert_allclose(is_.center, was.center, atol=1e-6)
        for name in was.masks:
            np.testing.assert_array_equal(is_.mask(name), was.mask(name))
        np.testing.assert_array_equal(is_.visibility, was.visibility)


def test_the_tilt_of_a_vehicle_tilts_its_cameras_alone(folder, edit) -> None:
    """The frame of reference keeps the heading alone, so a vehicle with its nose down has its cameras turned."""

    def level(rows: list[dict]) -> None:
        for row in rows:
            heading = geometry.heading(geometry.pose(geometry.rotation(row["rotation"]), [0, 0, 0]))
            row["rotation"] = [np.cos(heading / 2), 0, 0, np.sin(heading / 2)]

    def nose_down(rows: list[dict]) -> None:
        for row in rows:
            w, _, _, z = row["rotation"]
            cos, sin = np.cos(0.05), np.sin(0.05)  # 0.1 rad about y, which points left
            row["rotation"] = [w * cos, -z * sin, w * sin, z * cos]

    edit(folder, "ego_pose", level)
    flat = [(frame, frame.labels()) for frame in read_all(folder, cameras=("CAM_FRONT",))]
    edit(folder, "ego_pose", nose_down)
    for (old, was), new in zip(flat, read_all(folder, cameras=("CAM_FRONT",)), strict=True):
        np.testing.assert_allclose(new.ego_pose, old.ego_pose, atol=1e-12)
        np.testing.assert_array_equal(new.labels().mask("vehicle"), was.mask("vehicle"))
        np.testing.assert_array_equal(new.labels().mask("road"), was.mask("road"))
        down = new.camera_to_ego[0, :3, 2] - old.camera_to_ego[0, :3, 2]
        assert down[2] == pytest.approx(-np.sin(0.1), abs=0.01)  # it looks at the ground
        height = new.camera_to_ego[0, 2, 3] - old.camera_to_ego[0, 2, 3]
        assert height == pytest.approx(-np.sin(0.1) * 1.7, abs=0.05)  # it stands 1.7 m before the axle


def test_labels_of_a_sample_are_drawn_once(folder: Path) -> None:
    frame = read_all(folder)[0]
    assert frame.labels() is frame.labels()
