"""The STAC item of a result: valid by pystac and the schema of the specification, with the outline in WGS 84."""

import json
from pathlib import Path

import numpy as np
import pyproj
import pystac
import pytest
import shapely
from affine import Affine
from pystac.validation.local_validator import LocalValidator
from rasterio.crs import CRS

from transect.data_adapters.change_detection.config import PolygonsConfig
from transect.data_adapters.change_detection.maps import ChangeMap, Grid, ScoredStrip
from transect.data_adapters.change_detection.stac_item import write_item
from transect.data_adapters.change_detection.write import write_change_map

UTM = Affine(30, 0, 500_000, 0, -30, 5_000_000)
DATES = ("2000-03-09", "2010-12-18")


def item(
    folder: Path,
    crs: int | str | None = 32633,
    transform: Affine = UTM,
    dates: tuple[str | None, str | None] = DATES,
    size: tuple[int, int] = (100, 80),
) -> dict:
    """The item of a map of `size` (width, height), checked by pystac."""
    width, height = size
    grid = Grid(width, height, transform, CRS.from_user_input(crs) if crs else None)
    write_item(folder, "a pair", ChangeMap(grid, [], 0.5, dates))
    content = json.loads((folder / "item.json").read_text())
    with pytest.warns(DeprecationWarning, match="LocalValidator"):
        validator = LocalValidator().item_validator()
    assert [error.message for error in validator.iter_errors(content)] == []
    read = pystac.Item.from_dict(content)
    assert read.to_dict(include_self_link=False, transform_hrefs=False)["properties"] == content["properties"]
    if content["geometry"] is None:
        return content
    geometry = shapely.geometry.shape(content["geometry"])
    assert geometry.is_valid
    for part in getattr(geometry, "geoms", [geometry]):
        assert part.exterior.is_ccw
        assert -180 <= part.bounds[0] <= part.bounds[2] <= 180
    return content


def test_an_item_names_place_time_and_files(tmp_path: Path) -> None:
    levels = np.full((80, 100), 150, np.uint8)
    grid = Grid(100, 80, UTM, CRS.from_epsg(32633))
    write_change_map(ChangeMap(grid, [ScoredStrip(0, levels)], 0.5, DATES, write_score=True), tmp_path)
    found = item(tmp_path)
    assert (found["id"], found["stac_version"]) == ("a pair", "1.1.0")
    assert found["properties"] == {
        "datetime": None, "start_datetime": "2000-03-09T00:00:00Z", "end_datetime": "2010-12-18T00:00:00Z",
        "proj:code": "EPSG:32633", "proj:shape": [80, 100], "proj:transform": [30, 0, 500_000, 0, -30, 5_000_000],
    }  # fmt: skip
    assets = found["assets"]
    assert set(assets) == {"mask", "score", "changes"}
    for asset in assets.values():
        assert (tmp_path / asset["href"]).is_file()
        assert asset["roles"] == ["data"]
    assert assets["mask"]["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
    assert assets["changes"]["type"] == "application/geopackage+sqlite3"
    assert (assets["score"]["raster:scale"], assets["score"]["nodata"]) == (0.005, 255)
    classes = {
        entry["value"]: (entry["name"], entry["color_hint"]) for entry in assets["mask"]["classification:classes"]
    }
    assert classes[1] == ("changed", "D73027")
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    corners = [to_degrees.transform(x, y) for x in (500_000, 503_000) for y in (4_997_600, 5_000_000)]
    west, south, east, north = found["bbox"]
    assert (west, east) == pytest.approx((min(x for x, _ in corners), max(x for x, _ in corners)), abs=1e-6)
    assert (south, north) == pytest.approx((min(y for _, y in corners), max(y for _, y in corners)), abs=1e-6)
    outline = shapely.geometry.shape(found["geometry"])
    assert all(outline.distance(shapely.Point(corner)) < 1e-7 for corner in corners)


@pytest.mark.parametrize(
    ("crs", "transform", "west", "east"),
    [
        (4326, Affine(0.01, 0, 179.5, 0, -0.01, 10), 179.5, -179.5),
        (4326, Affine(0.01, 0, -180.25, 0, -0.01, 10), 179.75, -179.25),
        (32601, Affine(3000, 0, 166_000 - 150_000, 0, -3000, 300_000), None, None),
    ],
)
def test_a_place_across_the_date_line_is_cut_there(
    tmp_path: Path, crs: int, transform: Affine, west: float | None, east: float | None
) -> None:
    found = item(tmp_path, crs, transform)
    outline = shapely.geometry.shape(found["geometry"])
    assert found["geometry"]["type"] == "MultiPolygon"
    assert len(outline.geoms) == 2
    assert found["bbox"][0] > 178 > -177 > found["bbox"][2]
    if west is not None:
        assert (found["bbox"][0], found["bbox"][2]) == pytest.approx((west, east))
        assert outline.area == pytest.approx(1 * 0.8, rel=1e-6)


def test_a_place_around_a_pole_holds_the_pole(tmp_path: Path) -> None:
    found = item(tmp_path, 3031, Affine(20_000, 0, -1_000_000, 0, -20_000, 800_000))
    outline = shapely.geometry.shape(found["geometry"])
    assert (found["bbox"][0], found["bbox"][1], found["bbox"][2]) == (-180, -90, 180)
    assert outline.buffer(1e-6).covers(shapely.box(-180, -90, 180, -83))
    assert not outline.intersects(shapely.Point(10, -70))


def test_the_whole_globe_is_one_box(tmp_path: Path) -> None:
    found = item(tmp_path, 4326, Affine(3.6, 0, -180, 0, -2.25, 90))
    assert found["bbox"] == [-180, -90, 180, 90]
    assert shapely.geometry.shape(found["geometry"]).area == pytest.approx(360 * 180)


def test_times_are_utc_in_order_and_one_alone_is_the_time(tmp_path: Path) -> None:
    times = item(tmp_path, dates=("2010-12-18T10:00:00+02:00", "2000-03-09"))["properties"]
    assert (times["start_datetime"], times["end_datetime"]) == ("2000-03-09T00:00:00Z", "2010-12-18T08:00:00Z")
    assert item(tmp_path, dates=(None, "2000-03-09"))["properties"]["datetime"] == "2000-03-09T00:00:00Z"


def test_a_crs_without_a_code_is_spelled_out(tmp_path: Path) -> None:
    laea = "+proj=laea +lat_0=47.3 +lon_0=8.1 +ellps=GRS80 +units=m"
    properties = item(tmp_path, laea, Affine(30, 0, 0, 0, -30, 0))["properties"]
    assert "proj:code" not in properties
    assert pyproj.CRS(properties["proj:wkt2"]) == pyproj.CRS(laea)


def test_there_is_no_item_without_a_place_or_a_time(tmp_path: Path) -> None:
    for crs, dates in ((None, DATES), (32633, (None, None))):
        grid = Grid(10, 10, UTM, CRS.from_epsg(crs) if crs else None)
        write_item(tmp_path, "a pair", ChangeMap(grid, [], 0.5, dates))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ('LOCAL_CS["site",UNIT["metre",1]]', UTM),
        ("+proj=geos +h=35785831 +lon_0=0", Affine(120_000, 0, -6_000_000, 0, -150_000, 6_000_000)),
    ],
    ids=["local", "full disk"],
)
def test_an_outline_that_is_not_on_the_earth_is_null(tmp_path: Path, crs: str, transform: Affine) -> None:
    levels = np.zeros((80, 100), np.uint8)
    levels[:3, :3] = levels[40:50, 40:50] = 150
    grid = Grid(100, 80, transform, CRS.from_user_input(crs))
    write_change_map(ChangeMap(grid, [ScoredStrip(0, levels)], 0.5, DATES), tmp_path, PolygonsConfig(simplify_m=1))
    found = item(tmp_path, crs, transform)
    assert found["geometry"] is None
    assert "bbox" not in found
