"""Polygons as labels: in the formats and CRSs of GIS, burned to the grid of the scene."""

import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import vectors
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.folders import VECTORS
from transect.data_adapters.change_detection.pairs import missing_partners
from transect.data_adapters.change_detection.vectors import polygon_layer

ADAPTER = ChangeAdapter(ReadConfig(bands=[1]))
UTM = "EPSG:32632"
GRID = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def raster(path: Path, crs: str | None = UTM, transform: Affine = GRID, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": crs, "transform": transform} if crs else {}
    with rasterio.open(path, "w", driver="GTiff", width=side, height=side, count=1, dtype="uint8", **place) as dataset:
        dataset.write(np.random.default_rng(0).integers(1, 255, (1, side, side), dtype=np.uint8))
    return path


def in_crs(*pixels: shapely.Geometry) -> list[shapely.Geometry]:
    """Geometries in (column, row) of GRID, in its CRS."""
    return [shapely.transform(each, lambda xy: xy * [10, -10] + [500_000, 5_000_000]) for each in pixels]


def save(path: Path, geometries: Sequence[shapely.Geometry], crs: str = UTM, to: str | None = None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = geopandas.GeoDataFrame(geometry=list(geometries), crs=crs)
    frame = frame.to_crs(to) if to else frame
    driver = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".shp": "ESRI Shapefile"}[path.suffix.lower()]
    frame.to_file(path, driver=driver, **options)
    return path


def labels(root: Path) -> np.ndarray:
    (case,) = ADAPTER.cases(str(root))
    scene = ADAPTER.read(case)
    return np.concatenate([scene.labels(row, 16) for row in range(0, 64, 16)])


def pair(root: Path) -> Path:
    for side in ("before", "after"):
        raster(root / side / "a.tif")
    return root


L_SHAPE = shapely.Polygon([(10, 5), (30, 5), (30, 12), (17, 12), (17, 40), (10, 40)])
RING = shapely.box(40, 40, 60, 60).difference(shapely.box(45, 45, 50, 55))
SLANTED = shapely.Polygon([(35.2, 3.1), (62.7, 9.9), (50.3, 30.4)])
SHAPES = (L_SHAPE, RING, SLANTED)
EXPECTED = rasterize(SHAPES, out_shape=(64, 64), dtype="uint8")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp", ".GPKG"])
def test_polygons_are_change_where_they_hold_the_centre_of_a_pixel(tmp_path: Path, suffix: str) -> None:
    path = save(pair(tmp_path) / f"label/a{suffix}", in_crs(*SHAPES))
    if suffix == ".geojson":
        assert "32632" in path.read_text()  # an older GeoJSON with a CRS
    assert np.array_equal(labels(tmp_path), EXPECTED)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:3035"])
def test_polygons_in_another_crs_are_projected(tmp_path: Path, suffix: str, crs: str) -> None:
    fine = [shapely.segmentize(shape, 0.5) for shape in SHAPES]  # whose sides stay straight on the grid
    save(pair(tmp_path) / f"label/a{suffix}", in_crs(*fine), to=crs)
    assert np.array_equal(labels(tmp_path), EXPECTED)
    (case,) = ADAPTER.cases(str(tmp_path))
    facts = ADAPTER.check(case, ADAPTER.read(case), None)
    assert facts["label"] == f"{100 * EXPECTED.mean():.4g} % changed, 0 % unknown, polygons projected from {crs}"
    assert "warnings" not in facts


def test_geojson_without_a_crs_is_in_longitude_and_latitude(tmp_path: Path) -> None:
    save(pair(tmp_path) / "label/a.geojson", in_crs(shapely.segmentize(L_SHAPE, 0.5)), to="EPSG:4326")
    content = json.loads((tmp_path / "label/a.geojson").read_text())
    del content["crs"]
    (tmp_path / "label/a.geojson").write_text(json.dumps(content))
    assert np.array_equal(labels(tmp_path), rasterize([L_SHAPE], out_shape=(64, 64), dtype="uint8"))


def test_a_polygon_far_larger_than_the_scene_is_everywhere(tmp_path: Path) -> None:
    save(pair(tmp_path) / "label/a.gpkg", [shapely.box(-20, 30, 40, 60)], crs="EPSG:4326")
    assert labels(tmp_path).all()


def test_no_polygon_means_no_change(tmp_path: Path) -> None:
    save(pair(tmp_path) / "label/a.gpkg", [], geometry_type="Polygon")
    assert not labels(tmp_path).any()
    (case,) = ADAPTER.cases(str(tmp_path))
    assert "warnings" not in ADAPTER.check(case, ADAPTER.read(case), None)


def test_polygons_elsewhere_are_warned_of(tmp_path: Path) -> None:
    save(pair(tmp_path) / "label/a.gpkg", in_crs(shapely.box(100, 0, 120, 10)))
    (case,) = ADAPTER.cases(str(tmp_path))
    facts = ADAPTER.check(case, ADAPTER.read(case), None)
    assert facts["label"] == "0 % changed, 0 % unknown"
    assert facts["warnings"] == (
        f"label: no polygon of {tmp_path}/label/a.gpkg is near the images; "
        "they span 501000 to 501200, 4.9999e+06 to 5e+06 in EPSG:32632"
    )


def test_points_lines_and_invalid_polygons(tmp_path: Path) -> None:
    bow_tie = shapely.Polygon([(10, 10), (20, 20), (20, 10), (10, 20)])
    mixed = [shapely.Point(3, 3), shapely.LineString([(0, 5), (60, 5)]), bow_tie, shapely.MultiPolygon([RING])]
    save(pair(tmp_path) / "label/a.gpkg", in_crs(*mixed), geometry_type="Unknown")
    expected = rasterize([shapely.make_valid(bow_tie), RING], out_shape=(64, 64), dtype="uint8")
    assert np.array_equal(labels(tmp_path), expected)


@pytest.mark.parametrize("longitude", [180.0, -180.0])
def test_polygons_on_either_side_of_the_date_line(tmp_path: Path, longitude: float) -> None:
    grid = Affine(0.001, 0, longitude - 0.032, 0, -0.001, -17)
    for side in ("before", "after"):
        raster(tmp_path / side / "a.tif", "EPSG:4326", grid)
    east, west = shapely.box(179.98, -17.03, 180, -17.02), shapely.box(-180, -17.03, -179.98, -17.02)
    save(tmp_path / "label/a.gpkg", [east, west], crs="EPSG:4326")
    expected = np.zeros((64, 64), np.uint8)
    expected[20:30, 12:52] = 1
    assert np.array_equal(labels(tmp_path), expected)
    for side in ("before", "after"):
        raster(tmp_path / side / "a.tif", "EPSG:32701", Affine(100, 0, 178_000, 0, -100, 8_118_500))
    assert labels(tmp_path).sum() == pytest.approx(4242 * 1106 / 100**2, rel=0.03)  # 0.04 x 0.01 degrees


def test_a_table_names_polygons(tmp_path: Path) -> None:
    raster(tmp_path / "one.tif"), raster(tmp_path / "two.tif")
    save(tmp_path / "change.geojson", in_crs(*SHAPES))
    (tmp_path / "pairs.csv").write_text("before,after,label\none.tif,two.tif,change.geojson\n")
    assert np.array_equal(labels(tmp_path / "pairs.csv"), EXPECTED)


def test_a_missing_vector_label_is_missed(tmp_path: Path) -> None:
    save(pair(tmp_path) / "label/a.gpkg", in_crs(*SHAPES))
    for side in ("before", "after"):
        raster(tmp_path / side / "b.tif")
    assert missing_partners(ADAPTER.cases(str(tmp_path))) == ["b: no label"]


def test_only_what_touches_a_window_is_read(tmp_path: Path) -> None:
    columns, rows = np.meshgrid(np.arange(200), np.arange(200))
    squares = shapely.box(columns, rows, columns + 0.9, rows + 0.9).ravel()
    for suffix in (".gpkg", ".shp", ".geojson"):
        layer = polygon_layer(str(save(tmp_path / f"many{suffix}", in_crs(*squares))))
        x, y = 500_000 + 10 * 50.95, 5_000_000 - 10 * 70.95
        assert len(layer.polygons((x, y - 19, x + 19, y))) == 4


# Files that cannot be used


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        polygon_layer(str(path)).polygons((0, 0, 1e7, 1e7))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_files_that_are_not_what_their_suffix_says(tmp_path: Path) -> None:
    for suffix in VECTORS:
        path = tmp_path / f"a{suffix}"
        for content in (b"", b"hello", b"<OGRVRTDataSource><OGRVRTLayer name='x'/></OGRVRTDataSource>", b"PK\x03\x04"):
            path.write_bytes(content)
            assert "file: found another format" in refused(path)
    (tmp_path / "a.geojson").write_text('{"a": "<OGRVRTDataSource/>"}')
    assert "file: found another format" in refused(tmp_path / "a.geojson")
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": [')
    assert "features: found" in refused(tmp_path / "a.geojson")
    assert "file: found no such file" in refused(tmp_path / "none.gpkg")
    os.mkfifo(tmp_path / "pipe.gpkg")
    assert "file: found a pipe or a device" in refused(tmp_path / "pipe.gpkg")


def test_layers_and_crs(tmp_path: Path) -> None:
    points = save(tmp_path / "points.gpkg", [shapely.Point(1, 1)])
    assert refused(points).startswith("layers of polygons: found none, expected one")
    both = save(tmp_path / "both.gpkg", in_crs(RING), layer="one")
    save(both, in_crs(RING), layer="two")
    assert refused(both).startswith("layers of polygons: found one, two, expected one; write one layer")
    shape = save(tmp_path / "shape.shp", in_crs(RING))
    shape.with_suffix(".prj").unlink()
    assert refused(shape) == "CRS: found none, expected one; assign it in a GIS: a shapefile has it in a .prj file"


def test_polygons_need_images_with_a_crs(tmp_path: Path) -> None:
    for side in ("before", "after"):
        raster(tmp_path / side / "a.tif", None)
    save(tmp_path / "label/a.gpkg", in_crs(RING))
    with pytest.raises(BadInput, match=r"a\.gpkg: label: found polygons, expected a raster, since .+ has no CRS"):
        labels(tmp_path)


def test_nothing_next_to_a_geopackage_is_opened(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gpkg", in_crs(RING))
    before = path.read_bytes()
    for ending in ("-wal", "-journal", "-shm"):
        (tmp_path / f"a.gpkg{ending}").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(600))
    assert len(polygon_layer(str(path)).polygons((5e5, 4.9e6, 6e5, 5e6))) == 1
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.gpkg", "a.gpkg-journal", "a.gpkg-shm", "a.gpkg-wal"]


def test_a_view_in_a_geopackage_is_not_evaluated(tmp_path: Path) -> None:
    path = save(tmp_path / "a.gpkg", in_crs(RING))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE a RENAME TO b")
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x AS fid, NULL AS geom FROM n"
        connection.execute(f"CREATE VIEW a AS {endless}")
    assert refused(path) == "layer a: found view, expected a table; save the layer to a new file"


def test_parts_of_a_shapefile_are_not_followed_elsewhere(tmp_path: Path) -> None:
    path = save(tmp_path / "in/a.shp", in_crs(RING))
    shutil.move(path.with_suffix(".dbf"), tmp_path / "a.dbf")
    path.with_suffix(".dbf").symlink_to(tmp_path / "a.dbf")
    with pytest.raises(BadInput, match=r"a\.dbf: side file: found a link or a pipe"):
        polygon_layer(str(path))


def test_a_shapefile_needs_no_table_and_no_index_elsewhere(tmp_path: Path) -> None:
    path = save(tmp_path / "a.shp", in_crs(RING))
    path.with_suffix(".dbf").unlink()
    assert len(polygon_layer(str(path)).polygons((5e5, 4.9e6, 6e5, 5e6))) == 1
    path.with_suffix(".shx").write_bytes(b"damaged")
    assert refused(path).startswith("features: found")
    assert "/" not in refused(path)


def test_geojson_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.geojson", in_crs(RING))
    monkeypatch.setattr(vectors, "LARGEST_JSON", 100)
    assert refused(path).endswith("expected at most 0 MB of GeoJSON; convert it to a GeoPackage")
    with pytest.raises(BadInput, match="polygons: found a remote file, expected a local one; download it"):
        polygon_layer("https://example.org/a.geojson")
