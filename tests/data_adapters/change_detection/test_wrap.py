"""Pairs across the date line, in CRSs that write its longitudes differently."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from transect.data_adapters.change_detection.align import Alignment
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.geopackage import geodesic_areas
from transect.data_adapters.change_detection.maps import Grid
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.change_detection.wrap import recentred, turn_of

GREY = ReadConfig(bands=[1])
TURN = 2 * np.pi * 6378137


def around_fiji(crs: str, pixel: float, turns: float = 0) -> tuple[str, Affine]:
    """The grid of 300 x 300 pixels with its centre at 180 degrees, 17.145 degrees south; x is moved by `turns`."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(180, -17.145)
    return crs, Affine(pixel, 0, x + turns - 150 * pixel, 0, -pixel, y + 150 * pixel)


FIJI = {
    "UTM": around_fiji("EPSG:32701", 53),
    "UTM of the zone to the west": around_fiji("EPSG:32760", 53),
    "degrees to the east": around_fiji("EPSG:4326", 0.0005),
    "degrees to the west": around_fiji("EPSG:4326", 0.0005, -360),
    "degrees of another datum": around_fiji("EPSG:4269", 0.0005, -360),
    "web Mercator to the east": around_fiji("EPSG:3857", 55),
    "web Mercator to the west": around_fiji("EPSG:3857", 55, -TURN),
    "Mercator": around_fiji("EPSG:3395", 55),
    "Mercator of the Pacific": around_fiji("EPSG:3832", 55),
}


def ground(crs: str, transform: Affine, height: int, width: int) -> np.ndarray:
    """A smooth function of the place, which repeats after a turn of longitude, uint8 (1, height, width)."""
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = transform * (columns, rows)
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(x, y)
    value = 120 + 60 * np.sin(np.radians(longitude) * 1000) + 60 * np.cos(np.radians(latitude) * 1000)
    return value.astype(np.uint8)[None]


def write(path: Path, values: np.ndarray, crs: str, transform: Affine) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[2], height=values.shape[1], count=1, dtype="uint8", crs=crs,
        transform=transform,
    ) as raster:  # fmt: skip
        raster.write(values)
    return str(path)


def scene(tmp_path: Path, before: tuple[str, Affine], after: tuple[str, Affine], side: int = 300) -> Scene:
    """Rasters of `side` pixels of the same ground; the second has a patch of 20 x 20 bright pixels from (140, 145)."""
    first = write(tmp_path / "before.tif", ground(*before, side, side), *before)
    painted = ground(*after, side, side)
    painted[:, 140:160, 145:165] = 255
    return Scene.open([first], [write(tmp_path / "after.tif", painted, *after)], GREY)


@pytest.mark.parametrize(("before", "after"), permutations(FIJI, 2))
def test_the_date_line_cuts_nothing(tmp_path: Path, before: str, after: str) -> None:
    pair = scene(tmp_path, FIJI[before], FIJI[after])
    assert pair.grid.width > 250
    assert pair.grid.height > 250
    read = pair.window(0, 0, pair.grid.height, pair.grid.width)
    assert read.valid.mean() > 0.9
    assert read.valid[20:-20, 20:-20].all()
    corner = ~FIJI[after][1] * (pair.grid.transform.c, pair.grid.transform.f)
    patch = np.zeros(read.valid.shape, bool)
    patch[140 - round(corner[1]) :][:20, 145 - round(corner[0]) :][:, :20] = True
    changed = np.abs(read.before[0].astype(int) - read.after[0]) > 5
    assert np.array_equal(changed & read.valid, patch & (read.before[0] < 250))
    assert (changed & patch).sum() == 400


@pytest.mark.parametrize("turned", ["before", "after"])
def test_a_raster_that_is_turned_by_90_degrees(tmp_path: Path, turned: str) -> None:
    quarter = Affine(0, 0.0005, 179.925, -0.0005, 0, -17.07)
    grids = {"before": FIJI["degrees to the west"], "after": FIJI["UTM"], turned: ("EPSG:4326", quarter)}
    pair = scene(tmp_path, grids["before"], grids["after"])
    read = pair.window(0, 0, pair.grid.height, pair.grid.width)
    assert read.valid[20:-20, 20:-20].all()
    assert ((np.abs(read.before[0].astype(int) - read.after[0]) > 5) & read.valid).sum() == 400
    # A window of the target is read from a window of the source, not from all of it.
    _, _, height, width = pair.alignments[0].source_window(100, 100, 20, 20)
    assert max(height, width) < 40


def test_rasters_of_the_same_pixels_are_not_resampled(tmp_path: Path) -> None:
    pair = scene(tmp_path, FIJI["degrees to the east"], FIJI["degrees to the west"])
    assert [alignment.shift for alignment in pair.alignments] == [(0, 0), (0, 0)]
    assert pair.grid.transform == FIJI["degrees to the west"][1]
    pair = scene(tmp_path, FIJI["web Mercator to the west"], FIJI["web Mercator to the east"])
    assert [alignment.shift for alignment in pair.alignments] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("left", [-180.0, 0.0, -90.0])
def test_a_raster_of_the_whole_world_has_no_edge(tmp_path: Path, left: float) -> None:
    world = ("EPSG:4326", Affine(1, 0, left, 0, -1, 90))
    near = ("EPSG:4326", Affine(0.25, 0, 165, 0, -0.25, 20))
    first = np.arange(180 * 360, dtype=np.uint16).reshape(1, 180, 360) // 360 + 1
    with rasterio.open(
        tmp_path / "world.tif", "w", driver="GTiff", width=360, height=180, count=1, dtype="uint16", crs=world[0],
        transform=world[1],
    ) as raster:  # fmt: skip
        raster.write(first)
    after = write(tmp_path / "after.tif", np.ones((1, 120, 120), np.uint8), *near)
    pair = Scene.open([str(tmp_path / "world.tif")], [after], GREY)
    assert (pair.grid.width, pair.grid.height) == (120, 120)
    read = pair.window(0, 0, 120, 120)
    assert read.valid.all()
    # A row of the world has one value, the number of its row from 1, and bilinear interpolation is linear in between.
    rows = (90 - (20 - 0.25 * (np.arange(120) + 0.5))) + 0.5
    assert np.abs(read.before[0] - rows[:, None]).max() <= 0.5


def test_the_seam_of_a_fine_raster_of_the_world_is_read_by_small_windows(tmp_path: Path) -> None:
    world = Grid(720_000, 360_000, Affine(0.0005, 0, -180, 0, -0.0005, 90), CRS.from_epsg(4326))
    for crs, transform in (FIJI["degrees to the east"], FIJI["UTM"]):
        alignment, read = Alignment(world, Grid(300, 30, transform, CRS.from_string(crs))), []

        def values(
            row: int, col: int, height: int, width: int, read: list[int] = read
        ) -> tuple[np.ndarray, np.ndarray]:
            read.append(height * width)
            return np.full((1, height, width), 7, np.uint8), np.ones((height, width), bool)

        resampled, valid = alignment.read(values, 0, 0, 30, 300)
        assert max(read) < 2 << 20
        assert sum(read) < 10 << 20
        assert valid.mean() > 0.98
        assert (resampled[0][valid] == 7).all()


@pytest.mark.parametrize("left", [-180.0, 0.0])
def test_a_scene_over_the_pole_is_whole(tmp_path: Path, left: float) -> None:
    cap = ("EPSG:4326", Affine(0.5, 0, left, 0, -0.25, -75))
    south = ("EPSG:3031", Affine(10_000, 0, -500_013, 0, -10_000, 500_017))
    write(tmp_path / "before.tif", ground(*cap, 60, 720) // 4 + 50, *cap)
    write(tmp_path / "after.tif", np.full((1, 100, 100), 9, np.uint8), *south)
    pair = Scene.open([str(tmp_path / "before.tif")], [str(tmp_path / "after.tif")], GREY)
    assert (pair.grid.width, pair.grid.height) == (100, 100)
    assert pair.window(0, 0, 100, 100).valid.mean() > 0.98


@pytest.mark.parametrize("name", FIJI)
def test_areas_across_the_date_line_are_those_elsewhere_on_the_parallel(name: str) -> None:
    crs, transform = CRS.from_string(FIJI[name][0]), FIJI[name][1]
    if turn := turn_of(crs):
        elsewhere = crs, Affine.translation(np.copysign(turn.length / 18, -transform.c), 0) * transform
    else:
        elsewhere = CRS.from_epsg(32710), transform  # another zone
    square = np.array([shapely.box(100, 100, 200, 200)])
    areas = [geodesic_areas(square, Grid(300, 300, place, of))[0] for of, place in ((crs, transform), elsewhere)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-9)
    assert 2.5e7 < areas[0] < 3.1e7


def test_turns_of_longitude() -> None:
    turns = {code: turn_of(CRS.from_string(code)) for code in ("EPSG:4326", "EPSG:4807", "EPSG:3857", "EPSG:32701")}
    assert turns["EPSG:4326"] == (360, 0)
    assert turns["EPSG:4807"] == (400, 0)  # grads
    assert turns["EPSG:3857"] == pytest.approx((TURN, 0))
    assert turns["EPSG:32701"] is None
    assert turn_of(CRS.from_string("EPSG:3031")) is None


def test_a_recentred_grid_is_at_the_same_places() -> None:
    for name in ("web Mercator to the east", "web Mercator to the west", "Mercator"):
        grid = Grid(300, 300, FIJI[name][1], CRS.from_string(FIJI[name][0]))
        moved = recentred(grid)
        places = [
            rasterio.warp.transform(of.crs, "EPSG:4326", *np.array([of.transform * (col, 7) for col in (3, 290)]).T)
            for of in (grid, moved)
        ]
        assert np.array(places[0]) == pytest.approx(np.array(places[1]), abs=1e-9)
    utm = Grid(300, 300, FIJI["UTM"][1], CRS.from_string("EPSG:32701"))
    assert recentred(utm) is utm


def test_a_scene_around_a_pole_keeps_its_area_on_a_grid_in_degrees(tmp_path: Path) -> None:
    """The outline of a square around the pole is at 77 to 81 degrees north, and its area reaches to 90."""
    polar, world = Affine(10_000, 0, -1e6, 0, -10_000, 1e6), Affine(1, 0, -180, 0, -1, 90)
    before = write(tmp_path / "before.tif", ground("EPSG:3413", polar, 200, 200), "EPSG:3413", polar)
    after = write(tmp_path / "after.tif", ground("EPSG:4326", world, 180, 360), "EPSG:4326", world)
    opened = Scene.open((before,), (after,), GREY)
    assert (opened.grid.width, opened.grid.height) == (360, 13)
    longitude, latitude = np.meshgrid(np.arange(-179.5, 180), 89.5 - np.arange(13))
    x, y = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True).transform(longitude, latitude)
    inside = (abs(x) < 0.95e6) & (abs(y) < 0.95e6)
    assert opened.window(0, 0, 13, 360).valid[inside].all()
