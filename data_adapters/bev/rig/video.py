"""Frames of videos, in order and by their number."""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.bev.images import Picture, require_size
from transect.data_adapters.regular import require_regular

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm")

MOST_FRAMES = 1_000_000
MOST_OPEN = 8


def frame_count(path: Path) -> int:
    """The number of frames as the container states it; decodes none.

    Raises:
        BadInput: the file is no video, or does not say.
    """
    capture = _open(path)
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not 1 <= count <= min(MOST_FRAMES, path.stat().st_size):
        expected = f"1 to {MOST_FRAMES}, and no more than bytes"
        raise BadInput(path, "frames", f"{count:g}", expected, "write it again with an index: ffmpeg -i IN -c copy OUT")
    return int(count)


def read_frame(path: Path, number: int) -> Picture:
    """One frame of a video: uint8 `(H, W, 3)`, RGB.

    Frames that are asked for in order are each decoded once. Containers seek by time, which misses frames of uneven
    length, so an earlier frame is reached from the start of the video.

    Raises:
        BadInput: the video ends before, or cannot be read.
    """
    key = (os.getpid(), str(path), os.path.getmtime(path) if os.path.exists(path) else 0.0)
    reader = _readers.pop(key, None)
    if reader is None or reader.position > number:
        reader = _Reader(_open(path))
    _readers[key] = reader
    while len(_readers) > MOST_OPEN:
        _readers.popitem(last=False)
    picture = reader.read(number)
    if picture is None:
        del _readers[key]
        raise BadInput(path, "frame", f"the end of the video before frame {number}", "a frame that can be decoded")
    return picture


@dataclass
class _Reader:
    """An open video, with the number of the frame that comes next."""

    capture: cv2.VideoCapture
    position: int = 0

    def read(self, number: int) -> Picture | None:
        while self.position < number:
            if not self.capture.grab():
                return None
            self.position += 1
        found, frame = self.capture.read()
        self.position += 1
        return np.ascontiguousarray(frame[..., ::-1]) if found and frame is not None and frame.ndim == 3 else None


_readers: OrderedDict[tuple[int, str, float], _Reader] = OrderedDict()


def _open(path: Path) -> cv2.VideoCapture:
    """Open a file that begins as one of the containers: FFmpeg would also follow the addresses in a playlist."""
    require_regular(path)
    expected = f"a video ({', '.join(SUFFIXES)})"
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except (OSError, ValueError) as error:
        raise BadInput(path, "video", reason(error).lower(), expected) from error
    if not (head[4:8] == b"ftyp" or head[:4] == b"\x1aE\xdf\xa3" or (head[:4] == b"RIFF" and head[8:] == b"AVI ")):
        raise BadInput(path, "video", "another kind of file", expected)
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise BadInput(path, "video", "nothing that FFmpeg can read", expected)
    require_size(path, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    if turn := capture.get(cv2.CAP_PROP_ORIENTATION_META):
        advice = "write it again with turned pixels and calibrate these"
        raise BadInput(path, "orientation", f"{turn:g} degrees", "0: pixels as they are stored", advice)
    return capture
