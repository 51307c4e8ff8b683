"""The grid of a raster, by its transform or by ground control points (GCPs), and that of a pair without a CRS."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError  # some of GDAL's errors are raised unconverted
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.opening import failure

EXACT = 0.1
"""GCPs that an affine transform meets to this many pixels are replaced by it, and pixels remain as they are."""


def georeferenced(grid: Grid) -> bool:
    """Whether the grid has a CRS or a transform other than the identity."""
    return grid.crs is not None or grid.transform != Affine.identity()


def with_georeference_of(grid: Grid, other: Grid) -> Grid:
    """`grid` with the transform and CRS of `other`."""
    return replace(grid, transform=other.transform, crs=other.crs)


def comparable_grid(before: str, first: Grid, after: str, second: Grid) -> Grid:
    """The first date's grid, or the second's transform on it where the pair is not georeferenced.

    Raises:
        BadInput: one of the rasters `before` and `after` lacks a CRS, or both do and their sizes differ.
    """
    if (first.crs is None) != (second.crs is None):
        lacking, other = (before, after) if first.crs is None else (after, before)
        raise BadInput(lacking, "CRS", "none", f"one, as {other} has", "assign it with gdal_edit.py -a_srs")
    if first.crs is not None or (georeferenced(first) and georeferenced(second)):
        return first
    if (first.width, first.height) != (second.width, second.height):
        found, expected = f"{first.width} x {first.height} pixels", f"{second.width} x {second.height} as {after}"
        raise BadInput(before, "size", found, expected, "rasters of different sizes have to be georeferenced")
    return with_georeference_of(first, second)


@contextmanager
def placed(path: str, dataset: DatasetReader, nodata: float | None) -> Iterator[tuple[DatasetReader, Grid]]:
    """The raster and its grid; if only GCPs place it, by the affine transform through them, or warped.

    A warped raster has the CRS of the GCPs, GDAL's polynomial through them, and an alpha band that is zero outside.

    Args:
        path: Names the raster in errors.
        dataset: The open raster.
        nodata: Value of pixels without data, if the raster declares none.

    Raises:
        BadInput: the raster has only rational polynomial coefficients (RPCs), or its GCPs do not place it.
    """
    points, crs = dataset.gcps
    if dataset.crs or dataset.transform != Affine.identity() or not (points or dataset.rpcs or _has_rpc_file(path)):
        yield dataset, Grid(dataset.width, dataset.height, dataset.transform, dataset.crs or None)
        return
    if not points:
        advice = f"warp it first: gdalwarp -rpc {path} warped.tif"
        raise BadInput(path, "georeference", "RPCs", "an affine transform or GCPs", advice)
    transform, residual = _affine(path, points)
    if residual <= EXACT:
        yield dataset, Grid(dataset.width, dataset.height, transform, crs)
        return
    if not crs:
        raise BadInput(path, "GCPs", "no CRS", "one", "assign it with gdal_edit.py -a_srs")
    indexes = ColorInterp.palette in dataset.colorinterp
    options = {"crs": crs, "src_crs": crs, "add_alpha": ColorInterp.alpha not in dataset.colorinterp}
    try:
        with WarpedVRT(
            dataset, resampling=Resampling.nearest if indexes else Resampling.bilinear, src_nodata=nodata, **options
        ) as warped:
            yield warped, Grid(warped.width, warped.height, warped.transform, warped.crs)
    except (RasterioError, CPLE_BaseError) as error:
        raise BadInput(path, "GCPs", failure(path, error), "points that place the raster") from error


def _has_rpc_file(path: str) -> bool:
    """Whether RPCs are in a file next to the raster, where they are not read."""
    stem = os.path.splitext(path)[0]
    return any(os.path.isfile(stem + ending) for ending in ("_RPC.TXT", "_rpc.txt", ".RPB", ".rpb"))


def _affine(path: str, points: list[GroundControlPoint]) -> tuple[Affine, float]:
    """The least-squares affine transform through `points`, and its largest residual in pixels."""
    pixels = np.array([(point.col, point.row, 1) for point in points], float)
    if np.linalg.matrix_rank(pixels - [*pixels[0][:2], 0]) < 3:
        found = f"{len(points)} on a line" if len(points) > 2 else len(points)
        raise BadInput(path, "GCPs", found, "at least 3 that are not on a line", "georeference it with more points")
    ground = np.array([(point.x, point.y) for point in points], float)
    centre = ground.mean(axis=0)  # large coordinates would lose digits
    solution, *_ = np.linalg.lstsq(pixels, ground - centre, rcond=None)
    (a, d), (b, e), (c, f) = solution
    transform = Affine(a, b, c + centre[0], d, e, f + centre[1])
    columns, rows = ~transform * ground.T
    return transform, float(np.abs([columns - pixels[:, 0], rows - pixels[:, 1]]).max())
