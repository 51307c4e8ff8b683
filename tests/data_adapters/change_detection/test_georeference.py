"""Rasters that ground control points or rational polynomials place on the ground."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.warp import calculate_default_transform, reproject

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.scene import Scene

GREY = ReadConfig(bands=[1])
Place = Callable[[float, float], tuple[float, float]]
"""The longitude and latitude of a column and row."""

HEIGHT, WIDTH, DEGREES = 128, 200, 1e-4


def plain(column: float, row: float) -> tuple[float, float]:
    return 10 + column * DEGREES, 50 - row * DEGREES


def curved(column: float, row: float) -> tuple[float, float]:
    bent = (column / 300) ** 2
    return 10 + column * DEGREES + 3e-3 * bent, 50 - row * DEGREES + 1e-3 * bent


def points(place: Place, first: int, columns: int = 6, rows: int = 3) -> list[GroundControlPoint]:
    return [
        GroundControlPoint(row=row, col=column, x=place(column + first, row)[0], y=place(column + first, row)[1])
        for row in np.linspace(0, HEIGHT, rows)
        for column in np.linspace(0, WIDTH, columns)
    ]


def ground() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :300]
    return (100 + 50 * np.sin(columns / 15) * np.cos(rows / 11)).astype(np.uint8)


def write(path: Path, first: int = 0, gcps: list[GroundControlPoint] | None = None, **options: object) -> str:
    """The ground from column `first` on."""
    profile = {"driver": "GTiff", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "uint8", **options}
    placed = {"gcps": gcps, "crs": "EPSG:4326"} if gcps else {}
    with rasterio.open(path, "w", **profile, **placed) as raster:
        raster.write(ground()[:, first : first + WIDTH], 1)
    return str(path)


def pair(tmp_path: Path, place: Place, first: int) -> Scene:
    before = write(tmp_path / "a.tif", 0, points(place, 0))
    return Scene.open([before], [write(tmp_path / "b.tif", first, points(place, first))], GREY)


def test_points_on_a_plane_place_the_pixels_as_they_are(tmp_path: Path) -> None:
    scene = pair(tmp_path, plain, 20)
    assert (scene.grid.width, scene.grid.height) == (WIDTH - 20, HEIGHT)
    assert scene.grid.crs == rasterio.CRS.from_epsg(4326)
    assert scene.grid.transform * (0, 0) == pytest.approx(plain(20, 0))
    window = scene.window(0, 0, HEIGHT, WIDTH - 20)
    assert window.valid.all()
    assert np.array_equal(window.before[0], ground()[:, 20:WIDTH])
    assert np.array_equal(window.after, window.before)


def test_other_points_warp_the_raster(tmp_path: Path) -> None:
    scene = pair(tmp_path, curved, 30)
    window = scene.window(0, 0, scene.grid.height, scene.grid.width)
    assert 0.9 < window.valid.mean() < 0.99  # the curved edges are masked
    assert np.abs(window.before.astype(int) - window.after)[:, window.valid].max() <= 2
    # The pixel at a point has the value that the raster has there.
    column, row = 100, 60
    x, y = ~scene.grid.transform * curved(column, row)
    assert abs(int(window.after[0, int(y), int(x)]) - int(ground()[row, column])) <= 4
    strips = np.concatenate([strip.before for strip in scene.strips()], axis=1)
    assert np.array_equal(strips, window.before)


def test_the_nodata_of_a_warped_raster_is_not_mixed_in(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", 0, points(curved, 0))
    with rasterio.open(path, "r+") as raster:
        raster.write(np.zeros((1, 40, 60), np.uint8), window=rasterio.windows.Window(50, 30, 60, 40))
    config = ReadConfig(bands=[1], nodata=0)
    with Raster([path], config) as raster:
        values, valid = raster.read(0, 0, raster.grid.height, raster.grid.width)
    assert values[0][valid].min() >= ground().min()
    assert 0.8 < valid.mean() < 0.88  # 0.95 without the hole


@pytest.mark.parametrize(
    ("chosen", "found"), [([0, 1], "found 2"), ([0, 1, 2, 3], "found 4 on a line"), ([0], "found 1")]
)
def test_too_few_points_are_refused(tmp_path: Path, chosen: list[int], found: str) -> None:
    few = [points(plain, 0)[index] for index in chosen]
    with pytest.raises(BadInput, match=rf"a\.tif: GCPs: {found}, expected at least 3 that are not on a line"):
        Raster([write(tmp_path / "a.tif", 0, few)], GREY)


def test_points_in_a_vrt_and_in_a_side_file_are_read(tmp_path: Path) -> None:
    source = write(tmp_path / "a.png", driver="PNG")
    listed = "".join(
        f'<GCP Id="{index}" Pixel="{point.col}" Line="{point.row}" X="{point.x}" Y="{point.y}"/>'
        for index, point in enumerate(points(plain, 0))
    )
    gcps = f'<GCPList Projection="EPSG:4326" dataAxisToSRSAxisMapping="2,1">{listed}</GCPList>'
    vrt = tmp_path / "b.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}">{gcps}<VRTRasterBand dataType="Byte" band="1">'
        '<SimpleSource><SourceFilename relativeToVRT="1">a.png</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with Raster([str(vrt)], GREY) as raster:
        assert raster.grid.transform * (0, 0) == pytest.approx(plain(0, 0))
        assert raster.grid.crs == rasterio.CRS.from_epsg(4326)
    (tmp_path / "a.png.aux.xml").write_text(f"<PAMDataset>{gcps}</PAMDataset>")
    with Raster([source], GREY) as raster:
        assert raster.grid.transform * (WIDTH, 0) == pytest.approx(plain(WIDTH, 0))


def rational() -> RPC:
    """Rational polynomials of `plain`."""
    one, column, row = [1.0] + [0.0] * 19, [0.0, 1.0] + [0.0] * 18, [0.0, 0.0, 1.0] + [0.0] * 17
    middle = plain(WIDTH / 2, HEIGHT / 2)
    return RPC(
        height_off=0, height_scale=1, lat_off=middle[1], lat_scale=-HEIGHT / 2 * DEGREES, long_off=middle[0],
        long_scale=WIDTH / 2 * DEGREES, line_off=HEIGHT / 2, line_scale=HEIGHT / 2, samp_off=WIDTH / 2,
        samp_scale=WIDTH / 2, line_num_coeff=row, line_den_coeff=one, samp_num_coeff=column, samp_den_coeff=one,
    )  # fmt: skip


def test_rational_polynomials_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", rpcs=rational())
    with pytest.raises(
        BadInput, match=rf"georeference: found RPCs, .+; warp it first: gdalwarp -rpc {path} warped.tif"
    ):
        Raster([path], GREY)
    # What gdalwarp does, which comes with GDAL but not with rasterio.
    with rasterio.open(path) as raster:
        place = {"src_crs": "EPSG:4326", "dst_crs": "EPSG:4326"}
        transform, width, height = calculate_default_transform(**place, width=WIDTH, height=HEIGHT, rpcs=raster.rpcs)
        values = np.zeros((height, width), np.uint8)
        reproject(raster.read(1), values, rpcs=raster.rpcs, dst_transform=transform, **place)
    profile = {"width": width, "height": height, "crs": "EPSG:4326", "transform": transform}
    with rasterio.open(tmp_path / "warped.tif", "w", driver="GTiff", count=1, dtype="uint8", **profile) as raster:
        raster.write(values, 1)
    with Raster([str(tmp_path / "warped.tif")], GREY) as raster:
        assert raster.grid.transform * (0, 0) == pytest.approx(plain(0, 0), abs=2 * DEGREES)


@pytest.mark.parametrize("name", ["a_RPC.TXT", "a.rpb"])
def test_rational_polynomials_in_a_side_file_are_not_overlooked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.tif")
    (tmp_path / name).write_text("LINE_OFF: 64\n")
    with pytest.raises(BadInput, match="georeference: found RPCs"):
        Raster([path], GREY)


def test_a_transform_is_preferred_to_rational_polynomials(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", rpcs=rational(), crs="EPSG:4326", transform=rasterio.Affine(1, 0, 5, 0, -1, 6))
    with Raster([path], GREY) as raster:
        assert raster.grid.transform * (0, 0) == (5, 6)
