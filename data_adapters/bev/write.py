"""Write a predicted map: arrays, pictures, and files for geographic information systems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transect.data_adapters.bev.areas import Area, areas_of
from transect.data_adapters.bev.config import WriteConfig
from transect.data_adapters.bev.drawing.prediction import map_picture, montage_of
from transect.data_adapters.bev.images import Picture
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import FrameCase
from transect.data_adapters.files import write_json, writing

ARRAYS, SUMMARY, MAP, MONTAGE = "map.npz", "map.json", "map.png", "montage.png"
GEOTIFF, GEOJSON = "map.tif", "map.geojson"


def write_map(
    case: FrameCase, prediction: BevMap, folder: Path, source: str, config: WriteConfig
) -> dict[str, float | str]:
    """Write the files of one sample.

    * `map.npz`: `probability` float16 `(C, H, W)`, `mask` uint8 `(C, H, W)`, `classes` and `threshold` `(C,)`, `view`
      `(3, 3)`, the matrix from ego metres to (column, row), `ego_pose` `(4, 4)`, `resolution_m`, `timestamp_us` (-1:
      not known), `epsg` (0: none), and of an ensemble `spread` float16 `(C, H, W)`.
    * `map.json`: areas of the classes, vehicles, cameras, thresholds and pose.
    * `map.png`: the map with a legend. `montage.png`: the cameras around the map.
    * Where the pose is in a projected coordinate system, `map.tif` and `map.geojson`; see `write_geotiff` and
      `write_geojson`. The world of nuScenes has none.

    Args:
        case: The sample.
        prediction: Its map.
        folder: An empty folder.
        source: Model name and version.
        config: How the GeoTIFF is written.

    Returns:
        Facts for a report.

    Raises:
        OSError: a file cannot be written.
    """
    frame = prediction.frame
    areas = {name: areas_of(prediction, name)[0] for name in prediction.classes}
    with writing(folder / ARRAYS):
        np.savez_compressed(folder / ARRAYS, **_arrays(prediction))
    write_json(folder / SUMMARY, _summary(case, prediction, areas, source))
    _save(map_picture(prediction), folder / MAP)
    _save(montage_of(prediction, areas, source), folder / MONTAGE)
    if frame.epsg is not None:
        from transect.data_adapters.bev.georeference import write_geojson, write_geotiff

        write_geotiff(folder / GEOTIFF, prediction, source, config.north_up)
        write_geojson(folder / GEOJSON, prediction, source)
    return _facts(prediction, areas)


def _arrays(prediction: BevMap) -> dict[str, Any]:
    frame = prediction.frame
    spread = {} if prediction.spread is None else {"spread": prediction.spread.astype(np.float16)}
    return {
        "probability": prediction.probability.astype(np.float16),
        "mask": prediction.mask,
        "classes": np.array(prediction.classes),
        "threshold": prediction.threshold,
        "view": frame.grid.matrix,
        "ego_pose": frame.ego_pose,
        "resolution_m": np.float64(frame.grid.resolution),
        "timestamp_us": np.int64(-1 if frame.timestamp is None else frame.timestamp),
        "epsg": np.int64(frame.epsg or 0),
        **spread,
    }


def _summary(case: FrameCase, prediction: BevMap, areas: Mapping[str, Sequence[Area]], source: str) -> dict[str, Any]:
    frame, grid = prediction.frame, prediction.frame.grid
    classes = {}
    for index, name in enumerate(prediction.classes):
        mask = prediction.mask[index]
        classes[name] = {
            "threshold": round(float(prediction.threshold[index]), 6),
            "area_m2": round(float(mask.sum()) * grid.resolution**2, 3),
            "share": round(float(mask.mean()), 6),
            "areas": len(areas[name]),
            "mean_probability": round(float(prediction.probability[index].mean(dtype=np.float64)), 6),
        }
    vehicles = sorted(areas.get("vehicle", ()), key=lambda area: area.distance_m)
    return {
        "model": source,
        "sample": case.id,
        "drive": case.group,
        "timestamp_us": frame.timestamp,
        "classes": classes,
        "vehicles": [area.rounded() for area in vehicles],
        "cameras": list(frame.names),
        "missing_cameras": list(frame.missing),
        "grid": {"height": grid.height, "width": grid.width, "resolution_m": grid.resolution},
        "view": grid.matrix.tolist(),
        "ego_pose": frame.ego_pose.tolist(),
        "epsg": frame.epsg,
        "warnings": list(frame.notes),
    }


def _facts(prediction: BevMap, areas: Mapping[str, Sequence[Area]]) -> dict[str, float | str]:
    frame, facts = prediction.frame, dict[str, float | str]()
    if (vehicles := areas.get("vehicle")) is not None:
        facts["vehicles"] = len(vehicles)
        facts |= {"nearest_vehicle_m": round(min(area.distance_m for area in vehicles), 1)} if vehicles else {}
    facts |= {f"{name}_area_m2": round(sum(area.area_m2 for area in found), 1) for name, found in areas.items()}
    facts["cameras"] = len(frame.names)
    facts |= {"missing_cameras": ", ".join(frame.missing)} if frame.missing else {}
    return facts | ({"warnings": "; ".join(frame.notes)} if frame.notes else {})


def _save(picture: Picture, path: Path) -> None:
    with writing(path):
        Image.fromarray(picture).save(path, compress_level=3)
