"""Files of a satellite product: channels, reflectance, fill, several resolutions and the quality band."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import bandfile
from transect.data_adapters.change_detection import scene as scene_module
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Product, Quality
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.scene import Scene

RNG = np.random.default_rng(0)


def write(path: Path, values: np.ndarray, metres: float = 10, east: float = 5e5, **options: object) -> str:
    profile = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype, "crs": "EPSG:32632", "transform": from_origin(east, 5e6, metres, metres), **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values)
    return str(path)


def read_all(paths: list[str], product: Product, config: ReadConfig | None = None) -> tuple[np.ndarray, np.ndarray]:
    with Raster(paths, config or ReadConfig(), product) as raster:
        return raster.read(0, 0, raster.grid.height, raster.grid.width)


@pytest.fixture
def stored() -> np.ndarray:
    return RNG.integers(1000, 9000, (4, 60, 40), dtype=np.uint16)


class TestChannels:
    def test_are_bands_of_one_file_or_files_in_their_order(self, tmp_path: Path, stored: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", stored)
        values, valid = read_all([path], Product("PlanetScope", ("nir", "red"), (4, 3)))
        assert np.array_equal(values, stored[[3, 2]])
        assert valid.all()
        files = [write(tmp_path / "b.tif", stored[:2]), write(tmp_path / "c.tif", stored[2:3])]
        assert np.array_equal(read_all(files, Product("", ("green", "blue"), (2, 1)))[0], stored[1:3])

    def test_are_reflectance_where_the_product_gives_the_scale(self, tmp_path: Path, stored: np.ndarray) -> None:
        stored[0, :10] = 0
        product = Product("Landsat", ("red", "nir"), (1, 2), scale=(2.75e-5, 1e-4), offset=(-0.2, -0.1), fill=0)
        path = write(tmp_path / "a.tif", stored)
        with Raster([path], ReadConfig(), product) as raster:
            assert raster.dtype == np.float32
            assert raster.row_bytes == 40 * 2 * 4
        values, valid = read_all([path], product)
        assert values.dtype == np.float32
        expected = stored[:2] * np.array([2.75e-5, 1e-4])[:, None, None] - np.array([0.2, 0.1])[:, None, None]
        assert np.abs(values - expected).max() < 1e-6
        assert np.array_equal(valid, np.arange(60)[:, None] >= np.full((1, 40), 10))

    def test_without_a_fill_are_missing_like_those_of_other_rasters(self, tmp_path: Path, stored: np.ndarray) -> None:
        stored[0, :10] = 7
        path = write(tmp_path / "a.tif", stored, nodata=7)
        assert read_all([path], Product("", ("a", "b"), (1, 2)))[1].all()

    def test_are_missing_where_any_has_the_fill_or_what_a_file_declares(
        self, tmp_path: Path, stored: np.ndarray
    ) -> None:
        stored[0, 5], stored[1, 7] = 0, 65535
        files = [write(tmp_path / "a.tif", stored[:1]), write(tmp_path / "b.tif", stored[1:2], nodata=65535)]
        valid = read_all(files, Product("Landsat", ("red", "nir"), (1, 1), fill=0))[1]
        assert np.flatnonzero(~valid.all(axis=1)).tolist() == [5, 7]


class TestResolutions:
    """The first channel has pixels of 20 m, the second of 10 m."""

    PRODUCT = Product("Sentinel-2", ("swir1", "red"), (1, 1), fill=0)

    def planes(self) -> tuple[np.ndarray, np.ndarray]:
        """The same linear function of position with pixels of 20 m and of 10 m."""
        rows, columns = np.mgrid[:60, :40] + 0.5
        fine = 40 * rows + 20 * columns + 1000
        coarse = fine.reshape(30, 2, 20, 2).mean(axis=(1, 3))
        return coarse[None].astype(np.uint16), fine[None].astype(np.uint16)

    def files(self, tmp_path: Path, coarse: np.ndarray, fine: np.ndarray, **options: object) -> list[str]:
        return [write(tmp_path / "b11.tif", coarse, 20, **options), write(tmp_path / "b04.tif", fine, **options)]

    def test_come_to_the_finest_grid_bilinearly(self, tmp_path: Path) -> None:
        files = self.files(tmp_path, *self.planes())
        with Raster(files, ReadConfig(), self.PRODUCT) as raster:
            assert (raster.grid.width, raster.grid.height, raster.grid.transform.a) == (40, 60, 10)
        values, valid = read_all(files, self.PRODUCT)
        assert valid.all()
        assert np.array_equal(values[1:], self.planes()[1])
        inner = values.astype(int)[:, 1:-1, 1:-1]
        assert np.abs(inner[0] - inner[1]).max() <= 1

    def test_lose_the_pixels_that_fill_contributes_to(self, tmp_path: Path) -> None:
        coarse, fine = self.planes()
        coarse[0, 10, 10] = 0
        values, valid = read_all(self.files(tmp_path, coarse, fine), self.PRODUCT)
        lost = np.argwhere(~valid)
        assert lost.min(axis=0).tolist() == [19, 19]
        assert lost.max(axis=0).tolist() == [22, 22]
        assert len(lost) == 16
        inner = values.astype(int)[:, 1:-1, 1:-1][:, valid[1:-1, 1:-1]]
        assert np.abs(inner[0] - inner[1]).max() <= 1

    @pytest.mark.parametrize("options", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
    def test_give_the_same_pixels_in_strips_and_windows(
        self, tmp_path: Path, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scene_module, "STRIP_BYTES", 40 * 8 * 2 * 17)
        coarse = RNG.integers(1, 9000, (1, 30, 20), dtype=np.uint16)
        fine = RNG.integers(1, 9000, (1, 60, 40), dtype=np.uint16)
        coarse[0, 3:5, 4], fine[0, 40:42] = 0, 0
        scl = RNG.choice([4, 8], (1, 30, 20)).astype(np.uint8)
        quality = Quality(write(tmp_path / "scl.tif", scl, 20), "scl")
        product = Product(*("S2", ("a", "b"), (1, 1), (1e-4, 1e-4), (0, 0), 0), quality=quality)
        files = self.files(tmp_path, coarse, fine, **options)
        scene = Scene.open(files, files, ReadConfig(mask=["clouds"]), products=(product, product))
        values, valid = read_all(files, product, ReadConfig(mask=["clouds"]))
        strips = list(scene.strips())
        assert len(strips) > 3
        assert np.array_equal(np.concatenate([strip.valid for strip in strips]), valid)
        assert np.array_equal(np.concatenate([strip.after for strip in strips], axis=1), np.where(valid, values, 0))
        for row, col, height, width in ((0, 0, 60, 40), (7, 3, 20, 30), (41, 21, 1, 1), (33, 0, 27, 9)):
            window = scene.window(row, col, height, width)
            rows, columns = slice(row, row + height), slice(col, col + width)
            assert np.array_equal(window.valid, valid[rows, columns])
            assert np.array_equal(window.before, np.where(valid, values, 0)[:, rows, columns])

    def test_are_decoded_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counters = Path("/proc/self/io")
        if not counters.exists():
            pytest.skip("needs /proc/self/io, Linux's count of the bytes that a process has read")
        monkeypatch.setattr(scene_module, "STRIP_BYTES", 800 * 4 * 2 * 100)
        monkeypatch.setattr(bandfile, "CACHE_BYTES", 110_000)  # less than a row of blocks; GDAL takes fewer for MB
        tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        coarse, fine = (RNG.integers(1, 60_000, (1, side, side), dtype=np.uint16) for side in (400, 800))
        files = self.files(tmp_path, coarse, fine, **tiles)
        quality = write(tmp_path / "scl.tif", RNG.integers(4, 8, (1, 400, 400), dtype=np.uint8), 20, **tiles)
        product = Product("S2", ("a", "b"), (1, 1), fill=0, quality=Quality(quality, "scl"))
        scene = Scene.open(files, files, ReadConfig(mask=["clouds"]), products=(product, product))
        start = int(counters.read_text().split("rchar:")[1].split()[0])
        assert sum(1 for _ in scene.strips()) > 6
        read = int(counters.read_text().split("rchar:")[1].split()[0]) - start
        assert read / (2 * sum(os.path.getsize(path) for path in (*files, quality))) < 1.05

    def test_of_another_place_are_refused(self, tmp_path: Path) -> None:
        coarse, fine = self.planes()
        for options in ({"east": 5e5 + 40}, {"east": 4e5}, {"crs": "EPSG:32633"}):
            files = [write(tmp_path / "a.tif", coarse, 20, **options), write(tmp_path / "b.tif", fine)]
            with pytest.raises(BadInput, match=r"a\.tif: extent: found 20 x 30 pixels.+ expected all of .+b\.tif"):
                read_all(files, self.PRODUCT)


class TestQuality:
    """A 10 m band with a 20 m scene classification: clouds in a square, shadow and fill in a row each."""

    def product(self, path: str, kind: str = "scl") -> Product:
        return Product("Sentinel-2", ("red",), (1,), fill=0, quality=Quality(path, kind))

    @pytest.fixture
    def scl(self) -> np.ndarray:
        scl = np.full((1, 30, 20), 4, np.uint8)
        scl[0, 5:10, 5:10], scl[0, 20], scl[0, 25] = 9, 3, 0
        return scl

    def valid(self, tmp_path: Path, stored: np.ndarray, quality: str, *classes: str, kind: str = "scl") -> np.ndarray:
        band = write(tmp_path / "b04.tif", stored[:1])
        return read_all([band], self.product(quality, kind), ReadConfig(mask=list(classes)))[1]

    def test_leaves_out_fill_and_the_chosen_classes(self, tmp_path: Path, stored: np.ndarray, scl: np.ndarray) -> None:
        path = write(tmp_path / "scl.tif", scl, 20)
        fine = scl[0].repeat(2, axis=0).repeat(2, axis=1)
        for classes, values in (((), [0]), (("clouds",), [0, 9]), (("clouds", "shadows"), [0, 3, 9])):
            assert np.array_equal(self.valid(tmp_path, stored, path, *classes), ~np.isin(fine, values))

    def test_of_the_same_pixels_is_taken_as_it_is(self, tmp_path: Path, stored: np.ndarray) -> None:
        bqa = RNG.choice([1, 672, 752, 928], (1, 60, 40)).astype(np.uint16)
        path = write(tmp_path / "bqa.tif", bqa)
        valid = self.valid(tmp_path, stored, path, "clouds", kind="bqa")
        assert np.array_equal(valid, np.isin(bqa[0], [672, 928]))

    def test_of_planetscope_has_eight_bands(self, tmp_path: Path, stored: np.ndarray) -> None:
        udm2 = np.zeros((8, 60, 40), np.uint8)
        udm2[5, :10], udm2[7, 50:] = 1, 1
        rows = np.arange(60)
        valid = self.valid(tmp_path, stored, write(tmp_path / "udm2.tif", udm2), "clouds", kind="udm2")
        assert np.array_equal(valid.all(axis=1), (rows >= 10) & (rows < 50))
        path = write(tmp_path / "udm.tif", udm2[:1])
        with pytest.raises(BadInput, match=r"udm\.tif: bands: found 1, expected at least 8"):
            self.valid(tmp_path, stored, path, "clouds", kind="udm2")

    def test_that_cannot_be_used_is_refused_where_a_class_is_left_out(
        self, tmp_path: Path, stored: np.ndarray, scl: np.ndarray
    ) -> None:
        odd = np.where(scl == 9, 99, scl).astype(np.uint8)
        damaged = tmp_path / "damaged.tif"
        write(damaged, RNG.integers(0, 12, (1, 30, 20), dtype=np.uint8), 20, compress="deflate", blockysize=1)
        damaged.write_bytes(damaged.read_bytes()[:-200])
        faults = {
            str(tmp_path / "none.tif"): "no such file",
            write(tmp_path / "odd.tif", odd, 20): "quality band: found value 99, expected the coding of scl",
            write(tmp_path / "far.tif", scl, 20, east=7e5): "extent",
            write(tmp_path / "rgb.tif", np.repeat(scl, 3, axis=0), 20): "bands: found 3, expected 1",
            write(tmp_path / "float.tif", scl + np.float32(0.5), 20): "found value 4.5",
            str(damaged): "rows",
        }
        for path, message in faults.items():
            with pytest.raises(BadInput) as caught:
                self.valid(tmp_path, stored, path, "clouds")
            assert str(caught.value).startswith(path)
            assert message in str(caught.value)
            assert self.valid(tmp_path, stored, path).all(), path

    def test_of_real_landsat_scenes_marks_their_clouds(self, fixtures: Path) -> None:
        folder = fixtures / "change_detection/landsat7_2001_landsat8_2013"
        for name in ("LE07_L1TP_195025_20010730_20170204_01_T1", "LC08_L1TP_195025_20130707_20170503_01_T1"):
            band, quality = str(folder / f"{name}_B4.TIF"), str(folder / f"{name}_BQA.TIF")
            with rasterio.open(quality) as raster:
                bits = raster.read(1)
            valid = read_all([band], self.product(quality, "bqa"), ReadConfig(mask=["clouds", "shadows"]))[1]
            cloud = (bits >> 4 & 1 == 1) | (bits >> 5 & 3 == 3) | (bits >> 7 & 3 == 3) | (bits & 1 == 1)
            assert np.array_equal(valid, ~cloud)
