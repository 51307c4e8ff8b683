"""Change maps on disk, read back with the libraries that users have."""

import resource
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rio_cogeo import cog_validate

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.maps import LEVELS, NODATA, ChangeMap, Grid, ScoredStrip
from transect.data_adapters.change_detection.write import write_change_map

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def change_map(levels: np.ndarray, cuts: tuple[int, ...] = (), crs: CRS | None = UTM, **options: object) -> ChangeMap:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(levels)}), len(levels)]
    strips = (ScoredStrip(top, levels[top:end]) for top, end in pairwise(edges))
    transform = options.pop("transform", NORTH_UP)
    options = {"dates": ("2000-03-09", "2010-12-18"), **options}
    return ChangeMap(Grid(levels.shape[1], len(levels), transform, crs), strips, 0.5, **options)  # type: ignore[arg-type]


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random square changes over noise below the threshold, with a corner without data."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((height // 20 + 1, width // 20 + 1)) > 0.7
    levels = generator.integers(0, 99, (height, width)).astype(np.uint8)
    levels[np.kron(coarse, np.ones((20, 20), bool))[:height, :width]] = 160
    levels[: height // 4, : width // 4] = NODATA
    return levels


def geodetic_area(points: list[tuple[float, float]], crs: int) -> float:
    """Geodesic area in square metres of `points` in the EPSG `crs` on the WGS 84 ellipsoid."""
    lonlat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).itransform(points)
    return abs(pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*zip(*lonlat, strict=True))[0])


def test_mask_carries_classes_place_time_and_colours(tmp_path: Path) -> None:
    levels = blobs(700, 1100)
    write_change_map(change_map(levels, tags={"model": "demo"}), tmp_path)
    with rasterio.open(tmp_path / "mask.tif") as mask:
        np.testing.assert_array_equal(mask.read(1), np.where(levels == NODATA, NODATA, levels >= 100))
        assert (mask.crs, mask.transform, mask.nodata, mask.dtypes) == (UTM, NORTH_UP, 255, ("uint8",))
        assert mask.block_shapes == [(512, 512)]
        assert (mask.descriptions, mask.compression.name) == (("change",), "deflate")
        assert mask.tags() == {
            "AREA_OR_POINT": "Area", "TIFFTAG_DATETIME": "2010:12:18 00:00:00", "date_before": "2000-03-09",
            "date_after": "2010-12-18", "threshold": "0.5", "model": "demo",
        }  # fmt: skip
        colours = mask.colormap(1)
        assert colours[0] == (224, 224, 224, 255)
        assert colours[1] == (215, 48, 39, 255)
        assert colours[NODATA][3] == 0


def test_overviews_hold_no_value_between_the_classes(tmp_path: Path) -> None:
    write_change_map(change_map(levels := blobs(700, 1100)), tmp_path)
    share = ((levels >= 100) & (levels != NODATA)).mean()
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.overviews(1) == [2, 4]
    for level, shape in enumerate([(350, 550), (175, 275)]):
        with rasterio.open(tmp_path / "mask.tif", overview_level=level) as overview:
            small = overview.read(1)
            assert small.shape == shape
            assert set(np.unique(small)) == {0, 1, NODATA}
            assert (small == 1).mean() == pytest.approx(share, rel=0.03)


def test_a_raster_of_one_tile_has_no_overviews(tmp_path: Path) -> None:
    write_change_map(change_map(blobs(512, 500)), tmp_path)
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.overviews(1) == []


def test_score_is_written_when_asked_for_and_scales_to_a_probability(tmp_path: Path) -> None:
    levels = blobs(600, 100)
    write_change_map(change_map(levels), tmp_path)
    assert not (tmp_path / "score.tif").exists()
    (again := tmp_path / "again").mkdir()
    write_change_map(change_map(levels, write_score=True), again)
    with rasterio.open(again / "score.tif") as score:
        np.testing.assert_array_equal(score.read(1), levels)
        assert (score.scales, score.nodata, score.descriptions) == ((1 / LEVELS,), NODATA, ("score",))
    with rasterio.open(again / "score.tif", overview_level=0) as overview:
        assert overview.read(1, masked=True).mean() == pytest.approx(levels[levels != NODATA].mean(), rel=0.01)


@pytest.mark.parametrize("shape", [(700, 1100), (30, 40)])
def test_rasters_are_cloud_optimized(tmp_path: Path, shape: tuple[int, int]) -> None:
    levels = blobs(*shape)
    spread = np.where(levels == NODATA, NODATA, 3).astype(np.uint8)
    prediction = replace(change_map(levels, write_score=True), blocks=[ScoredStrip(0, levels, spread=spread)])
    write_change_map(replace(prediction, write_spread=True), tmp_path)
    for name in ("mask.tif", "score.tif", "spread.tif"):
        assert cog_validate(tmp_path / name, strict=True) == (True, [], [])
    with rasterio.open(tmp_path / "score.tif") as score:
        assert score.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == "2"
    assert {path.name for path in tmp_path.iterdir()} >= {"mask.tif", "score.tif", "spread.tif", "changes.gpkg"}
    assert not list(tmp_path.glob(".*"))


@given(st.lists(st.integers(1, 1199), max_size=6))
@settings(max_examples=6, deadline=None)
def test_the_same_map_makes_the_same_bytes_however_its_strips_are_cut(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    levels = blobs(1200, 600)
    whole, cut = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("cut")
    facts = [
        write_change_map(change_map(levels, tuple(cuts if folder == cut else []), write_score=True), folder)
        for folder in (whole, cut)
    ]
    assert facts[0] == facts[1]
    for name in ("mask.tif", "score.tif"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    assert geopandas.read_file(whole / "changes.gpkg").equals(geopandas.read_file(cut / "changes.gpkg"))


def test_polygons_carry_ground_area_score_and_dates(tmp_path: Path) -> None:
    levels = np.full((600, 300), 20, np.uint8)
    levels[500:530, 100:140] = 150  # across the boundary of two rows of tiles
    levels[505:515, 110:120] = 90  # with a hole
    levels[510, 112] = 200  # and an island in the hole
    facts = write_change_map(change_map(levels, (7, 509)), tmp_path)
    layer = geopandas.read_file(tmp_path / "changes.gpkg", layer="changes")
    assert pyogrio.list_layers(tmp_path / "changes.gpkg").tolist() == [["changes", "Polygon"]]
    assert layer.crs == pyproj.CRS(32633)
    assert layer["id"].tolist() == [1, 2]
    assert layer["pixels"].tolist() == [1, 1100]
    assert layer["mean_score"].tolist() == [1.0, 0.75]
    assert layer.geometry.is_valid.all()
    outer, hole = (
        shapely.box(501_000, 4_994_700, 501_400, 4_995_000),
        shapely.box(501_100, 4_994_850, 501_200, 4_994_950),
    )
    assert layer.geometry[1].equals(outer.difference(hole))
    expected = geodetic_area(list(outer.exterior.coords), 32633) - geodetic_area(list(hole.exterior.coords), 32633)
    assert layer["area_m2"][1] == pytest.approx(expected, rel=1e-7)
    assert layer["area_m2"][1] == pytest.approx(110_000 / 0.9996**2, rel=1e-4)
    assert {str(day)[:10] for day in layer["date_before"]} == {"2000-03-09"}
    assert {str(day)[:10] for day in layer["date_after"]} == {"2010-12-18"}
    assert facts == {
        "changed_pixels": 1101, "valid_pixels": 180_000, "changed_percent": pytest.approx(100 * 1101 / 180_000),
        "polygons": 2, "changed_area_m2": pytest.approx(layer["area_m2"].sum(), rel=1e-12),
        "before": "2000-03-09", "after": "2010-12-18",
    }  # fmt: skip


def test_probabilities_are_written_as_a_raster_and_as_the_mean_of_each_polygon(tmp_path: Path) -> None:
    levels = np.full((700, 300), 20, np.uint8)
    levels[500:520, 100:110] = 150  # across the boundary of two rows of tiles
    levels[500:505, 100:110] = 200
    levels[5:9, 3:6] = NODATA
    levels[50, 60] = 120
    table = np.full(256, np.nan)
    table[: LEVELS + 1] = (np.arange(LEVELS + 1) / LEVELS) ** 2
    facts = write_change_map(change_map(levels, (7, 509), write_score=True, probabilities=table), tmp_path)
    with rasterio.open(tmp_path / "probability.tif") as file:
        values = file.read(1, masked=True) * file.scales[0]
        assert (file.nodata, file.descriptions) == (NODATA, ("probability",))
    np.testing.assert_array_equal(values.mask, levels == NODATA)
    np.testing.assert_allclose(values.compressed(), table[levels[levels != NODATA]], atol=0.0025)
    layer = geopandas.read_file(tmp_path / "changes.gpkg")
    assert list(layer.columns)[3:5] == ["mean_score", "mean_probability"]
    assert layer["mean_probability"].tolist() == pytest.approx([0.36, 0.25 * 1 + 0.75 * 0.75**2], abs=1e-6)
    assert facts["polygons"] == 2
    assert cog_validate(tmp_path / "probability.tif", strict=True) == (True, [], [])


def test_a_map_without_change_has_the_field_of_probabilities(tmp_path: Path) -> None:
    write_change_map(change_map(np.zeros((20, 30), np.uint8), probabilities=np.linspace(0, 1, 256)), tmp_path)
    assert "mean_probability" in pyogrio.read_info(tmp_path / "changes.gpkg", layer="changes")["fields"]
    assert not (tmp_path / "probability.tif").exists()


def band_of_latitude(south: float, north: float, degrees: float) -> float:
    """Square metres between two parallels over `degrees` of longitude on WGS 84 (Snyder 1987, equation 3-12)."""
    ellipsoid = pyproj.Geod(ellps="WGS84")
    e = np.sqrt(ellipsoid.es)

    def authalic(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        return (1 - e**2) * (s / (1 - (e * s) ** 2) - np.log((1 - e * s) / (1 + e * s)) / (2 * e))

    return float(ellipsoid.a**2 * np.radians(degrees) * (authalic(north) - authalic(south)) / 2)


def test_areas_in_degrees_follow_the_parallels(tmp_path: Path) -> None:
    levels = np.zeros((200, 400), np.uint8)
    levels[100:140, 50:350] = 200  # 3 by 0.4 degrees at 60 degrees north
    facts = write_change_map(
        change_map(levels, crs=CRS.from_epsg(4326), transform=Affine(0.01, 0, 10, 0, -0.01, 61)), tmp_path
    )
    assert facts["changed_area_m2"] == pytest.approx(band_of_latitude(59.6, 60, 3), rel=1e-5)


def test_a_map_without_a_crs_has_polygons_without_area(tmp_path: Path) -> None:
    levels = np.zeros((30, 40), np.uint8)
    levels[10:20, 5:15] = 120
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = write_change_map(
            change_map(levels, crs=None, transform=Affine.identity(), dates=(None, None)), tmp_path
        )
    layer = geopandas.read_file(tmp_path / "changes.gpkg")
    assert "changed_area_m2" not in facts
    assert layer.crs is None
    assert layer.geometry[0].equals(shapely.box(5, 10, 15, 20))
    assert layer[["area_m2", "date_before", "date_after"]].isna().all(axis=None)


def test_a_map_without_change_has_an_empty_layer_with_every_field(tmp_path: Path) -> None:
    facts = write_change_map(change_map(np.full((20, 30), NODATA, np.uint8)), tmp_path)
    information = pyogrio.read_info(tmp_path / "changes.gpkg", layer="changes")
    assert information["features"] == 0
    assert list(information["fields"]) == ["id", "area_m2", "pixels", "mean_score", "date_before", "date_after"]
    assert (facts["changed_pixels"], facts["valid_pixels"], facts["changed_percent"]) == (0, 0, 0)


def test_polygons_beyond_one_chunk_are_all_there_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transect.data_adapters.change_detection.geopackage.CHUNK", 7)
    levels = np.zeros((1500, 8), np.uint8)
    levels[::20, 3] = 200
    assert write_change_map(change_map(levels), tmp_path)["polygons"] == 75
    layer = geopandas.read_file(tmp_path / "changes.gpkg")
    assert layer["id"].tolist() == list(range(1, 76))
    assert layer.geometry.centroid.y.is_monotonic_decreasing


def test_an_error_of_the_model_passes_through_unchanged(tmp_path: Path) -> None:
    def strips() -> Iterator[tuple[int, np.ndarray]]:
        yield 0, np.zeros((10, 20), np.uint8)
        raise BadInput("before.tif", "band 2", "a damaged tile", "readable data")

    with pytest.raises(BadInput, match=r"before\.tif: band 2"):
        write_change_map(ChangeMap(Grid(20, 30, NORTH_UP, UTM), strips(), 0.5), tmp_path)


@pytest.mark.parametrize("rows", [[(0, 10)], [(0, 10), (20, 10)], [(0, 31)]])
def test_strips_that_are_not_the_grid_are_refused(tmp_path: Path, rows: list[tuple[int, int]]) -> None:
    strips = (ScoredStrip(row, np.zeros((height, 20), np.uint8)) for row, height in rows)
    with pytest.raises(ValueError, match="strips of a change map"):
        write_change_map(ChangeMap(Grid(20, 30, NORTH_UP, UTM), strips, 0.5), tmp_path)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Make every write beyond `size` bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_is_an_error_wherever_it_happens(tmp_path: Path) -> None:
    levels = np.random.default_rng(1).choice(np.uint8([3, 4, 5, NODATA]), (1100, 1100))  # rasters above the GeoPackage
    levels[::90, ::90] = 200
    (complete := tmp_path / "complete").mkdir()
    expected = write_change_map(change_map(levels, write_score=True), complete)
    sizes = {path.name: path.stat().st_size for path in complete.iterdir()}
    limits = {int(size * part) for size in sizes.values() for part in (0.01, 0.7, 0.8, 0.95)}
    refused = 0
    for limit in sorted({*limits, *(size - 1 for size in sizes.values())}):
        (folder := tmp_path / str(limit)).mkdir()
        facts, message = None, ""
        with files_of_at_most(limit):
            try:
                facts = write_change_map(change_map(levels, write_score=True), folder)
            except OSError as error:
                message = str(error)
        if facts is None:
            refused += 1
            assert message.split(":")[0] in {f"{folder}/{name}" for name in sizes}
            assert "\n" not in message
        else:  # accepted results are complete
            assert facts == expected
            assert all(
                (folder / tif).read_bytes() == (complete / tif).read_bytes() for tif in ("mask.tif", "score.tif")
            )
            assert len(geopandas.read_file(folder / "changes.gpkg")) == facts["polygons"]
    assert refused >= 15
