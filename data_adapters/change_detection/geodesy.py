"""Lengths and areas on the ellipsoid of a grid's CRS."""

import numpy as np
import pyproj
import shapely
from affine import Affine

from transect.data_adapters.change_detection.maps import Grid

SEGMENT = 8
"""Maximum length of a polygon side in pixels, after densification for the geodesic area."""


def geodesic_areas(polygons: np.ndarray, grid: Grid) -> np.ndarray:
    """Geodesic areas of polygons in pixel coordinates.

    The area inside the geodesics between vertices on the CRS's own ellipsoid (Karney 2013, through pyproj.Geod), less
    holes. Sides follow the grid, not the geodesic, hence a vertex at least every SEGMENT pixels.

    Args:
        polygons: `(n,)` normalized shapely Polygons in (column, row).
        grid: Gives the transform and the CRS.

    Returns:
        `(n,)` float64 in square metres, NaN if the CRS has no ellipsoid.
    """
    ellipsoid = _ellipsoid(grid)
    if ellipsoid is None:
        return np.full(len(polygons), np.nan)
    geod, to_degrees = ellipsoid
    rings, owners = shapely.get_rings(shapely.segmentize(polygons, SEGMENT), return_index=True)
    corners = to_degrees.transform(*mapped(shapely.get_coordinates(rings), grid.transform).T)
    ends = np.cumsum(shapely.get_num_coordinates(rings))
    # Holes of a normalized polygon are oriented opposite to its shell, so their area is subtracted.
    areas = [
        geod.polygon_area_perimeter(*(degrees[start:end] for degrees in corners))[0]
        for start, end in zip(ends - shapely.get_num_coordinates(rings), ends, strict=True)
    ]
    return np.abs(np.bincount(owners, weights=areas, minlength=len(polygons)).astype(float))


def metres_per_pixel(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Geodesic size of a pixel along a row and along a column, around points of the grid.

    Args:
        points: `(n, 2)` float64, (column, row).
        grid: Gives the transform and the CRS.

    Returns:
        `(n, 2)` float64 in metres, NaN if the CRS has no ellipsoid or a point is not on it.
    """
    ellipsoid = _ellipsoid(grid)
    if ellipsoid is None:
        return np.full((len(points), 2), np.nan)
    geod, to_degrees = ellipsoid
    steps = np.array([[0.5, 0], [0, 0.5]])
    sides = [(points[:, None] + sign * steps).reshape(-1, 2) for sign in (-1, 1)]
    ends = np.concatenate([to_degrees.transform(*mapped(side, grid.transform).T) for side in sides])
    known = np.isfinite(ends).all(axis=0)
    lengths = np.full(len(known), np.nan)
    lengths[known] = geod.inv(*ends[:, known])[2]
    return lengths.reshape(-1, 2)


def mapped(points: np.ndarray, transform: Affine) -> np.ndarray:
    """Map `(..., 2)` points, such as (column, row) to the coordinates of a CRS."""
    return points @ [[transform.a, transform.d], [transform.b, transform.e]] + [transform.c, transform.f]


def _ellipsoid(grid: Grid) -> tuple[pyproj.Geod, pyproj.Transformer] | None:
    """The ellipsoid of the grid's CRS, and the transformer from the CRS to longitude and latitude on it."""
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt()) if grid.crs else None
    geod = crs.get_geod() if crs else None
    if geod is None:
        return None
    unprojected = pyproj.CRS.from_dict({"proj": "longlat", "a": geod.a, "b": geod.b, "no_defs": True})
    return geod, pyproj.Transformer.from_crs(crs, unprojected, always_xy=True)
