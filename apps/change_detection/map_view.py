"""The interactive map of a prediction: its pictures, and the largest polygons with their attributes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from transect.apps.base import View
from transect.apps.change_detection.figures import CHANGED, decimation
from transect.data_adapters.change_detection.colours import SCORE_COLOURS, hexadecimal
from transect.data_adapters.change_detection.geodesy import metres_per_pixel
from transect.data_adapters.change_detection.geopackage import read_largest
from transect.data_adapters.change_detection.maps import ChangeMap

MOST_POLYGONS, MOST_VERTICES = 2000, 100_000
"""More polygons are left out, the smallest first; more vertices are simplified to half a pixel of the pictures."""

LAYERS = {"before": (True, 100), "after": (True, 100), "score": (False, 80), "spread": (False, 80)}
"""Pictures from bottom to top: whether they are shown at first, and their opacity in percent."""


def map_view(prediction: ChangeMap, folder: Path) -> View:
    """Write `views/map.json` into `folder`, where the prediction was written and pictured."""
    grid, step = prediction.grid, decimation(prediction.grid)
    polygons, fields, total = read_largest(folder / "changes.gpkg", grid, MOST_POLYGONS)
    polygons = shapely.transform(polygons, lambda points: points.round(2))
    if shapely.get_num_coordinates(polygons).sum() > MOST_VERTICES:
        polygons = shapely.simplify(polygons, step / 2)
    centre = metres_per_pixel(np.array([[grid.width / 2, grid.height / 2]]), grid)[0, 0]
    pictures = [name for name in LAYERS if (folder / "preview" / f"{name}.png").is_file()]
    content = {
        "name": "Changes",
        "size": [grid.width, grid.height],
        "extent": [-(-grid.width // step) * step, -(-grid.height // step) * step],
        "metres_per_pixel": float(centre) if math.isfinite(centre) else None,
        "colour": hexadecimal(CHANGED),
        "layers": {name: dict(zip(("shown", "opacity"), LAYERS[name], strict=True)) for name in pictures},
        "ramp": {
            "name": "Score",
            "colours": [hexadecimal(colour) for colour in SCORE_COLOURS],
            "mark": prediction.threshold,
            "mark_name": "threshold",
        },
        "total": total,
        "features": [
            {"geometry": geometry, "properties": {name: _value(column[index]) for name, column in fields.items()}}
            for index, geometry in enumerate(shapely.to_geojson(polygons))
        ],
    }
    (folder / "views").mkdir(exist_ok=True)
    (folder / "views" / "map.json").write_text(json.dumps(content), encoding="utf-8")
    files = ("views/map.json", *(f"preview/{name}.png" for name in pictures))
    return View(
        "map", files, "Both dates, the score of change and the polygons of changes, on the pixels of the raster"
    )


def _value(value: Any) -> float | int | str | None:
    """A field as JSON; dates as ISO 8601."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)[:10]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
