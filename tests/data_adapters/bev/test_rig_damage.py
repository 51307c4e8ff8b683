"""Bytes of a rig's files that are changed give an error that names a file, or a sample; nothing else."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data_adapters.bev.rigs import SAME, SIZE, camera, discs, frames, write_rig
from tests.data_adapters.bev.test_kitti import image as kitti_image
from tests.data_adapters.bev.test_kitti import write as write_calibration
from transect.data_adapters.base import BadInput

T0 = 1_600_000_000_000_000
LENS = {"model": "opencv", "coefficients": [-0.25, 0.06, 0.004, -0.006]}


def rig_of(folder: Path, picture: str) -> Path:
    cv2.imwrite(str(folder / picture), discs(camera()["camera_to_ego"], camera()["K"])[..., ::-1])
    (folder / "front.csv").write_text(f"file,microseconds\n{picture},{T0}\n")
    (folder / "poses.csv").write_text(f"microseconds,epsg,x,y,heading\n{T0},32632,691000,5335000,30\n")
    return write_rig(folder, camera(image=picture, timestamps="front.csv", distortion=LENS), pose="poses.csv")


def rig_of_video(folder: Path, name: str, code: str) -> Path:
    writer = cv2.VideoWriter(str(folder / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), 10, SIZE)
    for value in (40, 120, 200):
        writer.write(np.full((SIZE[1], SIZE[0], 3), value, np.uint8))
    writer.release()
    return write_rig(folder, camera(image=name))


def kitti(folder: Path) -> Path:
    kitti_image(folder / "image_2.png")
    return write_calibration(folder / "calib.txt")


RIGS: list[tuple[str, Callable[[Path], Path]]] = [
    ("rig.yaml", lambda folder: rig_of(folder, "front.png")),
    ("front.png", lambda folder: rig_of(folder, "front.png")),
    ("front.jpg", lambda folder: rig_of(folder, "front.jpg")),
    ("front.webp", lambda folder: rig_of(folder, "front.webp")),
    ("front.tif", lambda folder: rig_of(folder, "front.tif")),
    ("front.bmp", lambda folder: rig_of(folder, "front.bmp")),
    ("front.csv", lambda folder: rig_of(folder, "front.png")),
    ("poses.csv", lambda folder: rig_of(folder, "front.png")),
    ("front.avi", lambda folder: rig_of_video(folder, "front.avi", "MJPG")),
    ("front.webm", lambda folder: rig_of_video(folder, "front.webm", "VP90")),
    ("front.mp4", lambda folder: rig_of_video(folder, "front.mp4", "mp4v")),
    ("calib.txt", kitti),
]


@pytest.mark.parametrize(("name", "write"), RIGS, ids=[name for name, _ in RIGS])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_bytes_give_an_error_or_a_sample(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, write: Callable[[Path], Path]
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"damage-{name}"
    if not folder.exists():
        folder.mkdir()
        path = write(folder)
        (folder / "whole").write_bytes((folder / name).read_bytes())
        assert frames(path)
    path = folder / ("calib.txt" if name == "calib.txt" else "rig.yaml")
    content = bytearray((folder / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers are short: half of the changes go there.
        last = data.draw(st.sampled_from([min(400, len(content)), len(content)])) - 1
        content[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    (folder / name).write_bytes(content[:cut])
    with suppress(BadInput):
        for sample in frames(path):
            assert sample.images.shape[1:] == (SAME.height, SAME.width, 3)
            assert np.isfinite(sample.intrinsics).all()
            assert np.isfinite(sample.camera_to_ego).all()
            assert np.isfinite(sample.ego_pose).all()
