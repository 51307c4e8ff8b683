"""The samples of a nuScenes folder, drive by drive."""

import re
from dataclasses import dataclass
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.nuscenes.records import Record
from transect.data_adapters.bev.nuscenes.splits import splits_of
from transect.data_adapters.bev.nuscenes.tables import Tables, open_tables
from transect.data_adapters.bev.sample import FrameCase
from transect.data_adapters.listing import contents

VERSION = re.compile(r"v\d+\.\d+-.+")


@dataclass(frozen=True)
class NuScenesCase(FrameCase):
    """One sample of nuScenes.

    `files` are the folder of the version, that of the maps where there is one, and the images.

    Args:
        root: The folder that holds `samples`.
        version: The folder of the tables in it.
    """

    root: str = ""
    version: str = ""


def versions_in(folders: list[Path]) -> list[str]:
    """Names of those folders that are named like a version of nuScenes, such as `v1.0-mini`."""
    return [folder.name for folder in folders if VERSION.fullmatch(folder.name)]


def find_samples(root: Path, version: str = "") -> list[NuScenesCase]:
    """The key frames of a nuScenes folder by scene and time.

    A case is named after its scene and its position there, such as "scene-0061_003". A sample whose scene is not known
    is named after its token, so that it fails by itself.

    Args:
        root: The folder that holds `samples` and the version.
        version: Such as "v1.0-mini"; the only one by default.

    Raises:
        BadInput: there are several versions or not this one, a table is missing or damaged, or there is no sample.
    """
    folders, _ = contents(root)
    found = versions_in(folders)
    chosen = [name for name in found if version in ("", name)]
    if len(chosen) != 1:
        advice = "choose one by read.version" if found else ""
        raise BadInput(root, "version", ", ".join(found) or "none", version or "one folder such as v1.0-mini", advice)
    folder = root / chosen[0]
    tables = open_tables(folder)
    if not tables.samples:
        raise BadInput(folder / "sample.json", "records", "none", "samples")
    scenes: dict[str, list[Record]] = {}
    for sample in tables.samples.values():
        scenes.setdefault(_scene(tables, sample), []).append(sample)
    splits = splits_of(folder, scenes)
    shared = [str(path) for path in (folder, root / "maps") if path.is_dir()]
    return [
        NuScenesCase(
            f"{scene}_{number:03d}",
            scene,
            (*shared, *_images(tables, root, sample)),
            splits[scene],
            token=sample.token,
            frame=number,
            root=str(root),
            version=folder.name,
        )
        for scene in sorted(scenes)
        for number, sample in enumerate(sorted(scenes[scene], key=_time))
    ]


def image_path(root: Path, shot: Record) -> Path:
    """The file of a record of `sample_data`.

    Raises:
        BadInput: it is not a relative path that stays in the folder.
    """
    name = shot.text("filename")
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise shot.bad("filename", "a path in the folder of the data set")
    return root / path


def _scene(tables: Tables, sample: Record) -> str:
    try:
        return tables.scene(sample).text("name")
    except BadInput:
        return sample.token


def _time(sample: Record) -> tuple[float, str]:
    """What samples are sorted by; those without a time come last."""
    try:
        return sample.whole("timestamp"), sample.token
    except BadInput:
        return float("inf"), sample.token


def _images(tables: Tables, root: Path, sample: Record) -> list[str]:
    """The files of the cameras, as far as the records name them."""
    try:
        shots = tables.shots_of(sample)
        return [str(image_path(root, shots[name])) for name in tables.cameras if name in shots]
    except BadInput:  # raised again when the sample is read
        return []
