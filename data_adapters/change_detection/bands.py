"""Folders of rasters, and the natural-colour band files of the Landsat and Sentinel-2 scenes in them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_adapters.base import BadInput
from data_adapters.change_detection.dates import acquisition_date, file_name

RASTERS = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".bmp", ".gif", ".img", ".vrt"})

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


def listing(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """The sub-folders of `folder`, by case-folded name, and its files; hidden ones (macOS `._x`) are left out.

    Raises:
        BadInput: the folder is missing or may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda e: e.name)
            folders = {entry.name.casefold(): Path(entry.path) for entry in shown if entry.is_dir()}
            return folders, [Path(entry.path) for entry in shown if entry.is_file()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(folder, "folder", reason.lower(), "a folder that can be read") from error


def rasters_by_stem(folder: Path) -> dict[str, str]:
    """The rasters of `folder` by their names without extension.

    Raises:
        BadInput: two files of the folder differ in their extension alone, so neither can be chosen.
    """
    found: dict[str, str] = {}
    for path in listing(folder)[1]:
        if path.suffix.lower() not in RASTERS:
            continue
        if path.stem in found:
            both = f"{Path(found[path.stem]).name} and {path.name}"
            raise BadInput(folder, "names", both, "one raster of each name", "move one of the two away")
        found[path.stem] = str(path)
    return found


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
