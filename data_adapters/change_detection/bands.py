"""Find the natural-colour band files of Landsat and Sentinel-2 scenes in a folder."""

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
"""By sensor: the pattern of its scene names (empty for plain B02.tif), and its red, green and blue bands."""

_BAND = re.compile(r"^(?P<scene>.*?)_?B(?P<band>\d{1,2}|8A)(?:_(?P<metres>\d\d)m)?$")


@dataclass(frozen=True)
class SceneBands:
    """The natural-colour band files of one scene; missing files are left out of `colour`."""

    name: str
    sensor: str
    colour: tuple[str, ...]
    date: str | None

    @property
    def complete(self) -> bool:
        return len(self.colour) == 3


def scenes_in(folder: Path) -> list[SceneBands]:
    """The Landsat and Sentinel-2 scenes with single-band files in `folder`, sorted by date."""
    bands: dict[str, dict[str, tuple[str, str]]] = {}
    for stem, path in rasters_by_stem(folder).items():
        if match := _BAND.match(stem):
            scene_bands = bands.setdefault(match["scene"], {})
            # If a band exists at several resolutions, the finest is used.
            candidate = (match["metres"] or "", path)
            scene_bands[match["band"]] = min(candidate, scene_bands.get(match["band"], candidate))
    scenes = []
    for name, scene_bands in bands.items():
        for sensor, (pattern, colour) in NATURAL_COLOUR.items():
            if pattern.match(name):
                files = tuple(scene_bands[band][1] for band in colour if band in scene_bands)
                day = acquisition_date(next(iter(scene_bands.values()))[1])
                scenes.append(SceneBands(name, sensor, files, day))
    return sorted(scenes, key=lambda scene: (scene.date or "", scene.name))


def scene_name(path: str) -> str:
    """The scene of a band file; the folder name if the file is named only by its band."""
    stem = PurePosixPath(file_name(path)).stem
    match = _BAND.match(stem)
    return (match["scene"] or Path(path).parent.name) if match else stem


def one_scene(folder: Path) -> SceneBands:
    """The single scene in `folder`.

    Raises:
        BadInput: there are none or several, or a natural-colour band is missing.
    """
    scenes = scenes_in(folder)
    if len(scenes) != 1:
        found = ", ".join(scene.name for scene in scenes) or "no band files"
        raise BadInput(folder, "scene", found, "the band files of one Landsat or Sentinel-2 scene")
    return complete(scenes[0], folder)


def complete(scene: SceneBands, folder: Path) -> SceneBands:
    """Return `scene` if all three natural-colour bands are present.

    Raises:
        BadInput: a band is missing; the message names the bands of the sensor.
    """
    if not scene.complete:
        wanted = ", ".join(f"B{band}" for band in NATURAL_COLOUR[scene.sensor][1])
        found = ", ".join(Path(path).name for path in scene.colour) or "none of them"
        advice = "give other band files joined by commas"
        raise BadInput(folder, f"bands of {scene.sensor}", found, wanted, advice)
    return scene
