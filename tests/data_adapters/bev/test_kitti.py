"""KITTI calibrations: where the cameras stand, and which layouts are found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data_adapters.bev.rigs import SAME, frame, save
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.geometry import project
from transect.data_adapters.bev.rig.cases import find_rig_cases
from transect.data_adapters.bev.rig.kitti import load_kitti
from transect.data_adapters.bev.rig.read import read_rig

# Of the object data set's frame 000000, shortened.
ROWS = {
    "P0": "721.5377 0 609.5593 0 0 721.5377 172.854 0 0 0 1 0",
    "P1": "721.5377 0 609.5593 -387.5744 0 721.5377 172.854 0 0 0 1 0",
    "P2": "721.5377 0 609.5593 44.85728 0 721.5377 172.854 0.2163791 0 0 1 0.002745884",
    "P3": "721.5377 0 609.5593 -339.5242 0 721.5377 172.854 2.199936 0 0 1 0.002729905",
    "R0_rect": "0.9999239 0.00983776 -0.007445048 -0.009869795 0.9999421 -0.004278459"
    " 0.007402527 0.004351614 0.9999631",
    "Tr_velo_to_cam": "0.007533745 -0.9999714 -0.000616602 -0.004069766 0.01480249 0.0007280733 -0.9998902 -0.07631618"
    " 0.9998621 0.00752379 0.01480755 -0.2717806",
}
COLOURS = {"magenta": (255, 0, 255), "green": (0, 255, 0), "cyan": (0, 255, 255)}
SIZE = (375, 1242, 3)


def write(path: Path, rows: dict[str, str] = ROWS, colon: str = ":") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}{colon} {values}\n" for name, values in rows.items()) + "\n")
    return path


def image(path: Path) -> Path:
    return save(path, np.full(SIZE, 90, np.uint8))


def test_discs_lie_where_the_calibration_puts_them(given: Any) -> None:
    folder, right = given("15_kitti_calibration_with_an_offset")
    (case,) = find_rig_cases(folder / "data")
    sample = read_rig(case, ReadConfig())
    for colour, mark in right["landmarks_velodyne"].items():
        rows, columns = np.nonzero(np.abs(sample.images[0].astype(int) - COLOURS[colour]).sum(-1) < 200)
        pixel, _ = project(np.add(mark, [0, 0, 1.73]), sample.camera_to_ego[0], sample.intrinsics[0])
        assert np.hypot(columns.mean() - pixel[0], rows.mean() - pixel[1]) < 1


def test_cameras_stand_where_the_fourth_columns_say(tmp_path: Path) -> None:
    path = write(tmp_path / "calib.txt")
    for number in range(4):
        image(tmp_path / f"image_{number}.png")
    rig = load_kitti(path)
    assert [camera.name for camera in rig.cameras] == ["image_0", "image_1", "image_2", "image_3"]
    assert rig.cameras[2].intrinsics[0, 0] == 721.5377
    first, *others = (camera.camera_to_ego for camera in rig.cameras)
    rectified = [np.linalg.inv(first) @ each @ [0, 0, 0, 1] for each in others]
    # The left colour camera is 6 cm to the right of the left grey one, and the right ones 0.54 and 0.47 m.
    assert np.allclose(rectified[1][:3], [-0.05985, 0.00036, -0.00275], atol=1e-4)
    assert abs(rectified[0][0] - 0.5372) < 1e-4
    assert abs(rectified[2][0] - 0.4729) < 1e-4
    # The velodyne is 27 cm behind them, and 1.73 m above the ground.
    assert np.allclose(first[:3, 3], [0.27, 0.0, 1.65], atol=0.02)


def test_the_folders_of_the_object_data_set_are_found(tmp_path: Path) -> None:
    for name in ("000000", "000007"):
        write(tmp_path / f"training/calib/{name}.txt")
        image(tmp_path / f"training/image_2/{name}.png")
    write(tmp_path / "training/calib/000009.txt")  # without an image
    cases = find_rig_cases(tmp_path)
    assert [case.id for case in cases] == ["000000_00000", "000007_00000"]
    assert cases[1].files[1].endswith("training/image_2/000007.png")
    assert read_rig(cases[1], SAME).names == ("image_2",)


def test_odometry_files_lead_from_the_velodyne_to_rectified_axes_at_once(tmp_path: Path) -> None:
    rows = {name: ROWS[name] for name in ("P0", "P1", "P2", "P3")} | {"Tr": ROWS["Tr_velo_to_cam"]}
    write(tmp_path / "00/calib.txt", rows)
    for number in range(3):
        image(tmp_path / f"00/image_2/{number:06}.png")
    cases = find_rig_cases(tmp_path)
    assert [case.frame for case in cases] == [0, 1, 2]
    level = {**ROWS, "R0_rect": "1 0 0 0 1 0 0 0 1"}
    write(tmp_path / "same/calib.txt", level)
    image(tmp_path / "same/image_2.png")
    same = frame(tmp_path / "same/calib.txt")
    assert np.allclose(read_rig(cases[2], SAME).camera_to_ego, same.camera_to_ego, atol=1e-12)


def test_rows_of_the_tracking_data_set_have_no_colon(tmp_path: Path) -> None:
    rows = {"R_rect" if n == "R0_rect" else "Tr_velo_cam" if n == "Tr_velo_to_cam" else n: v for n, v in ROWS.items()}
    image(tmp_path / "image_2.png")
    tracking = load_kitti(write(tmp_path / "calib.txt", rows, colon="")).cameras[0].camera_to_ego
    assert np.array_equal(tracking, load_kitti(write(tmp_path / "calib.txt")).cameras[0].camera_to_ego)


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("P2", None, "P2: found no such row, expected 12 numbers"),
        ("P2", "1 2 3", "P2: found 3 numbers, expected 12"),
        ("P2", f"{ROWS['P2']}\nP2: {ROWS['P2']}", "P2: found two rows, expected one"),
        ("P2", ROWS["P2"].replace("609.5593", "x"), "P2: found could not convert"),
        ("P2", ROWS["P2"].replace("44.85728", "nan"), "P2: found nan"),
        ("P2", ROWS["P2"].replace("0 0 1 0.002745884", "0 0 2 0"), "camera image_2, P2: found a last row 0, 0, 2"),
        ("P2", ROWS["P2"].replace("172.854", "500"), r"camera image_2, K: found a principal point at \(609.559, 500\)"),
        ("R0_rect", None, "R0_rect: found no such row"),
        ("R0_rect", "1 0 0 0 1 0 0 0 -1", "R0_rect: .*determinant -1"),
        ("R0_rect", "2 0 0 0 1 0 0 0 1", "R0_rect: .*at most 0.001"),
        ("Tr_velo_to_cam", None, "Tr_velo_to_cam: found no such row"),
        ("Tr_velo_to_cam", " ".join(["0"] * 12), "Tr_velo_to_cam: .*at most 0.001"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, name: str, values: str | None, words: str) -> None:
    rows = {row: text for row, text in {**ROWS, name: values}.items() if text is not None}
    image(tmp_path / "image_2.png")
    write(tmp_path / "calib.txt", rows)
    (case,) = find_rig_cases(tmp_path)
    with pytest.raises(BadInput, match=f"calib.txt: {words}"):
        read_rig(case, SAME)


def test_a_calibration_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="images: found none"):
        load_kitti(write(tmp_path / "calib.txt"))
