"""Which images of a rig make a sample: by order, by time, from videos; and where the vehicle stands then."""

import logging
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.data_adapters.bev.rigs import SAME, SIZE, camera, frame, frames, save, write_rig
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.layouts import find_cases, read_case
from transect.data_adapters.bev.rig.cases import find_rig_cases
from transect.data_adapters.bev.rig.read import read_rig
from transect.data_adapters.bev.rig.video import frame_count, read_frame
from transect.data_adapters.bev.sample import Frame

T0 = 1_600_000_000_000_000


def shades(folder: Path, name: str, count: int, step: int = 20) -> None:
    """Images 1, 2, ... of a camera; their values are multiples of `step`."""
    for number in range(1, count + 1):
        save(folder / name / f"{number}.png", np.full((SIZE[1], SIZE[0], 3), number * step, np.uint8))


def shade(sample: Frame, name: str) -> int:
    """The value of the image of a camera, in steps of 20."""
    return round(float(sample.images[sample.names.index(name)].mean()) / 20)


def times(path: Path, milliseconds: list[float], header: str = "file,microseconds", suffix: str = ".png") -> str:
    """Write the times of images 1, 2, ... after T0."""
    rows = [f"{number}{suffix},{T0 + round(ms * 1000)}" for number, ms in enumerate(milliseconds, 1)]
    path.write_text("\n".join(filter(None, [header, *rows])) + "\n")
    return path.name


def video(path: Path, values: list[int], code: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 10, SIZE)
    for value in values:
        writer.write(np.full((SIZE[1], SIZE[0], 3), (value, value // 2, 0), np.uint8))
    writer.release()
    return path


def test_globs_pair_by_order_with_numbers_compared_as_numbers(tmp_path: Path) -> None:
    shades(tmp_path, "a", 11)
    shades(tmp_path, "b", 11)
    path = write_rig(tmp_path, camera("left", image="a/*.png"), camera("right", image="b/*.png"))
    cases = find_rig_cases(path)
    assert [case.id for case in cases] == [f"rig_{number:05}" for number in range(11)]
    assert {case.group for case in cases} == {"rig"}
    assert [case.frame for case in cases] == list(range(11))
    found = [read_rig(case, SAME) for case in cases]
    assert [shade(each, "left") for each in found] == list(range(1, 12))
    assert cases[1].files == (str(path), str(tmp_path / "a/2.png"), str(tmp_path / "b/2.png"))
    assert found[0].timestamp is None
    assert found[0].offsets == ()


def test_digits_that_are_no_numbers_are_text_in_the_order_of_files(tmp_path: Path) -> None:
    for name, value in (("²10", 40), ("²9", 20)):
        save(tmp_path / f"{name}.png", np.full((SIZE[1], SIZE[0], 3), value, np.uint8))
    found = frames(write_rig(tmp_path, camera("front", image="²*.png")))
    assert [shade(each, "front") for each in found] == [1, 2]


def test_unequal_numbers_of_images_are_named(tmp_path: Path) -> None:
    shades(tmp_path, "a", 3)
    shades(tmp_path, "b", 2)
    path = write_rig(tmp_path, camera("left", image="a/*.png"), camera("right", image="b/*.png"))
    (case,) = find_rig_cases(path)
    with pytest.raises(BadInput, match="image: found 3 of left, 2 of right, expected as many"):
        read_rig(case, SAME)


def test_images_pair_by_nearest_time_and_those_without_a_partner_are_missing(tmp_path: Path, caplog: Any) -> None:
    shades(tmp_path, "a", 3)
    shades(tmp_path, "b", 3)
    times(tmp_path / "a.csv", [0, 500, 1000])
    times(tmp_path / "b.csv", [30, 600, 951])  # the second is too late
    cameras = [camera(name, image=f"{name}/*.png", timestamps=f"{name}.csv") for name in "ab"]
    with caplog.at_level(logging.WARNING):
        found = frames(write_rig(tmp_path, *cameras))
    assert [each.names for each in found] == [("a", "b"), ("a",), ("a", "b")]
    assert [each.missing for each in found] == [(), ("b",), ()]
    assert [shade(found[0], "b"), shade(found[2], "b")] == [1, 3]
    assert [each.timestamp for each in found] == [T0, T0 + 500_000, T0 + 1_000_000]
    assert [each.offsets for each in found] == [(0, 30), (0,), (0, -49)]
    assert "camera b: 1 of 3 images left out" in caplog.text


@pytest.mark.parametrize(("tolerance", "names"), [(99, ("a",)), (100, ("a", "b"))])
def test_the_tolerance_is_in_milliseconds(tmp_path: Path, tolerance: int, names: tuple[str, ...]) -> None:
    for name, ms in (("a", 0), ("b", 100)):
        shades(tmp_path, name, 1)
        times(tmp_path / f"{name}.csv", [ms])
    cameras = [camera(name, image=f"{name}/1.png", timestamps=f"{name}.csv") for name in "ab"]
    assert frame(write_rig(tmp_path, *cameras, tolerance=tolerance)).names == names


def test_the_camera_with_most_images_gives_the_times(tmp_path: Path) -> None:
    shades(tmp_path, "a", 2)
    shades(tmp_path, "b", 3)
    times(tmp_path / "a.csv", [0, 1000])
    times(tmp_path / "b.csv", [10, 510, 1010])
    cameras = [camera(name, image=f"{name}/*.png", timestamps=f"{name}.csv") for name in "ab"]
    found = frames(write_rig(tmp_path, *cameras))
    assert [each.missing for each in found] == [(), ("a",), ()]
    assert found[1].timestamp == T0 + 510_000


@pytest.mark.parametrize(
    ("header", "suffix", "first"),
    [
        ("file,microseconds", ".png", 1),
        ("File, Timestamp", ".png", 1),
        ("", ".png", 1),
        ("microseconds,file", ".png", 1),
        ("frame,microseconds", "", 0),
        ("timestamp,frame", "", 0),
        ("", "", 0),
    ],
)
def test_times_go_by_file_or_by_number(tmp_path: Path, header: str, suffix: str, first: int) -> None:
    shades(tmp_path, "a", 3)
    cells = [
        (f"{number + first}{suffix}", f"{T0 + 1000 * (3 - number)}") for number in range(3)
    ]  # the last comes first
    step = 1 if header.lower().startswith("f") or not header else -1
    rows = [",".join(pair[::step]) for pair in cells]
    (tmp_path / "a.csv").write_text("\n".join(filter(None, [header, *rows])))
    found = frames(write_rig(tmp_path, camera("a", image="a/*.png", timestamps="a.csv")))
    assert [shade(each, "a") for each in found] == [3, 2, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "rows: found none"),
        ("file,seconds\n1.png,1\n", "columns: found file, seconds, expected file or frame, and microseconds"),
        ("1.png\n", "line 1: found 1 cells"),
        ("1.png,1.5e9\n", "columns"),
        ("1.png,10\n2.png,12.5\n", "line 2, microseconds: found '12.5'"),
        ("1.png,10\n2.png,-3\n", "line 2, microseconds: found '-3'"),
        ("1.png,10\n1.png,20\n", "line 2: found 1.png, 20, expected each image and each time once"),
        ("1.png,10\n2.png,10\n", "line 2: found 2.png, 10"),
        ("frame,microseconds\n1.png,10\n", "line 2, frame: found '1.png'"),
        ("0,10\n3,20\n", "frame: found 3, expected 0 to 2"),
        ("9.png,10\n", "file: found none of its images"),
        ("1.png," + "9" * 30, "columns"),
        (f"1.png,{T0 * 1000}\n", "line 1, microseconds: found '1600000000000000000', expected .* to 2"),
        ('1.png,10\n"2.png', "line 2: found 1 cells"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_wrong_times_are_named(tmp_path: Path, text: Any, words: str) -> None:
    shades(tmp_path, "a", 3)
    (tmp_path / "a.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=f"a.csv: {words}" if "UTF" not in words else words):
        frames(write_rig(tmp_path, camera("a", image="a/*.png", timestamps="a.csv")))


def test_images_without_a_time_are_left_out_with_a_warning(tmp_path: Path, caplog: Any) -> None:
    shades(tmp_path, "a", 3)
    times(tmp_path / "a.csv", [0, 100])
    with caplog.at_level(logging.WARNING):
        assert len(frames(write_rig(tmp_path, camera("a", image="a/*.png", timestamps="a.csv")))) == 2
    assert "camera a: 1 of 3 images left out, without a time" in caplog.text


@pytest.mark.parametrize(("step", "warned"), [(1000, False), (33, True)])
def test_times_in_milliseconds_are_doubted(tmp_path: Path, caplog: Any, step: int, warned: bool) -> None:
    shades(tmp_path, "a", 3)
    (tmp_path / "a.csv").write_text("".join(f"{number}.png,{T0 + step * number}\n" for number in (1, 2, 3)))
    frames(write_rig(tmp_path, camera("front", image="a/*.png", timestamps="a.csv")))
    assert (f"camera front: images {step} microseconds apart: is that the unit?" in caplog.text) == warned


def test_times_without_an_image_are_counted(tmp_path: Path, caplog: Any) -> None:
    shades(tmp_path, "a", 2)
    times(tmp_path / "a.csv", [0, 100, 200])
    with caplog.at_level(logging.WARNING):
        assert len(frames(write_rig(tmp_path, camera("a", image="a/*.png", timestamps="a.csv")))) == 2
    assert "camera a: 1 times without an image" in caplog.text


def test_times_of_some_cameras_alone_are_refused(tmp_path: Path) -> None:
    times(tmp_path / "a.csv", [0])
    path = write_rig(tmp_path, camera("a", timestamps="a.csv"), camera("b"))
    with pytest.raises(BadInput, match="timestamps: found none of b, expected some for every camera, as for a"):
        frames(path)


@pytest.mark.parametrize(("suffix", "code"), [("avi", "MJPG"), ("webm", "VP90")])
def test_a_video_gives_a_sample_for_each_frame(tmp_path: Path, suffix: str, code: str) -> None:
    video(tmp_path / f"a.{suffix}", [40, 120, 200], code)
    shades(tmp_path, "b", 3)
    path = write_rig(tmp_path, camera("a", image=f"a.{suffix}"), camera("b", image="b/*.png"))
    cases = find_rig_cases(path)
    assert len(cases) == 3
    for order in ((0, 1, 2), (2, 0, 1)):
        for number in order:
            sample = read_rig(cases[number], SAME)
            blue = sample.images[0, ..., 2].mean()
            assert abs(blue - (40, 120, 200)[number]) < 8
            assert abs(sample.images[0, ..., 1].mean() - blue / 2) < 8
            assert shade(sample, "b") == number + 1


def test_frames_in_order_are_each_decoded_once(tmp_path: Path, monkeypatch: Any) -> None:
    path = video(tmp_path / "a.avi", [10 * number for number in range(20)])
    opened = []
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *arguments: opened.append(arguments) or capture(*arguments))
    for number in range(frame_count(path)):
        assert abs(read_frame(path, number)[..., 2].mean() - 10 * number) < 4
    assert len(opened) == 2  # to count, and to read
    for number in (0, 7, 19):
        read_frame(path, number)
    assert len(opened) == 3  # from the start again


def test_times_of_a_video_go_by_frame(tmp_path: Path) -> None:
    video(tmp_path / "a.avi", [40, 120, 200])
    times(tmp_path / "a.csv", [0, 100, 200])
    path = write_rig(tmp_path, camera("a", image="a.avi", timestamps="a.csv"))
    with pytest.raises(BadInput, match="columns: found files, expected frame"):
        frames(path)
    (tmp_path / "a.csv").write_text(f"frame,microseconds\n2,{T0}\n0,{T0 + 5}\n")
    assert [round(each.images[..., 2].mean(), -1) for each in frames(path)] == [200, 40]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "another kind of file"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "another kind of file"),
        (b"", "another kind of file"),
        (b"RIFF\0\0\0\0AVI " + bytes(50), "nothing that FFmpeg can read"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(BadInput, match=f"a.avi: video: found {words}"):
        frames(write_rig(tmp_path, camera("a", image="a.avi")))


def test_a_frame_after_the_end_is_named(tmp_path: Path) -> None:
    path = video(tmp_path / "a.avi", [40, 120])
    with pytest.raises(BadInput, match="found the end of the video before frame 7"):
        read_frame(path, 7)


def test_a_missing_video_is_a_dropped_view(tmp_path: Path) -> None:
    sample = frame(write_rig(tmp_path, camera("a", image="a.mp4"), camera("b")))
    assert (sample.names, sample.missing) == (("b",), ("a",))


def test_many_samples_of_a_video_are_listed_without_decoding_it(tmp_path: Path, monkeypatch: Any) -> None:
    video(tmp_path / "a.avi", [40, 120])
    monkeypatch.setattr("transect.data_adapters.bev.rig.video.frame_count", lambda path: 20_000)
    cases = find_rig_cases(write_rig(tmp_path, camera("a", image="a.avi")))
    assert len(cases) == 20_000
    assert cases[-1].id == "rig_19999"
    assert len(pickle.dumps(cases)) < 20_000 * 200


def test_cases_pickle(tmp_path: Path) -> None:
    (case,) = find_rig_cases(write_rig(tmp_path, camera()))
    assert pickle.loads(pickle.dumps(case)) == case


def test_rigs_of_several_folders_have_the_names_of_their_folders(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday/first", "tuesday/second"):
        write_rig(tmp_path / folder, camera())
    write_rig(tmp_path, camera(), name="van.yml")
    (tmp_path / "settings.yaml").write_text("model: 3\n")
    ids = [case.id for case in find_rig_cases(tmp_path)]
    assert ids == ["van_00000", "monday_00000", "tuesday_first_00000", "tuesday_second_00000"]


def test_a_broken_rig_of_a_folder_fails_by_itself(tmp_path: Path) -> None:
    write_rig(tmp_path, camera())
    (tmp_path / "rig_broken.yaml").write_text("cameras: [\n")
    good, broken = find_cases(str(tmp_path), config=SAME)
    assert (good.id, broken.id) == ("rig_00000", "rig_broken_00000")
    with pytest.raises(BadInput, match=r"rig_broken.yaml: yaml"):
        read_case(broken, SAME)
