"""The images of each camera of a rig, and which of them belong to one sample."""

import glob
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev import images
from transect.data_adapters.bev.calibration import Place
from transect.data_adapters.bev.rig import video
from transect.data_adapters.bev.rig.rig import Camera, Rig
from transect.data_adapters.bev.rig.tables import read_times

log = logging.getLogger("transect")

SHORTEST_GAP = 1000
"""Microseconds between images below which times are more likely in milliseconds or seconds."""


@dataclass(frozen=True)
class View:
    """One image of a camera.

    Args:
        file: An image or a video; empty where the camera has none for the sample.
        frame: Number of the frame in a video, from 0.
        time: Microseconds; None where it is not known.
    """

    file: str = ""
    frame: int = 0
    time: int | None = None


def is_video(file: str | Path) -> bool:
    """Whether a file is called like a video."""
    return Path(file).suffix.lower() in video.SUFFIXES


def samples_of(rig: Rig) -> list[tuple[int | None, tuple[View, ...]]]:
    """The samples of a rig in order: the time of each, where it is known, and a view for every camera.

    Without timestamps images pair by order. With them there is a sample for each image of the camera that has most,
    the first of these, and the other cameras give their nearest image within the tolerance.

    Raises:
        BadInput: a source is wrong, no camera has an image, or the cameras have unequal numbers of images without
            timestamps.
    """
    views = [_views(rig, camera) for camera in rig.cameras]
    present = [found for found in views if found is not None]
    if not present:
        names = ", ".join(camera.image.name for camera in rig.cameras)
        raise BadInput(rig.file, "image", f"none of {names}", "the image of a camera at least")
    if any(camera.timestamps for camera in rig.cameras):
        return _by_time(rig, views)
    counts = {camera.name: len(found) for camera, found in zip(rig.cameras, views, strict=True) if found is not None}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise BadInput(rig.file, "image", listed, "as many images of each camera", "or timestamps for every camera")
    length = next(iter(counts.values()))
    columns = [[View()] * length if found is None else found for found in views]
    return [(None, views) for views in zip(*columns, strict=True)]


def _by_time(rig: Rig, views: Sequence[list[View] | None]) -> list[tuple[int | None, tuple[View, ...]]]:
    reference = max(range(len(views)), key=lambda index: len(views[index] or ()))
    times = np.array([view.time for view in views[reference] or ()], np.int64)
    columns = []
    for camera, found in zip(rig.cameras, views, strict=True):
        column = [View()] * len(times)
        if found:
            own = np.array([view.time for view in found], np.int64)
            after = np.searchsorted(own, times).clip(1, max(len(own) - 1, 1))
            before, after = after - 1, after.clip(max=len(own) - 1)
            nearest = np.where(times - own[before] <= own[after] - times, before, after)
            near = np.abs(own[nearest] - times) <= rig.tolerance
            column = [found[index] if is_near else View() for index, is_near in zip(nearest, near, strict=True)]
            if left := len(found) - len(set(nearest[near].tolist())):
                limit = rig.tolerance / 1000
                log.warning(
                    "%s: camera %s: %d of %d images left out, with none of %s within %g ms",
                    *(rig.file, camera.name, left, len(found), rig.cameras[reference].name, limit),
                )
        columns.append(column)
    return list(zip(times.tolist(), zip(*columns, strict=True), strict=True))


def _views(rig: Rig, camera: Camera) -> list[View] | None:
    """The images of a camera in order of time; None where its file is missing."""
    place, path = Place(rig.file, camera.name), camera.image
    pattern = str(path.relative_to(rig.folder))
    if os.path.exists(path):
        files = [path]
    elif glob.has_magic(pattern):
        files = [rig.folder / name for name in sorted(glob.glob(pattern, root_dir=rig.folder), key=_natural)]
        if not files:
            raise place.bad("image", f"no file like {pattern}", "at least one image")
    else:
        return None
    if len(files) == 1 and is_video(files[0]):
        views = [View(str(files[0]), number) for number in range(video.frame_count(files[0]))]
    else:
        views = [View(str(file)) for file in files]
        if other := next((file.name for file in files if file.suffix.lower() not in images.SUFFIXES), ""):
            expected = f"images ({', '.join(images.SUFFIXES)}) or one video ({', '.join(video.SUFFIXES)})"
            raise place.bad("image", other, expected)
    return _timed(camera, views, rig.folder) if camera.timestamps else views


def _natural(name: str) -> list[tuple[int, str]]:
    parts = re.split(r"([0-9]+)", name)  # text and numbers in turn
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _timed(camera: Camera, views: list[View], folder: Path) -> list[View]:
    """The views that have a time, in order of time."""
    assert camera.timestamps
    table = camera.timestamps
    times = read_times(table)
    frames = [key for key in times if isinstance(key, int)]
    if is_video(views[0].file) and not frames:
        raise BadInput(table, "columns", "files", "frame, microseconds, as the camera has a video")
    if frames and max(frames) >= len(views):
        raise BadInput(table, "frame", max(frames), f"0 to {len(views) - 1}, as {camera.name} has {len(views)}")
    timed = []
    for number, view in enumerate(views):
        relative = Path(view.file).relative_to(folder).as_posix()
        time = times.get(number) if frames else times.get(relative, times.get(Path(view.file).name))
        if time is not None:
            timed.append(View(view.file, view.frame, time))
    if left := len(views) - len(timed):
        log.warning("%s: camera %s: %d of %d images left out, without a time", table, camera.name, left, len(views))
    if lost := len(times) - len(timed):
        log.warning("%s: camera %s: %d times without an image", table, camera.name, lost)
    if not timed:
        raise BadInput(table, "file", "none of its images", f"the images of camera {camera.name}")
    timed.sort(key=lambda view: view.time or 0)
    gaps = np.diff([view.time or 0 for view in timed])
    if len(gaps) and (gap := float(np.median(gaps))) < SHORTEST_GAP:
        log.warning("%s: camera %s: images %g microseconds apart: is that the unit?", table, camera.name, gap)
    return timed
