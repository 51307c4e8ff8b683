"""The natural-colour band files of the Landsat and Sentinel-2 scenes in a folder."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.dates import acquisition_date, file_name
from transect.data_adapters.change_detection.folders import rasters_by_stem

NATURAL_COLOUR = {
    "Landsat 4, 5 or 7": (re.compile(r"L[A-Z]0?[457]"), ("3", "2", "1")),
    "Landsat 8 or 9": (re.compile(r"L[A-Z]0?[89]"), ("4", "3", "2")),
    "Sentinel-2": (re.compile(r"$|S2[A-D]_|(?:\w+_)?T\d{2}[A-Z]{3}_\d{8}T"), ("04", "03", "02")),
}
"""By sensor: how its scenes' names begin (nothing, for plain B02.tif), and its red, green and blue bands."""

_BAND = re.compile(r"^(?P<scene>.*?)_?B(?P<band>\d{1,2}|8A)(?:_(?P<metres>\d\d)m)?$")


@dataclass(frozen=True)
class SceneBands:
    """One scene's natural colour in a folder of single-band files; `colour` lacks the files that are not there."""

    name: str
    sensor: str
    colour: tuple[str, ...]
    date: str | None

    @property
    def complete(self) -> bool:
        return len(self.colour) == 3


def scenes_in(folder: Path) -> list[SceneBands]:
    """The Landsat and Sentinel-2 scenes whose single-band files lie in `folder`, ordered by date."""
    bands: dict[str, dict[str, tuple[str, str]]] = {}
    for stem, path in rasters_by_stem(folder).items():
        if match := _BAND.match(stem):
            of_scene = bands.setdefault(match["scene"], {})
            # Of a band at several resolutions the finest is kept.
            candidate = (match["metres"] or "", path)
            of_scene[match["band"]] = min(candidate, of_scene.get(match["band"], candidate))
    scenes = []
    for name, of_scene in bands.items():
        for sensor, (begins, colour) in NATURAL_COLOUR.items():
            if begins.match(name):
                files = tuple(of_scene[band][1] for band in colour if band in of_scene)
                day = acquisition_date(next(iter(of_scene.values()))[1])
                scenes.append(SceneBands(name, sensor, files, day))
    return sorted(scenes, key=lambda scene: (scene.date or "", scene.name))


def scene_name(path: str) -> str:
    """The scene that a band's file belongs to; its folder's name where the file is called by its band alone."""
    stem = PurePosixPath(file_name(path)).stem
    match = _BAND.match(stem)
    return (match["scene"] or Path(path).parent.name) if match else stem


def one_scene(folder: Path) -> SceneBands:
    """The single scene that `folder` holds.

    Raises:
        BadInput: it holds none or several, or a band of its natural colour is missing.
    """
    scenes = scenes_in(folder)
    if len(scenes) != 1:
        found = ", ".join(scene.name for scene in scenes) or "no band files"
        raise BadInput(folder, "scene", found, "the band files of one Landsat or Sentinel-2 scene")
    return complete(scenes[0], folder)


def complete(scene: SceneBands, folder: Path) -> SceneBands:
    """`scene`, if all three bands of its natural colour are there.

    Raises:
        BadInput: names the bands of the sensor.
    """
    if not scene.complete:
        wanted = ", ".join(f"B{band}" for band in NATURAL_COLOUR[scene.sensor][1])
        found = ", ".join(Path(path).name for path in scene.colour) or "none of them"
        advice = "give other band files joined by commas"
        raise BadInput(folder, f"bands of {scene.sensor}", found, wanted, advice)
    return scene
