"""The area of interest: polygons of a file, outside of which pixels have no data."""

import math

import shapely
from affine import Affine

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.burn import polygons_on
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.vectors import Layer, polygon_layer


def area_of_interest(path: str, image: str, grid: Grid) -> tuple[Layer, Grid]:
    """The polygons of the file at `path`, and `grid` cropped to their bounding box.

    Args:
        path: A GeoPackage, GeoJSON file or shapefile.
        image: Path of the image, for messages.
        grid: The grid of the images.

    Raises:
        BadInput: the file cannot be read, the image has no CRS, or no polygon overlaps the grid.
    """
    if grid.crs is None:
        raise BadInput(image, "CRS", "none", f"one, to place the area of interest {path}", "leave read.aoi out")
    layer = polygon_layer(path)
    inside = shapely.intersection(polygons_on(layer, grid), shapely.box(0, 0, grid.width, grid.height))
    inside = inside[shapely.area(inside) > 0]
    if not len(inside):
        advice = "check its CRS, or leave read.aoi out"
        raise BadInput(path, "area of interest", "no polygon on the images", f"polygons that overlap {image}", advice)
    west, north, east, south = shapely.total_bounds(inside)
    left, top = math.floor(west), math.floor(north)
    corner = grid.transform * Affine.translation(left, top)
    return layer, Grid(math.ceil(east) - left, math.ceil(south) - top, corner, grid.crs)
