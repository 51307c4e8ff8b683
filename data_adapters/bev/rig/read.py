"""Read one sample of a rig: images without distortion, prepared, with the calibration that belongs to them."""

from pathlib import Path

import numpy as np

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.calibration import Matrix, Place, require_intrinsics, scaled_intrinsics
from transect.data_adapters.bev.config import ReadConfig
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
    missing, notes = [], []
    names, images, matrices, poses, offsets = [], [], [], [], []
    for camera, view in zip(rig.cameras, case.views, strict=True):
        if config.cameras and camera.name not in config.cameras:
            continue
        if not view.file:
            missing.append(camera.name)
            continue
        image, intrinsics, black = _straight(rig, camera, view)
        if black > MUCH_BLACK:
            notes.append(f"camera {camera.name}: {black:.0%} of the image is black without distortion")
        prepared, matrix = prepare(image, intrinsics, config)
        names.append(camera.name)
        images.append(prepared)
        matrices.append(matrix)
        poses.append(camera.camera_to_ego)
        offsets.append(((view.time or 0) - (case.time or 0)) / 1000)
    if not names:
        raise BadInput(case.rig, "cameras", f"no image of {', '.join(missing)}", "one at least")
    return Frame(
        case=case,
        names=tuple(names),
        images=np.stack(images),
        intrinsics=np.stack(matrices),
        camera_to_ego=np.stack(poses),
        grid=config.grid,
        ego_pose=rig.track.at(case.time, rig.tolerance, rig.file) if rig.track else np.eye(4),
        epsg=rig.track.epsg if rig.track else None,
        timestamp=case.time,
        offsets=tuple(offsets) if case.time is not None else (),
        missing=tuple(missing),
        agent=np.zeros(len(names), np.int64),
        notes=tuple(notes),
    )


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
