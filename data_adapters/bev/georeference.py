"""Predicted maps in a projected coordinate system: a GeoTIFF of the probabilities and GeoJSON of the areas."""

import json
from pathlib import Path

import numpy as np
import rasterio
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.features import shapes
from rasterio.warp import reproject
from shapely.geometry.polygon import orient

from transect.data_adapters.bev.areas import areas_of
from transect.data_adapters.bev.geometry import heading
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Frame
from transect.data_adapters.files import writing

LEVELS, NODATA = 200, 255
"""Probabilities are stored as levels of 1 / LEVELS."""

WGS84 = 4326

DECIMALS = 8
"""Of degrees: 1 mm."""


def to_world(frame: Frame) -> NDArray[np.float64]:
    """The matrix `(3, 3)` from pixel corners (column, row, 1) of a map to world (x, y, 1).

    A pixel of the map is an index: (row i, column j) stands for the point that the view matrix maps to (j, i). That
    point is put into the middle of the area of the pixel, (j + 0.5, i + 0.5).
    """
    ego = frame.ego_pose[np.ix_([0, 1, 3], [0, 1, 3])]
    to_index = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    return np.asarray(ego @ np.linalg.inv(frame.grid.matrix) @ to_index)


def write_geotiff(path: Path, prediction: BevMap, source: str, north_up: bool) -> None:
    """Write the probability of each class as a band of uint8 levels of 1/200, as their scale declares; 255 is nodata.

    The raster lies in the map's own turned grid, whose transform has a rotation. With `north_up` it is resampled
    (bilinear) to rows of one northing at the same resolution, with nodata around it.

    Args:
        path: The file.
        prediction: Of a sample with a projected pose.
        source: Model name and version.
        north_up: Resample.

    Raises:
        OSError: the file cannot be written.
    """
    frame, matrix = prediction.frame, to_world(prediction.frame)
    levels = np.rint(prediction.probability * LEVELS).astype(np.uint8)
    if north_up:
        levels, matrix = _north_up(levels, matrix, frame)
    count, height, width = levels.shape
    crs = f"EPSG:{frame.epsg}"
    with (
        writing(path, RasterioError),
        rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=count, dtype="uint8", nodata=NODATA, crs=crs,
            transform=Affine(*matrix[:2].ravel()), compress="deflate", predictor=2
        ) as raster,
    ):  # fmt: skip
        raster.write(levels)
        raster.scales = (1 / LEVELS,) * count
        raster.update_tags(source=source, sample=frame.case.id)
        for band, (name, threshold) in enumerate(zip(prediction.classes, prediction.threshold, strict=True), 1):
            raster.set_band_description(band, f"probability of {name}")
            raster.update_tags(band, threshold=f"{threshold:g}")


def _north_up(
    levels: NDArray[np.uint8], matrix: NDArray[np.float64], frame: Frame
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The levels resampled to rows of one northing, and the matrix of these."""
    count, height, width = levels.shape
    step, crs = frame.grid.resolution, f"EPSG:{frame.epsg}"
    corners = np.array([(0, 0, 1), (width, 0, 1), (0, height, 1), (width, height, 1)]) @ matrix[:2].T / step
    (west, south), (east, north) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    upright = np.array([[step, 0, west * step], [0, -step, north * step], [0, 0, 1]])
    out = np.full((count, round(north - south), round(east - west)), NODATA, np.uint8)
    reproject(
        levels, out, src_transform=Affine(*matrix[:2].ravel()), dst_transform=Affine(*upright[:2].ravel()),
        src_crs=crs, dst_crs=crs, src_nodata=NODATA, dst_nodata=NODATA, resampling=Resampling.bilinear,
    )  # fmt: skip
    return out, upright


def write_geojson(path: Path, prediction: BevMap, source: str) -> int:
    """Write the areas of each class, those whose probability reaches the threshold, as polygons (RFC 7946, WGS 84).

    Their properties are `class`, `area_m2`, `probability` (the mean over the area), `threshold`, `sample`, `source`,
    and for a vehicle the sides of the smallest rectangle around it, `length_m` and `width_m`, and `heading_deg`,
    counter-clockwise from the x axis of the coordinate system, 0 to 180.

    Args:
        path: The file.
        prediction: Of a sample with a projected pose.
        source: Model name and version.

    Returns:
        Number of polygons.

    Raises:
        OSError: the file cannot be written.
    """
    frame, matrix = prediction.frame, to_world(prediction.frame)
    to_degrees = Transformer.from_crs(frame.epsg, WGS84, always_xy=True)

    def degrees(corners: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = matrix[:2, :2] @ corners.T + matrix[:2, 2:]
        return np.round(np.stack(to_degrees.transform(x, y), axis=-1), DECIMALS)

    features = []
    for name, threshold in zip(prediction.classes, prediction.threshold, strict=True):
        areas, labels = areas_of(prediction, name)
        for outline, label in shapes(labels, mask=labels > 0, connectivity=4):
            area = areas[int(label) - 1].rounded()
            turned = {"heading_deg": round((area["heading_deg"] + np.degrees(heading(frame.ego_pose))) % 180, 2)}
            rectangle = {"length_m": area["length_m"], "width_m": area["width_m"], **turned}
            properties = {
                "class": name, "area_m2": area["area_m2"], "probability": area["probability"],
                "threshold": round(float(threshold), 6), **(rectangle if name == "vehicle" else {}),
                "sample": frame.case.id, "source": source,
            }  # fmt: skip
            polygon = orient(shapely.transform(shapely.geometry.shape(outline), degrees))
            geometry = shapely.geometry.mapping(polygon)
            features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    content = {"type": "FeatureCollection", "features": features}
    with writing(path):
        path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(features)
