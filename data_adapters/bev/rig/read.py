"""Read one sample of a rig: images without distortion, prepared, with the calibration that belongs to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.calibration import Matrix, Place, require_intrinsics, scaled_intrinsics
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.geometry import relative
from transect.data_adapters.bev.images import Picture, prepare, read_image
from transect.data_adapters.bev.rig.cases import RigCase, open_rig
from transect.data_adapters.bev.rig.distortion import straighten
from transect.data_adapters.bev.rig.rig import Camera, Rig
from transect.data_adapters.bev.rig.sources import View, is_video, samples_of
from transect.data_adapters.bev.rig.video import read_frame
from transect.data_adapters.bev.sample import Frame

MUCH_BLACK = 0.1
"""Share of a straightened image without a source from which a note says so."""


def read_rig(case: RigCase, config: ReadConfig) -> Frame:
    """The prepared images of one sample and their calibration. A rig has no labels.

    Raises:
        BadInput: the calibration, an image or the pose cannot be used, or no camera has an image.
    """
    rig = open_rig(Path(case.rig))
    if len(case.views) != len(rig.cameras):
        samples_of(rig)  # says what is wrong
        raise BadInput(case.rig, "cameras", "a change since it was listed", "a rig that stays as it is")
    _require_known(rig, config)
    wanted = [
        (camera, view)
        for camera, view in zip(rig.cameras, case.views, strict=True)
        if not config.cameras or camera.name in config.cameras
    ]
    missing = tuple(camera.name for camera, view in wanted if not view.file)
    shots = [_shot(rig, camera, view, config) for camera, view in wanted if view.file]
    if not shots:
        raise BadInput(case.rig, "cameras", f"no image of {', '.join(missing)}", "one at least")
    start, times = case.time, [shot.view.time for shot in shots]
    ego = rig.track.at(start, rig.tolerance, rig.file) if rig.track else np.eye(4)
    return Frame(
        case=case,
        names=tuple(shot.camera.name for shot in shots),
        images=np.stack([shot.image for shot in shots]),
        intrinsics=np.stack([shot.intrinsics for shot in shots]),
        camera_to_ego=np.stack([_camera_to_ego(rig, shot, ego) for shot in shots]),
        grid=config.grid,
        ego_pose=ego,
        epsg=rig.track.epsg if rig.track else None,
        timestamp=start,
        offsets=tuple((time - start) / 1000 for time in times if time is not None and start is not None),
        missing=missing,
        agent=np.zeros(len(shots), np.int64),
        notes=(*_notes(shots), *(rig.track.notes if rig.track else ())),
    )


class Shot(NamedTuple):
    """One camera of a sample: its image as stored and prepared, the latter's K, and the share without a source."""

    camera: Camera
    view: View
    image: Picture
    intrinsics: Matrix
    black: float


def _shot(rig: Rig, camera: Camera, view: View, config: ReadConfig) -> Shot:
    image, intrinsics, black = _straight(rig, camera, view)
    return Shot(camera, view, *prepare(image, intrinsics, config), black)


def _camera_to_ego(rig: Rig, shot: Shot, ego: Matrix) -> Matrix:
    """The pose of a camera, when it took its image, on the vehicle at the time of the sample, whose pose is `ego`.

    Without poses by time that is where the camera is mounted.
    """
    if rig.track is None or shot.view.time is None:
        return shot.camera.camera_to_ego
    return relative(ego, rig.track.at(shot.view.time, rig.tolerance, rig.file)) @ shot.camera.camera_to_ego


def _notes(shots: Sequence[Shot]) -> list[str]:
    notes = [
        f"camera {shot.camera.name}: {shot.black:.0%} of the image is black without distortion"
        for shot in shots
        if shot.black > MUCH_BLACK
    ]
    first: dict[tuple[str, int], str] = {}
    for shot in shots:
        image, name = (shot.view.file, shot.view.frame), shot.camera.name
        if first.setdefault(image, name) != name:
            notes.append(f"camera {name} has the image of {first[image]}")
    return notes


def _straight(rig: Rig, camera: Camera, view: View) -> tuple[Picture, Matrix, float]:
    """An image without distortion, its K, and the share of it that shows nothing."""
    file = Path(view.file)
    image = read_frame(file, view.frame) if is_video(file) else read_image(file)
    found = (image.shape[1], image.shape[0])
    if camera.size is None:
        return image, require_intrinsics(Place(rig.file, camera.name), "K", camera.intrinsics, found), 0.0
    intrinsics = scaled_intrinsics(Place(file, camera.name), camera.intrinsics, camera.size, found)
    if camera.distortion is None:
        return image, intrinsics, 0.0
    straight, black = straighten(image, intrinsics, camera.distortion)
    return straight, intrinsics, black


def _require_known(rig: Rig, config: ReadConfig) -> None:
    names = [camera.name for camera in rig.cameras]
    if unknown := [name for name in config.cameras if name not in names]:
        raise BadInput(rig.file, "cameras", ", ".join(names), f"{', '.join(unknown)} too, as in read.cameras")
