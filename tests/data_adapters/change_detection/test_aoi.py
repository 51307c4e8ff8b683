"""Scenes cropped to an area of interest."""

import pickle
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.scene import Scene

GRID = Affine(10, 0, 500_000, 0, -10, 5_000_000)
TRIANGLE = shapely.Polygon([(20.3, 30.2), (60.7, 31.1), (40.1, 75.6)])


def raster(path: Path, transform: Affine = GRID, crs: str | None = "EPSG:32632", size: int = 100) -> str:
    place = {"crs": crs, "transform": transform} if crs else {}
    with rasterio.open(path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint16", **place) as dataset:
        dataset.write(np.arange(1, size**2 + 1, dtype=np.uint16).reshape(1, size, size))
    return str(path)


def area(path: Path, *pixels: shapely.Geometry, to: str = "EPSG:32632") -> str:
    place = [shapely.transform(each, lambda xy: xy * [10, -10] + [500_000, 5_000_000]) for each in pixels]
    geopandas.GeoDataFrame(geometry=place, crs="EPSG:32632").to_crs(to).to_file(path)
    return str(path)


def scene(tmp_path: Path, aoi: str) -> Scene:
    before, after = raster(tmp_path / "before.tif"), raster(tmp_path / "after.tif")
    return pickle.loads(pickle.dumps(Scene.open([before], [after], ReadConfig(bands=[1], aoi=aoi))))


@pytest.mark.parametrize(
    ("name", "crs"), [("a.gpkg", "EPSG:32632"), ("a.geojson", "EPSG:4326"), ("a.shp", "EPSG:3857")]
)
def test_pixels_outside_have_no_data_and_the_grid_is_cropped(tmp_path: Path, name: str, crs: str) -> None:
    fine = shapely.segmentize(TRIANGLE, 0.5)
    cropped = scene(tmp_path, area(tmp_path / name, fine, to=crs))
    assert (cropped.grid.width, cropped.grid.height) == (41, 46)
    assert cropped.grid.transform == GRID * Affine.translation(20, 30)
    strips = list(cropped.strips())
    expected = rasterize([TRIANGLE], out_shape=(100, 100), dtype="uint8")[30:76, 20:61] > 0
    assert np.array_equal(np.concatenate([strip.valid for strip in strips]), expected)
    values = np.arange(1, 10001).reshape(100, 100)[30:76, 20:61]
    assert np.array_equal(np.concatenate([strip.after[0] for strip in strips])[expected], values[expected])
    window = cropped.window(7, 5, 20, 20)
    assert np.array_equal(window.valid, expected[7:27, 5:25])


def test_an_area_of_several_polygons_that_extends_over_the_edge(tmp_path: Path) -> None:
    boxes = shapely.box(-50, 10, 10, 20), shapely.box(30, 40, 50, 500), shapely.box(300, 0, 400, 9)
    cropped = scene(tmp_path, area(tmp_path / "a.gpkg", *boxes))
    assert (cropped.grid.width, cropped.grid.height) == (50, 90)
    assert cropped.grid.transform == GRID * Affine.translation(0, 10)
    valid = cropped.window(0, 0, 90, 50).valid
    expected = np.zeros((90, 50), bool)
    expected[:10, :10] = expected[30:, 30:] = True
    assert np.array_equal(valid, expected)


def test_labels_outside_do_not_count(tmp_path: Path) -> None:
    raster(tmp_path / "before.tif"), raster(tmp_path / "after.tif")
    area(tmp_path / "change.gpkg", shapely.box(0, 0, 100, 15))
    (tmp_path / "pairs.csv").write_text("before,after,label\nbefore.tif,after.tif,change.gpkg\n")
    boxes = area(tmp_path / "aoi.gpkg", shapely.box(10, 10, 20, 20), shapely.box(50, 50, 60, 60))
    for aoi, share in (("", "15 % changed"), (boxes, "25 % changed")):
        adapter = ChangeAdapter(ReadConfig(bands=[1], aoi=aoi))
        (case,) = adapter.cases(str(tmp_path / "pairs.csv"))
        assert adapter.check(case, adapter.read(case), None)["label"] == f"{share}, 0 % unknown"


def test_an_area_elsewhere_is_named(tmp_path: Path) -> None:
    for name, place in (("near.gpkg", shapely.box(100, 0, 110, 9)), ("far.gpkg", shapely.box(9000, 0, 9010, 9))):
        path = area(tmp_path / name, place)
        with pytest.raises(BadInput) as caught:
            scene(tmp_path, path)
        assert str(caught.value) == (
            f"{path}: area of interest: found no polygon on the images, expected polygons that overlap "
            f"{tmp_path}/after.tif; check its CRS, or leave read.aoi out"
        )
        assert scene(tmp_path, "").grid.width == 100  # what the advice says


def test_images_without_a_crs_have_no_area(tmp_path: Path) -> None:
    path = area(tmp_path / "a.gpkg", TRIANGLE)
    for name in ("before.tif", "after.tif"):
        raster(tmp_path / name, crs=None)
    with pytest.raises(BadInput, match=r"after\.tif: CRS: found none, expected one, to place .+; leave read\.aoi out"):
        Scene.open([str(tmp_path / "before.tif")], [str(tmp_path / "after.tif")], ReadConfig(bands=[1], aoi=path))


def test_other_files_are_no_area(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"read\.aoi: found .*a\.kml.*, expected a file named \.geojson, \.gpkg, \.shp"
    ):
        ReadConfig(aoi="a.kml")
    with pytest.raises(BadInput, match=r"none\.gpkg: file: found no such file"):
        scene(tmp_path, str(tmp_path / "none.gpkg"))
