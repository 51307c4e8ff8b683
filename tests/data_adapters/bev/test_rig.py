"""`rig.yaml`: what each key means, and what is refused, by camera and field."""

import copy
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.data_adapters.bev.rigs import AT, FORWARD, SAME, K, camera, discs, frame, frames, misses, save, write_rig
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.geometry import pose, rotation
from transect.data_adapters.bev.rig.cases import find_rig_cases
from transect.data_adapters.bev.rig.read import read_rig

CARLA = np.array([[0.0, 1, 0], [0, 0, -1], [1, 0, 0]])
"""x right, y down, z forward from x forward, y right, z up."""

RIGHT = np.diag([1.0, -1, 1])
"""x forward, y left from x forward, y right, and back."""


def test_both_rigs_of_a_folder_are_read_and_the_one_of_another_shape_fails_by_name(given: Any) -> None:
    folder, right = given("05_images_smaller_than_their_calibration")
    cases = find_rig_cases(folder / "data")
    assert [case.id for case in cases] == ["rig_00000", "rig_other_shape_00000"]
    sample = read_rig(cases[0], ReadConfig())
    for index, colour, name in ((0, (255, 0, 255), "magenta"), (0, (0, 255, 0), "green"), (1, (0, 255, 255), "cyan")):
        rows, columns = np.nonzero(np.abs(sample.images[index].astype(int) - colour).sum(-1) < 200)
        seen = np.linalg.inv(sample.camera_to_ego[index]) @ [*right["landmarks"][name], 1]
        pixel = sample.intrinsics[index] @ (seen[:3] / seen[2])
        assert np.hypot(columns.mean() - pixel[0], rows.mean() - pixel[1]) < 1
    with pytest.raises(BadInput, match="camera right, image size: found 640 x 480, expected 1600 x 900"):
        read_rig(cases[1], ReadConfig())


def test_a_rotation_may_be_a_quaternion(tmp_path: Path) -> None:
    parts = {"translation": list(AT), "rotation": [0.5, -0.5, 0.5, -0.5], "camera_to_ego": None}
    sample = frame(write_rig(tmp_path, camera(**parts)))
    assert np.allclose(sample.camera_to_ego[0], pose(FORWARD, AT), atol=1e-12)
    assert sample.names == ("front",)
    assert np.array_equal(sample.agent, [0])


TURN = rotation([0.99, 0.02, -0.03, 0.08]) @ FORWARD
POSE = pose(TURN, (1.2, -0.4, 1.5))


@pytest.mark.parametrize(
    ("axes", "ego", "stated"),
    [
        ("opencv", "flu", POSE),
        ("carla", "flu", pose(TURN @ CARLA, POSE[:3, 3])),
        ("opencv", "fru", pose(RIGHT @ TURN, RIGHT @ POSE[:3, 3])),
        ("carla", "fru", pose(RIGHT @ TURN @ CARLA, RIGHT @ POSE[:3, 3])),
    ],
)
def test_all_axes_come_to_one_pose(tmp_path: Path, axes: str, ego: str, stated: Any) -> None:
    save(tmp_path / "front.png", discs(POSE, K))
    path = write_rig(tmp_path, camera(axes=axes, camera_to_ego=stated.tolist()), ego={"axes": ego})
    sample = frame(path)
    assert np.allclose(sample.camera_to_ego[0], POSE, atol=1e-12)
    assert max(misses(sample).values()) < 0.5


def test_the_pose_of_a_camera_as_carla_gives_it_needs_no_other_key(tmp_path: Path) -> None:
    """Roll 0, pitch 0, yaw 90 degrees to the right, 2 m forward, 1 m to the right, in left-handed axes."""
    turn = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    path = write_rig(
        tmp_path, camera(axes="carla", camera_to_ego=pose(turn, (2, 1, 1.5)).tolist()), ego={"axes": "fru"}
    )
    sample = frame(path)
    assert sample.camera_to_ego[0, :3, 2].tolist() == [0, -1, 0]  # it looks to the right
    assert sample.camera_to_ego[0, :3, 1].tolist() == [0, 0, -1]
    assert sample.camera_to_ego[0, :3, 3].tolist() == [2, -1, 1.5]


def test_eight_cameras_are_read_in_their_order_and_nine_are_refused(tmp_path: Path) -> None:
    names = [f"camera {number}" for number in range(8, 0, -1)]
    path = write_rig(tmp_path / "eight", *(camera(name) for name in names))
    assert frame(path).names == tuple(names)
    path = write_rig(tmp_path / "nine", *(camera(str(number)) for number in range(9)))
    with pytest.raises(BadInput, match="cameras: found 9 cameras, expected a list of 1 to 8"):
        frame(path)


def test_some_cameras_are_read_and_unknown_ones_are_named(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera("front"), camera("back"))
    assert frame(path, ReadConfig(180, 320, cameras=("back",))).names == ("back",)
    with pytest.raises(BadInput, match="found front, back, expected left too"):
        frame(path, ReadConfig(180, 320, cameras=("back", "left")))


def test_a_missing_file_is_a_dropped_view(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera("front"), camera("back"))
    (tmp_path / "front.png").unlink()
    sample = frame(path)
    assert (sample.names, sample.missing) == (("back",), ("front",))
    (tmp_path / "back.png").unlink()
    with pytest.raises(BadInput, match=r"image: found none of front.png, back.png"):
        frame(path)


def test_two_cameras_of_one_image_have_a_note(tmp_path: Path) -> None:
    sample = frame(write_rig(tmp_path, camera("front"), camera("rear"), camera("left", image="front.png")))
    assert sample.notes == ("camera left has the image of front",)


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera("front"), camera("back"))
    (tmp_path / "front.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"front.png: image"):
        frame(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"K": [[160, 0, 400], [0, 160, 90], [0, 0, 1]]}, "camera left, K: found a principal point"),
        ({"K": [[160, 0, 160], [5, 160, 90], [0, 0, 1]]}, "camera left, K: found a second row 5, 160, 90"),
        ({"camera_to_ego": pose(FORWARD @ RIGHT, AT).tolist()}, "camera left, camera_to_ego: .*determinant -1"),
        ({"axes": "carla"}, r"camera left, camera_to_ego: .*determinant \+1"),
        ({"axes": "ros"}, "camera left, axes: found 'ros', expected opencv or carla"),
        ({"camera_to_ego": None}, "camera left, camera_to_ego: found none"),
        ({"translation": [1, 2, 3]}, "camera left, camera_to_ego: found camera_to_ego and translation"),
        ({"rotation": [1, 0, 0, 0], "camera_to_ego": None}, "camera left, camera_to_ego: found rotation"),
        (
            {"translation": [1, 2, 3], "rotation": [0, 0, 0, 0], "camera_to_ego": None},
            "camera left, rotation: found a zero quaternion",
        ),
        (
            {"translation": [1, 2, 3], "rotation": [1, 0, 0, 0], "camera_to_ego": None, "axes": "carla"},
            "camera left, rotation: found a quaternion from carla to flu axes",
        ),
        (
            {"translation": [1, 2], "rotation": [1, 0, 0, 0], "camera_to_ego": None},
            "camera left, translation: found .* expected 3 numbers",
        ),
        (
            {"distortion": {"model": "kannala", "coefficients": [0] * 4}},
            "left, distortion, model: found 'kannala'",
        ),
        ({"distortion": {"model": "opencv", "coefficients": [0] * 6}}, "distortion, coefficients: found 6 numbers"),
        ({"distortion": {"model": "fisheye", "coefficients": [0] * 5}}, "distortion, coefficients: found 5 numbers"),
        ({"distortion": {"model": "opencv", "coefficients": [0, 0, 0, float("nan")]}}, "coefficients: found nan"),
        ({"distortion": {"model": "opencv"}}, "camera left, distortion: found no coefficients"),
        ({"distortion": [0.1, 0, 0, 0]}, "camera left, distortion: found .* expected a mapping"),
        (
            {"distortion": {"model": "opencv", "coefficients": [0] * 4}, "K": [[160, 1, 159], [0, 160, 89], [0, 0, 1]]},
            "camera left, K: found a skew of 1",
        ),
        ({"width": 0}, "camera left, width: found 0"),
        ({"height": 180.5}, "camera left, height: found 180.5"),
        ({"height": "180 px"}, "camera left, height: found '180 px', expected a number"),
        ({"width": None}, "camera 2, camera: found no width"),
        ({"name": "front"}, "cameras: found front twice"),
        ({"name": " "}, "camera 2, name: found ' '"),
        ({"name": ["left"]}, "camera 2, name"),
        ({"intrinsics": K}, "camera 2, camera: found the key 'intrinsics'"),
        ({"widht": 320}, r"the key 'widht', expected .*; width\?"),
        ({"image": "/etc/passwd"}, "camera left, image: found '/etc/passwd', expected a path below the folder"),
        ({"image": "../front.png"}, "camera left, image: found '../front.png', expected a path below"),
        ({"image": "a/../../front.png"}, "expected a path below"),
        ({"image": "http://host/left.mp4"}, "expected a path below"),
        ({"image": "rtsp://host/left"}, "expected a path below"),
        ({"image": "file:left.png"}, "expected a path below"),
        ({"image": 0}, "camera left, image: found 0, expected a file name"),
        ({"image": "."}, "camera left, image: found '.', expected a file name"),
        ({"image": "left\n.png"}, "expected a file name"),
        ({"image": "x" * 300 + ".png"}, "expected a file name"),
        ({"image": "*.jpg"}, "camera left, image: found no file like"),
        ({"image": "rig.yaml"}, "camera left, image: found rig.yaml, expected images"),
        ({"timestamps": "/tmp/left.csv"}, "camera left, timestamps: .* expected a path below"),
    ],
)
def test_what_is_wrong_with_a_camera_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = write_rig(tmp_path, camera("front"), camera(**({"name": "left"} | changes)))
    with pytest.raises(BadInput, match=words):
        frames(path)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"ego": {"axes": "rfu"}}, "ego, axes: found 'rfu', expected flu or fru"),
        ({"ego": "fru"}, "ego: found 'fru', expected a mapping with axes"),
        ({"tolerance": -1}, "tolerance: found -1"),
        ({"tolerance": "50 ms"}, "tolerance: found '50 ms', expected a number"),
        ({"camera": []}, r"rig: found the key 'camera', expected .*; cameras\?"),
        (
            {"pose": {"epsg": 4326, "x": 8, "y": 50, "heading": 0}},
            r"epsg: found 4326 \(WGS 84\), expected a projected",
        ),
        ({"pose": {"epsg": 2263, "x": 8, "y": 50, "heading": 0}}, "pose, epsg: found 2263"),
        ({"pose": {"epsg": 2053, "x": 8, "y": 50, "heading": 0}}, "pose, epsg: found 2053"),
        ({"pose": {"epsg": 999999, "x": 8, "y": 50, "heading": 0}}, "pose, epsg: found 999999"),
        ({"pose": {"epsg": 32632.5, "x": 8, "y": 50, "heading": 0}}, "pose, epsg: found 32632.5"),
        ({"pose": {"epsg": 32632, "x": 8, "y": 50}}, "pose: found no heading"),
        ({"pose": {"epsg": 32632, "x": 8, "y": float("nan"), "heading": 0}}, "pose, y: found nan"),
        ({"pose": {"epsg": 32632, "x": 8, "y": 50, "yaw": 0}}, "pose: found the key 'yaw'"),
        ({"pose": [1, 2, 3]}, "pose: found .* expected a mapping with epsg, x, y, heading"),
        ({"pose": "../poses.csv"}, "pose: .* expected a path below"),
    ],
)
def test_what_is_wrong_with_a_rig_is_named(tmp_path: Path, others: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        frames(write_rig(tmp_path, camera(), **others))


def test_a_heading_turns_counter_clockwise_from_east(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera(), pose={"epsg": 32632, "x": 691_000.25, "y": 5_335_000.5, "heading": 90})
    sample = frame(path)
    assert sample.epsg == 32632
    assert np.allclose(sample.ego_pose @ [10, 2, 0, 1], [691_000.25 - 2, 5_335_000.5 + 10, 0, 1], atol=1e-9)


def test_a_rig_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera())
    frame(path)
    write_rig(tmp_path, camera(camera_to_ego=pose(FORWARD, (5, 0, 2)).tolist()), tolerance=5)
    assert frame(path).camera_to_ego[0, 0, 3] == 5


def test_a_rig_that_changes_between_listing_and_reading_is_refused(tmp_path: Path) -> None:
    (case,) = find_rig_cases(write_rig(tmp_path, camera(), camera("back")))
    write_rig(tmp_path, camera())
    with pytest.raises(BadInput, match="a change since it was listed"):
        read_rig(case, SAME)


def test_empty_keys_are_left_out(tmp_path: Path) -> None:
    given = copy.deepcopy(camera())
    path = write_rig(tmp_path, given | {"distortion": None, "timestamps": None, "axes": None}, ego=None, pose=None)
    assert frame(path).names == ("front",)


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "bev.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(cameras:.*?)```", text, re.DOTALL)
    (tmp_path / "rig.yaml").write_text(example)
    for number in (9, 10):
        save(tmp_path / f"front/{number}.png", np.full((450, 800, 3), 90, np.uint8))
    writer = cv2.VideoWriter(
        str(tmp_path / "rear.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (640, 400)
    )
    for _ in range(2):
        writer.write(np.full((400, 640, 3), 90, np.uint8))
    writer.release()
    (tmp_path / "front.csv").write_text("file,microseconds\n9.png,1000000\n10.png,1100000\n")
    (tmp_path / "rear.csv").write_text("frame,microseconds\n0,1010000\n1,1110000\n")
    (tmp_path / "poses.csv").write_text("microseconds,epsg,x,y,heading\n900000,32632,5,6,0\n1200000,32632,8,6,0\n")
    first, second = frames(tmp_path / "rig.yaml")
    assert first.names == second.names == ("front", "rear")
    assert np.allclose(second.ego_pose[:2, 3], [7, 6])
    assert first.camera_to_ego[:, :3, 2].round(9).tolist() == [[1, 0, 0], [-1, 0, 0]]
