"""Landsat scenes of Collections 1 and 2, and older ones: bands, reflectance and quality by the names of their files.

Level 2 is surface reflectance with the fixed factors of its collection. Level 1 is reflectance at the top of the
atmosphere by the factors of the metadata file (`MTL.txt`), divided by the sine of the sun's elevation (USGS, Landsat
8-9 Data Users Handbook, section 5.2). Scenes from before the collections have no such factors.
"""

import math
import re
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.dates import acquisition_date, file_name
from transect.data_adapters.change_detection.product import Quality
from transect.data_adapters.change_detection.products.found import Band, Found
from transect.data_adapters.change_detection.products.sensors import SENSORS, THERMAL, names_of
from transect.data_adapters.change_detection.products.tree import read_file, sibling

LARGEST_MTL = 1 << 20

COLLECTION_1_SURFACE, COLLECTION_2_SURFACE = (1e-4, 0.0), (2.75e-5, -0.2)
COLLECTION_2_KELVIN = (0.00341802, 149.0)

_NAME = re.compile(
    r"(?P<scene>L[A-Z]0?(?P<number>[45789]).*?)(?<!_toa)(?<!_bt)_(?:(?P<level2>S[RT]|sr)_)?"
    r"(?:B|band)(?P<band>\d{1,2}(?:_VCID_[12])?)$"
)
_COLLECTION = re.compile(r"_L(?P<level>[12])\w\w_\d{6}_\d{8}_\d{8}_0(?P<collection>[12])_(?:T1|T2|RT)$")
_NUMBER = re.compile(r"^\s*(?P<key>SUN_ELEVATION|REFLECTANCE_(?:MULT|ADD)_BAND_\w+)\s*=\s*(?P<value>\S+)", re.MULTILINE)


def scene_of(path: str) -> str | None:
    """The scene that a band file belongs to; None if it is none of a Landsat scene."""
    match = _NAME.match(PurePosixPath(file_name(path)).stem)
    return match["scene"] if match else None


def sensor_of(satellite: str) -> str:
    """The sensor of Landsat 4, 5, 7, 8 or 9."""
    return {"7": "Landsat 7 ETM+", "8": "Landsat 8-9 OLI", "9": "Landsat 8-9 OLI"}.get(satellite, "Landsat 4-5 TM")


def found_scene(files: list[str]) -> Found:
    """The scene of band files that are of one scene; its metadata and quality band are next to them.

    Raises:
        BadInput: the metadata or the quality band cannot be used.
    """
    matches = {path: _NAME.match(PurePosixPath(file_name(path)).stem) for path in files}
    parts = {path: match for path, match in matches.items() if match}
    first, match = next(iter(parts.items()))
    scene = match["scene"]
    sensor = sensor_of(match["number"])
    is_level_2 = any(match["level2"] for match in parts.values())
    version = _COLLECTION.search(scene)
    collection = int(version["collection"]) if version else 0
    metadata = sibling(first, (f"{scene}_MTL.txt",))
    factors = _level_2(sensor, collection) if is_level_2 else _level_1(metadata)
    names = names_of(sensor)
    bands = {}
    for path, match in parts.items():
        own = f"B{match['band']}"
        if own in names:
            bands[names[own]] = Band(path, 1, factors.get(own))
    surface = "no factors of its surface reflectance are known"
    note = f"{scene}: stored values, since {surface if is_level_2 else _why_unscaled(metadata)}"
    return Found(
        name=scene,
        sensor=sensor,
        bands=bands,
        date=acquisition_date(first),
        level="surface" if is_level_2 else "top of atmosphere",
        fill=-9999.0 if is_level_2 and collection == 1 else 0.0,
        quality=_quality(first, scene, collection),
        note=note,
        metadata=(metadata,) if metadata else (),
    )


def _quality(first: str, scene: str, collection: int) -> Quality | None:
    if file := sibling(first, (f"{scene}_QA_PIXEL.TIF", f"{scene}_QA_PIXEL.tif")):
        return Quality(file, "qa_pixel")
    # The bits of older BQA bands differ.
    if collection == 1 and (file := sibling(first, (f"{scene}_BQA.TIF", f"{scene}_BQA.tif"))):
        return Quality(file, "bqa")
    return None


def _level_2(sensor: str, collection: int) -> dict[str, tuple[float, float]]:
    """Factor and offset of each band: reflectance, and kelvin for the thermal ones."""
    if collection == 1:
        return {own: COLLECTION_1_SURFACE for name, own in SENSORS[sensor].items() if name not in THERMAL}
    if collection == 2:
        return {
            own: COLLECTION_2_KELVIN if name in THERMAL else COLLECTION_2_SURFACE
            for name, own in SENSORS[sensor].items()
        }
    return {}


def _level_1(metadata: str) -> dict[str, tuple[float, float]]:
    """Factor and offset of each band that has them in the metadata file, with the sun's elevation."""
    if not metadata:
        return {}
    text = read_file(Path(metadata), LARGEST_MTL).decode("ascii", errors="replace")
    values = {match["key"]: _number(metadata, match) for match in _NUMBER.finditer(text)}
    elevation = values.get("SUN_ELEVATION", math.nan)
    if not 0 < elevation <= 90:
        return {}
    sine, factors = math.sin(math.radians(elevation)), {}
    for key, factor in values.items():
        band = key.removeprefix("REFLECTANCE_MULT_BAND_")
        if band != key and (offset := values.get(f"REFLECTANCE_ADD_BAND_{band}")) is not None:
            factors[f"B{band}"] = (factor / sine, offset / sine)
    return factors


def _number(metadata: str, match: re.Match[str]) -> float:
    try:
        value = float(match["value"].strip('"'))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(metadata, match["key"], match["value"], "a number", "download the metadata file again")
    return value


def _why_unscaled(metadata: str) -> str:
    if not metadata:
        return "there is no metadata file (MTL.txt) next to the bands"
    return f"{Path(metadata).name} has no factors of reflectance, or no elevation of the sun"
