"""Coordinates that pass the date line: in many CRSs, x repeats after a full turn of longitude.

A raster of Fiji may span 179.9 to 180.1 degrees, -180.1 to -179.9, or the same in Mercator metres. PROJ returns
longitudes from -180 to 180, so positions are moved by whole turns to where a raster has them.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyproj
from affine import Affine
from rasterio.crs import CRS

from transect.data_adapters.change_detection.maps import Grid

CYLINDRICAL = {
    "Popular Visualisation Pseudo Mercator",
    "Mercator (variant A)",
    "Mercator (variant B)",
    "Equidistant Cylindrical",
    "Equidistant Cylindrical (Spherical)",
    "Lambert Cylindrical Equal Area",
    "Lambert Cylindrical Equal Area (Spherical)",
}
"""Projections whose x is proportional to the longitude."""

ORIGIN = "Longitude of natural origin"


class Turn(NamedTuple):
    """A full turn of longitude in units of x, and the x of the central meridian."""

    length: float
    middle: float


@lru_cache(maxsize=256)
def turn_of(crs: CRS | None) -> Turn | None:
    """The turn after which x repeats; None if it does not."""
    if crs is None:
        return None
    if crs.is_geographic:
        return Turn(round(float(2 * np.pi / crs.units_factor[1]), 9), 0.0)
    projected = _cylindrical(crs)
    if projected is None:
        return None
    parameters = projected.to_json_dict()["conversion"]["parameters"]
    origin = next(float(given["value"]) for given in parameters if given["name"] == ORIGIN)
    project = pyproj.Transformer.from_crs(projected.geodetic_crs, projected, always_xy=True)
    (middle, east), _ = project.transform([origin, origin + 1], [0, 0])
    return Turn(float(360 * (east - middle)), float(middle))


def moved_near(x: np.ndarray, centre: float, turn: Turn) -> np.ndarray:
    """`x` moved by whole turns to within half a turn of `centre`; infinite values are kept."""
    with np.errstate(invalid="ignore"):
        turns = np.rint((x - centre) / turn.length)
    return np.asarray(x - turn.length * np.where(np.isfinite(turns), turns, 0))


def grid_moved_near(grid: Grid, centre: float, turn: Turn) -> Grid:
    """`grid` moved by whole turns so that its centre is within half a turn of `centre`."""
    here = centre_of(grid)
    shift = float(moved_near(np.array(here), centre, turn)) - here
    return replace(grid, transform=Affine.translation(shift, 0) * grid.transform) if shift else grid


def centre_of(grid: Grid) -> float:
    """The x of the grid's centre."""
    return float((grid.transform * (grid.width / 2, grid.height / 2))[0])


def recentred(grid: Grid) -> Grid:
    """The same places in a CRS that PROJ does not fold inside the grid, if it would fold that of `grid`.

    PROJ folds the x of a cylindrical projection at half a turn from the central meridian, so another one is chosen.
    """
    projected, turn = _cylindrical(grid.crs), turn_of(grid.crs)
    if projected is None or turn is None:
        return grid
    corners = [(grid.transform * (col, row))[0] for col in (0, grid.width) for row in (0, grid.height)]
    if max(abs(x - turn.middle) for x in corners) <= turn.length / 2:
        return grid
    degrees = round(360 * (centre_of(grid) - turn.middle) / turn.length)
    description: dict[str, Any] = projected.to_json_dict()
    description.pop("id", None)
    description["name"] = "re-centred"  # by its name GDAL would take it for Web Mercator itself
    for given in description["conversion"]["parameters"]:
        if given["name"] == ORIGIN:
            given["value"] += degrees
    crs = CRS.from_wkt(pyproj.CRS.from_json_dict(description).to_wkt())
    return replace(grid, transform=Affine.translation(-turn.length * degrees / 360, 0) * grid.transform, crs=crs)


@lru_cache(maxsize=256)
def _cylindrical(crs: CRS | None) -> pyproj.CRS | None:
    if crs is None or not crs.is_projected:
        return None
    projected = pyproj.CRS.from_wkt(crs.to_wkt())
    operation = projected.coordinate_operation
    return projected if operation is not None and operation.method_name in CYLINDRICAL else None
