"""Write a sample as a `rig.yaml` with its images."""

from pathlib import Path

import yaml
from PIL import Image

from transect.data_adapters.bev.sample import Frame
from transect.data_adapters.files import writing

RIG = "rig.yaml"


def write_rig(frame: Frame, folder: Path) -> Path:
    """Write `rig.yaml` and a PNG for each camera, as they were prepared; the time and the pose are left out.

    Args:
        frame: The sample.
        folder: An empty folder.

    Returns:
        The path of `rig.yaml`.

    Raises:
        OSError: a file cannot be written.
    """
    height, width = frame.images.shape[1:3]
    cameras = []
    for index, name in enumerate(frame.names):
        file = folder / f"camera_{index}.png"
        with writing(file):
            Image.fromarray(frame.images[index]).save(file)
        camera = {"name": name, "image": file.name, "width": width, "height": height}
        matrices = {"K": frame.intrinsics[index].tolist(), "camera_to_ego": frame.camera_to_ego[index].tolist()}
        cameras.append(camera | matrices)
    path = folder / RIG
    with writing(path):
        path.write_text(yaml.safe_dump({"cameras": cameras}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
