"""Generalize the polygons of changed patches: fill small holes, leave out small patches, simplify outlines."""

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from transect.data_adapters.change_detection.config import PolygonsConfig
from transect.data_adapters.change_detection.geodesy import geodesic_areas, metres_per_pixel
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.polygons import Patches


def generalized(stream: Iterable[Patches], grid: Grid, config: PolygonsConfig) -> Iterator[Patches]:
    """Fill holes, then leave out patches by the area that they have with filled holes, then simplify outlines.

    Areas are geodesic and lengths in metres; on a grid whose CRS has no ellipsoid, both are in pixels. Sizes in pixels
    and sums of levels stay those of the changed pixels. Each polygon stays valid and is simplified on its own.

    Args:
        stream: Patches in (column, row) of `grid`.
        grid: Gives the transform and the CRS.
        config: What is done; a setting of 0 does nothing.
    """
    for patches in stream:
        polygons, kept = patches.polygons, np.ones(len(patches.pixels), bool)
        if config.fill_holes_m2:
            polygons = _filled(polygons, grid, config.fill_holes_m2)
        if config.min_area_m2:
            kept = _areas(polygons, grid) >= config.min_area_m2
            polygons = polygons[kept]
        if config.simplify_m:
            polygons = _simplified(polygons, grid, config.simplify_m)
        sums = None if patches.probability_sums is None else patches.probability_sums[kept]
        yield Patches(polygons, patches.pixels[kept], patches.level_sums[kept], sums)


def _areas(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    areas = geodesic_areas(polygons, grid)
    return np.where(np.isnan(areas), shapely.area(polygons), areas)


def _filled(polygons: np.ndarray, grid: Grid, smallest: float) -> np.ndarray:
    """The polygons without their holes of an area below `smallest`."""
    holed = np.flatnonzero(shapely.get_num_interior_rings(polygons))
    rings, owners = shapely.get_rings(polygons[holed], return_index=True)
    kept = np.diff(owners, prepend=-1) > 0  # the first ring of a polygon is its shell
    kept[~kept] = _areas(shapely.polygons(rings[~kept]), grid) >= smallest
    filled = polygons.copy()
    filled[holed] = shapely.polygons(rings[kept], indices=owners[kept])
    return shapely.normalize(filled)


def _simplified(polygons: np.ndarray, grid: Grid, tolerance: float) -> np.ndarray:
    """The polygons with outlines that differ by at most `tolerance`, unless that would make them invalid."""
    centres = shapely.get_coordinates(shapely.centroid(polygons))
    scales = np.nan_to_num(metres_per_pixel(centres, grid), nan=1.0)
    points, owners = shapely.get_coordinates(polygons, return_index=True)
    simple = shapely.simplify(shapely.set_coordinates(polygons.copy(), points * scales[owners]), tolerance)
    points, owners = shapely.get_coordinates(simple, return_index=True)
    simple = shapely.set_coordinates(simple, points / scales[owners])
    usable = shapely.is_valid(simple) & (shapely.get_type_id(simple) == shapely.GeometryType.POLYGON)
    return shapely.normalize(np.where(usable & ~shapely.is_empty(simple), simple, polygons))
