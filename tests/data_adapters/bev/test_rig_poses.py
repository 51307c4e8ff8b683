"""Where a rig stands: poses at one place and by time, and what they say about cameras of other times."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data_adapters.bev.rigs import AT, FORWARD, K, camera, discs, frame, misses, save, write_rig
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.geometry import pose, relative, rotation

T0 = 1_600_000_000_000_000

POSES = "microseconds,epsg,x,y,heading\n"


def pose_rig(folder: Path, rows: str, time: int = T0) -> Path:
    (folder / "poses.csv").write_text(rows)
    (folder / "front.csv").write_text(f"front.png,{time}\n")
    return write_rig(folder, camera(timestamps="front.csv"), pose="poses.csv")


@pytest.mark.parametrize(
    ("time", "x", "heading"),
    [
        (0, 100, 170),
        (100_000, 110, 190),
        (25_000, 102.5, 175),
        (75_000, 107.5, 185),
        (130_000, 110, 190),
        (-50_000, 100, 170),
    ],
)
def test_a_pose_is_interpolated_the_shorter_way_round(tmp_path: Path, time: int, x: float, heading: float) -> None:
    rows = f"{POSES}{T0 + 100_000},32632,110,5,-170\n{T0},32632,100,5,170\n"
    sample = frame(pose_rig(tmp_path, rows, T0 + time))
    turn = np.radians(heading)
    assert np.allclose(sample.ego_pose[:2, [0, 3]], [[np.cos(turn), x], [np.sin(turn), 5]], atol=1e-9)
    assert sample.epsg == 32632
    assert str(tmp_path / "poses.csv") in sample.case.files


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            f"{POSES}{T0 + 60_000},32632,1,2,3\n",
            f"found the nearest 60 ms from {T0}, expected one within 50 ms",
        ),
        (f"{POSES}{T0 - 900_000},32632,1,2,3\n{T0 + 900_000},32632,1,2,3\n", "pose: found the nearest 900 ms"),
        (f"{POSES}{T0},32632,1,2,3\n{T0 + 9},32633,1,2,3\n", "epsg: found 32632 and 32633"),
        (f"{POSES}{T0},4326,1,2,3\n", r"pose, epsg: found 4326"),
        (f"{POSES}{T0},32632,1,2,3\n{T0},32632,1,2,4\n", "twice"),
        (f"{POSES}{T0},32632,1,nan,3\n", "line 2, y: found 'nan'"),
        (f"{POSES}{T0},32632,1,2\n", "line 2: found 4 cells, expected 5"),
        ("microseconds,x,y,heading\n", "columns: found microseconds, x, y, heading"),
        (POSES, "rows: found none"),
        ("", "columns: found none"),
    ],
)
def test_poses_that_do_not_fit_are_refused(tmp_path: Path, rows: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        frame(pose_rig(tmp_path, rows))


def test_poses_by_time_need_the_times_of_the_cameras(tmp_path: Path) -> None:
    (tmp_path / "poses.csv").write_text(f"{POSES}{T0},32632,1,2,3\n")
    with pytest.raises(BadInput, match="pose: found a table by time, and cameras without timestamps"):
        frame(write_rig(tmp_path, camera(), pose="poses.csv"))


def turned(degrees: float, x: float, y: float) -> Any:
    half = np.radians(degrees) / 2
    return pose(rotation([np.cos(half), 0, 0, np.sin(half)]), (x, y, 0))


def test_cameras_of_another_time_are_moved_with_the_vehicle(tmp_path: Path) -> None:
    """At 20 m/s north-east and 30 degrees a second, 40 ms are 0.8 m and 1.2 degrees, tens of pixels for near marks."""
    north, mount = 5_400_000, pose(FORWARD, AT)

    def ego(ms: float) -> Any:
        return turned(45 + 0.03 * ms, 512_345 + 0.014 * ms, north + 0.014 * ms)

    rows = "".join(
        f"{T0 + ms * 1000},32632,{512_345 + 0.014 * ms},{north + 0.014 * ms},{45 + 0.03 * ms}\n" for ms in (-100, 100)
    )
    (tmp_path / "poses.csv").write_text(POSES + rows)
    (tmp_path / "now.csv").write_text(f"now.png,{T0}\n")
    (tmp_path / "late.csv").write_text(f"late.png,{T0 + 40_000}\n")
    late = relative(ego(0), ego(40)) @ mount
    save(tmp_path / "now.png", discs(mount, K))
    save(tmp_path / "late.png", discs(late, K))
    cameras = [camera("now", timestamps="now.csv"), camera("late", timestamps="late.csv")]
    sample = frame(write_rig(tmp_path, *cameras, pose="poses.csv"))
    assert np.allclose(sample.camera_to_ego, [mount, late], atol=1e-6)
    assert max(misses(sample, 1).values()) < 0.5
    assert np.allclose(sample.ego_pose, ego(0), atol=1e-6)


@pytest.mark.parametrize(
    ("epsg", "x", "y", "words"),
    [
        (32632, 512_345.25, 5_400_000.125, ""),
        (32632, 250_000, 5_400_000, ""),
        (32632, 8.5, 47.3, "x 8.5 and y 47.3 look like degrees"),
        (32632, 5_400_000, 512_345, "are .* m on the ground there"),
        (3857, 950_000, 6_000_000, "100 m in EPSG:3857 are 67.7 m on the ground"),
        (3857, 950_000, 100_000, ""),
    ],
)
def test_a_place_that_does_not_suit_its_coordinate_system_has_a_note(
    tmp_path: Path, epsg: int, x: float, y: float, words: str
) -> None:
    sample = frame(write_rig(tmp_path, camera(), pose={"epsg": epsg, "x": x, "y": y, "heading": 90}))
    assert sample.ego_pose[:2, 3].tolist() == [x, y]
    assert np.allclose(sample.ego_pose[:2, 0], [0, 1], atol=1e-12)
    if not words:
        assert sample.notes == ()
    else:
        assert re.search(words, "; ".join(sample.notes))


@pytest.mark.parametrize(
    ("start", "turn", "words"),
    [
        (170, 1, ""),
        (80, -1, ""),
        (0, 0, ""),
        (90, 0, "pose: headings are 90 degrees off the motion"),
        (180, 0, "pose: headings are 180 degrees off the motion"),
    ],
)
def test_headings_of_a_compass_are_doubted(tmp_path: Path, start: float, turn: float, words: str) -> None:
    """Drives at 10 m/s, along an arc or east, with poses ten times a second."""
    rows, x, y = [], 500_000.0, 5_400_000.0
    for step in range(60):
        angle = start + turn * step
        rows.append(f"{T0 + step * 100_000},32632,{x},{y},{angle}\n")
        along = np.radians(angle if turn else 0)
        x, y = x + np.cos(along), y + np.sin(along)
    sample = frame(pose_rig(tmp_path, POSES + "".join(rows)))
    assert [words in note for note in sample.notes] == [True] * bool(words)


def test_headings_of_a_vehicle_that_stands_are_not_doubted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{T0 + s * 1_000_000},32632,{500_000 + a},{5_400_000 + b},90\n"
        for s, (a, b) in enumerate(rng.normal(0, 0.1, (9, 2)))
    ]
    assert frame(pose_rig(tmp_path, POSES + "".join(rows))).notes == ()
