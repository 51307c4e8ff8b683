"""The film of a drive: the montages of its samples as a video, and as pictures for a player."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from transect.data_adapters.bev.images import Picture, read_image
from transect.data_adapters.bev.write import MONTAGE, SUMMARY
from transect.data_adapters.files import writing

VIDEO, FRAMES = "drive.mp4", "frames"

CODEC = "vp09"
"""VP9, which all browsers play and the packages of OpenCV can write; they have no encoder for H.264."""

PERIOD, SHORTEST, LONGEST = 500, 40, 2000
"""Milliseconds of a frame where times are not known, and at least and at most."""

QUALITY = 88
"""Of the WebP pictures; 100 is best."""


def write_film(folders: Sequence[Path], folder: Path) -> tuple[list[str], int]:
    """Write `drive.mp4` and `frames/NUMBER.webp`; memory holds one frame.

    The video has the pace of the drive: the median of the times between samples. Montages of another size than the
    first are fitted into its size.

    Args:
        folders: Of the samples, as `write_map` wrote them, in the order of time.
        folder: Receives the files.

    Returns:
        The names of the pictures in `folder`, and milliseconds of a frame.

    Raises:
        BadInput: a montage is missing or damaged.
        OSError: a file cannot be written, or this OpenCV has no encoder for VP9.
    """
    milliseconds, names = pace(folders), list[str]()
    (folder / FRAMES).mkdir()
    with writing(folder / VIDEO, cv2.error):
        video = None
        for number, frame in enumerate(_frames(folders)):
            video = video or _video(folder / VIDEO, frame, milliseconds)
            video.write(np.ascontiguousarray(frame[..., ::-1]))
            names.append(f"{FRAMES}/{number:04d}.webp")
            Image.fromarray(frame).save(folder / names[-1], quality=QUALITY, method=2)
        if video is not None:
            video.release()
    return names, milliseconds


def pace(folders: Sequence[Path]) -> int:
    """Milliseconds from sample to sample: the median, within bounds."""
    times = [json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["timestamp_us"] for folder in folders]
    if len(times) < 2 or None in times:
        return PERIOD
    return int(np.clip(round(float(np.median(np.diff(times))) / 1000), SHORTEST, LONGEST))


def _video(path: Path, frame: Picture, milliseconds: int) -> cv2.VideoWriter:
    code, size = cv2.VideoWriter.fourcc(*CODEC), (frame.shape[1], frame.shape[0])
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, 1000 / milliseconds, size)
    if not video.isOpened():
        raise OSError("this OpenCV has no encoder for VP9; install opencv-python-headless")
    return video


def _frames(folders: Sequence[Path]) -> Iterator[Picture]:
    """The montages, all of one size with even sides, as the video needs them."""
    size: tuple[int, int] | None = None
    for folder in folders:
        picture = Image.fromarray(read_image(folder / MONTAGE))
        if size is None:
            size = picture.width + picture.width % 2, picture.height + picture.height % 2
        picture.thumbnail(size)
        frame = Image.new("RGB", size, "white")
        frame.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
        yield np.asarray(frame)
