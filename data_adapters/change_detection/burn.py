"""Burn polygons to a grid: a pixel is inside where its centre is."""

from collections.abc import Callable

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import rasterize
from rasterio.warp import transform

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.vectors import Bounds, Layer, polygons_among
from transect.data_adapters.change_detection.wrap import centre_of, moved_near, turn_of

MARGIN = 0.1
"""Share of its size by which a window is enlarged when the polygons that touch it are looked up."""

SEGMENT = 1 / 64
"""Largest length of the polygons' sides, as a share of the window, before they are projected."""


def burned(layer: Layer, target: Grid) -> np.ndarray:
    """Where the polygons of `layer` are on `target`, which must have a CRS, as `(height, width)` bool.

    Raises:
        BadInput: the polygons cannot be read.
    """
    shape, polygons = (target.height, target.width), polygons_on(layer, target)
    return rasterize(list(polygons), out_shape=shape, dtype="uint8") > 0 if len(polygons) else np.zeros(shape, bool)


def polygons_on(layer: Layer, target: Grid) -> np.ndarray:
    """The polygons of `layer` that are on or near `target`, in (column, row) of its pixels.

    Raises:
        BadInput: the polygons cannot be read.
    """
    window, found = window_in(layer.crs, target), [np.empty(0, object)]
    if window is None:
        return found[0]
    for distance in _distances(window, layer):
        polygons = layer.polygons(_moved(window, distance))
        if layer.crs != target.crs:
            polygons = _clipped(polygons, _moved(window, distance))
            polygons = shapely.segmentize(polygons, SEGMENT * max(window[2] - window[0], window[3] - window[1]))
        polygons = shapely.transform(polygons, _to_pixels(layer.crs, target, distance))
        points, owners = shapely.get_coordinates(polygons, return_index=True)
        found.append(np.delete(polygons, np.unique(owners[~np.isfinite(points).all(axis=1)])))
    return np.concatenate(found)


def window_in(crs: CRS, target: Grid) -> Bounds | None:
    """The bounds of `target`, slightly enlarged, in `crs`; None where that is not defined."""
    columns, rows = np.meshgrid(np.linspace(0, target.width, 17), np.linspace(0, target.height, 17))
    x, y = target.transform * (columns.ravel(), rows.ravel())  # type: ignore[operator]
    x, y = _projected(x, y, target.crs, crs)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return None
    x, y = x[finite], y[finite]
    if turn := turn_of(crs):
        x = moved_near(x, x[len(x) // 2], turn)
    margin = MARGIN * max(np.ptp(x), np.ptp(y))
    return float(x.min() - margin), float(y.min() - margin), float(x.max() + margin), float(y.max() + margin)


def overlaps(layer: Layer, target: Grid) -> bool:
    """Whether the bounds of all features overlap those of the grid."""
    window = window_in(layer.crs, target)
    return window is not None and len(_distances(window, layer)) > 0


def _distances(window: Bounds, layer: Layer) -> list[float]:
    """By how much `window` has to be moved to the features of the layer: whole turns of longitude, or 0."""
    if layer.bounds is None:
        return []
    turn, there = turn_of(layer.crs), shapely.box(*layer.bounds)
    distances = [0.0] if turn is None else [0.0, turn.length, -turn.length]
    return [distance for distance in distances if shapely.box(*_moved(window, distance)).intersects(there)]


def _moved(window: Bounds, distance: float) -> Bounds:
    return window[0] + distance, window[1], window[2] + distance, window[3]


def _clipped(polygons: np.ndarray, window: Bounds) -> np.ndarray:
    """The parts inside `window`: a polygon may be far larger, and would get a vertex for each SEGMENT of it."""
    return polygons_among(shapely.intersection(polygons, shapely.box(*window)))


def _to_pixels(crs: CRS, target: Grid, distance: float) -> Callable[[np.ndarray], np.ndarray]:
    """Maps points (n, 2) in `crs`, moved by `distance`, to (column, row) of `target`."""

    def mapped(points: np.ndarray) -> np.ndarray:
        x, y = _projected(points[:, 0] - distance, points[:, 1], crs, target.crs)
        if turn := turn_of(target.crs):
            x = moved_near(x, centre_of(target), turn)
        with np.errstate(invalid="ignore"):
            return np.stack(~target.transform * (x, y), axis=1)

    return mapped


def _projected(x: np.ndarray, y: np.ndarray, source: CRS | None, target: CRS | None) -> tuple[np.ndarray, np.ndarray]:
    if source == target or not len(x):
        return x, y
    try:
        projected = transform(source, target, x, y)
    except RasterioError as error:
        raise BadInput(str(source), "CRS", error, f"a CRS with a transformation to {target}") from error
    return np.array(projected[0]), np.array(projected[1])
