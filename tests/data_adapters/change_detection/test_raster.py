"""Rasters: bands, validity, block-wise reading, and refused files."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.raster import Raster
from transect.data_adapters.change_detection.rows import RowReader

GREY = ReadConfig(bands=[1])
RNG = np.random.default_rng(0)


def write(path: Path, values: np.ndarray, mask: np.ndarray | None = None, **options: object) -> str:
    profile = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype, "crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 10, 10), **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values)
        if mask is not None:
            raster.write_mask(mask)
    return str(path)


def read_all(paths: Sequence[str], config: ReadConfig) -> tuple[np.ndarray, np.ndarray]:
    with Raster(paths, config) as raster:
        return raster.read(0, 0, raster.grid.height, raster.grid.width)


def refused(paths: Sequence[str], config: ReadConfig = GREY) -> str:
    """The message of the error when `paths` are read."""
    with pytest.raises(BadInput) as caught:
        read_all(paths, config)
    assert "\n" not in str(caught.value)
    assert any(caught.value.file == path for path in paths)
    return str(caught.value)


@pytest.fixture
def rgb() -> np.ndarray:
    return RNG.integers(1, 256, (3, 40, 50), dtype=np.uint8)


class TestBands:
    def test_come_in_the_order_asked_for(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb)
        for bands in ([1, 2, 3], [3, 1], [2, 2, 2], [3, 1, 3]):
            values, valid = read_all([path], ReadConfig(bands=bands))
            assert np.array_equal(values, rgb[[band - 1 for band in bands]])
            assert values.dtype == np.uint8
            assert valid.all()

    def test_index_single_band_files_given_together(self, tmp_path: Path, rgb: np.ndarray) -> None:
        paths = [write(tmp_path / f"{i}.tif", band[None]) for i, band in enumerate(rgb)]
        values, _ = read_all(paths, ReadConfig(bands=[3, 1, 2]))
        assert np.array_equal(values, rgb[[2, 0, 1]])

    def test_of_a_single_band_raster_are_advised(self, tmp_path: Path, rgb: np.ndarray) -> None:
        message = refused([write(tmp_path / "a.tif", rgb[:1])], ReadConfig())
        assert "found 1, expected at least 3; set read.bands [1,1,1]" in message

    def test_beyond_the_last_are_refused(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb)
        assert "bands: found 3, expected at least 4" in refused([path], ReadConfig(bands=[1, 2, 4]))
        single = write(tmp_path / "b.tif", rgb[:1])
        assert "single-band files: found 2, expected at least 3" in refused([single, single], ReadConfig())

    def test_on_different_grids_are_refused(self, tmp_path: Path, rgb: np.ndarray) -> None:
        first = write(tmp_path / "a.tif", rgb[:1])
        other = write(tmp_path / "b.tif", rgb[:1, ::2, ::2], transform=from_origin(5e5, 5e6, 20, 20))
        assert f"{other}: grid" in refused([first, other], ReadConfig(bands=[1, 2]))

    def test_of_a_file_among_several_must_be_one(self, tmp_path: Path, rgb: np.ndarray) -> None:
        paths = [write(tmp_path / "a.tif", rgb[:1]), write(tmp_path / "b.tif", rgb)]
        assert "bands: found 3, expected 1" in refused(paths, ReadConfig(bands=[1, 2]))

    def test_of_complex_numbers_are_refused(self, tmp_path: Path) -> None:
        assert "complex64" in refused([write(tmp_path / "a.tif", np.ones((1, 4, 4), np.complex64))])


class TestValidity:
    def test_is_missing_where_all_selected_bands_are_nodata_or_any(self, tmp_path: Path, rgb: np.ndarray) -> None:
        rgb[:, 3, 4], rgb[:2, 7, 8], rgb[2, 9, 9] = 0, 0, 0
        path = write(tmp_path / "a.tif", rgb, nodata=0)
        for bands, rule, missing in (
            ([1, 2, 3], "all", {(3, 4)}),
            ([1, 2], "all", {(3, 4), (7, 8)}),
            ([1, 2], "any", {(3, 4), (7, 8)}),
            ([1, 2, 3], "any", {(3, 4), (7, 8), (9, 9)}),
        ):
            values, valid = read_all([path], ReadConfig(bands=bands, nodata_in=rule))
            assert set(map(tuple, np.argwhere(~valid).tolist())) == missing
            assert np.array_equal(values, rgb[: len(bands)])

    def test_is_missing_where_all_stacked_files_are_nodata_or_any(self, tmp_path: Path, rgb: np.ndarray) -> None:
        rgb[:2, 3, 4], rgb[0, 5, 6], rgb[1, 7, 8] = [9, 0], 9, 0
        first = write(tmp_path / "a.tif", rgb[:1], nodata=9)
        second = write(tmp_path / "b.tif", rgb[1:2], nodata=0)
        third = write(tmp_path / "c.tif", rgb[2:])
        fill = rgb[0] == 9, rgb[1] == 0
        for paths, every in (([first, second], fill[0] & fill[1]), ([first, second, third], np.zeros((40, 50), bool))):
            bands = list(range(1, len(paths) + 1))
            assert np.array_equal(read_all(paths, ReadConfig(bands=bands))[1], ~every)
            valid = read_all(paths, ReadConfig(bands=bands, nodata_in="any"))[1]
            assert np.array_equal(valid, ~(fill[0] | fill[1]))

    def test_keeps_a_dark_red_band(self, tmp_path: Path, rgb: np.ndarray) -> None:
        rgb[0, 10:30, 10:40] = 0
        assert read_all([write(tmp_path / "a.tif", rgb, nodata=0)], ReadConfig())[1].all()

    @pytest.mark.parametrize("rule", ["all", "any"])
    def test_never_gives_a_model_nan(self, tmp_path: Path, rgb: np.ndarray, rule: str) -> None:
        values = rgb.astype(np.float32)
        values[0, 3, 4], values[2, 7, 8] = np.nan, np.inf
        valid = read_all([write(tmp_path / "a.tif", values)], ReadConfig(nodata_in=rule))[1]
        assert np.argwhere(~valid).tolist() == [[3, 4], [7, 8]]

    @pytest.mark.parametrize("nodata", [None, np.nan, -9999.0, -3.4e38, -np.finfo(np.float64).max])
    def test_of_floats_excludes_nan_infinity_and_nodata(self, tmp_path: Path, nodata: float | None) -> None:
        values = RNG.normal(size=(1, 6, 7))
        values[0, 0, :3] = np.nan, np.inf, -np.inf
        values[0, 1, 1] = np.nan if nodata is None else nodata
        path = write(tmp_path / "a.tif", values, nodata=nodata)
        pixels, valid = read_all([path], GREY)
        expected = np.ones((6, 7), bool)
        expected[0, :3] = expected[1, 1] = False
        assert np.array_equal(valid, expected)
        assert pixels.dtype == np.float32

    def test_takes_the_configured_nodata_only_where_none_is_declared(self, tmp_path: Path, rgb: np.ndarray) -> None:
        rgb[:, 3, 4], rgb[:, 5, 6] = 7, 9
        config = ReadConfig(nodata=7)
        assert np.array_equal(read_all([write(tmp_path / "a.tif", rgb)], config)[1], (rgb != 7).any(axis=0))
        declared = write(tmp_path / "b.tif", rgb, nodata=9)
        assert np.array_equal(read_all([declared], config)[1], (rgb != 9).any(axis=0))

    def test_ignores_a_nodata_that_no_pixel_can_have(self, tmp_path: Path, rgb: np.ndarray) -> None:
        for nodata in (-1.0, 256.0, 3.5, float("nan"), float("inf")):
            assert read_all([write(tmp_path / "a.tif", rgb)], ReadConfig(nodata=nodata))[1].all()

    @pytest.mark.parametrize("internal", [True, False], ids=["in the file", "side file"])
    def test_follows_a_mask_and_the_nodata(self, tmp_path: Path, rgb: np.ndarray, internal: bool) -> None:
        mask = RNG.random(rgb.shape[1:]) < 0.7
        rgb[:, :5] = 7
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
            path = write(tmp_path / "a.tif", rgb, mask=mask)
        assert (tmp_path / "a.tif.msk").exists() is not internal
        assert np.array_equal(read_all([path], ReadConfig(nodata=7))[1], mask & (rgb != 7).any(axis=0))

    def test_follows_alpha_whatever_bands_are_read(self, tmp_path: Path, rgb: np.ndarray) -> None:
        rgba = np.concatenate([rgb, (RNG.random((1, *rgb.shape[1:])) < 0.7) * np.uint8(9)])
        path = write(tmp_path / "a.tif", rgba, photometric="rgb")
        with rasterio.open(path, "r+") as raster:
            raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
        for bands in ([1, 2, 3], [2], [4, 1]):
            values, valid = read_all([path], ReadConfig(bands=bands))
            assert np.array_equal(valid, rgba[3] > 0)
            assert np.array_equal(values, rgba[[band - 1 for band in bands]])

    def test_of_real_files_is_what_gdal_says(self, shared_file) -> None:
        for name in ("RGB.byte", "RGB2.byte", "RGBA.uint16", "cogeo", "all-nodata", "rgb1"):
            path = str(shared_file(f"data/change_detection/rasterio_fixtures/{name}.tif"))
            values, valid = read_all([path], ReadConfig())
            with rasterio.open(path) as raster:
                assert np.array_equal(values, raster.read([1, 2, 3]))
                assert np.array_equal(valid, raster.dataset_mask() > 0), name
            if name != "cogeo":
                assert not valid.all(), name
        path = str(shared_file("data/change_detection/rasterio_fixtures/float_nan.tif"))
        with rasterio.open(path) as raster:
            expected = ~np.isnan(raster.read(1))
        assert np.array_equal(read_all([path], GREY)[1], expected)


class TestRowReader:
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data(), block=st.sampled_from([(16, 16), (32, 64), None, 1, 7]))
    def test_gives_the_same_pixels_in_any_portions(self, tmp_path: Path, data: st.DataObject, block: object) -> None:
        pixels = np.arange(3 * 90 * 70, dtype=np.uint16).reshape(3, 90, 70)
        pixels[:, 20:60:7, 5::3] = 99
        tiled = {"tiled": True, "blockysize": block[0], "blockxsize": block[1]} if isinstance(block, tuple) else {}
        path = write(tmp_path / "a.tif", pixels, **(tiled or {"blockysize": block or 90}), nodata=99)
        starts = data.draw(st.lists(st.integers(0, 89), min_size=1, max_size=6))
        col = data.draw(st.integers(0, 60))
        with Raster([path], ReadConfig()) as raster:
            reader = RowReader(raster, col, 70 - col, 90)
            for start in starts:
                stop = data.draw(st.integers(start + 1, 90))
                values, valid = reader.read(start, col, stop - start, 70 - col)
                assert np.array_equal(values, pixels[:, start:stop, col:])
                assert np.array_equal(valid, (pixels != 99).any(axis=0)[start:stop, col:])


class TestFaults:
    def test_missing_files_folders_and_other_files(self, tmp_path: Path) -> None:
        assert "no such file" in refused([str(tmp_path / "none.tif")])
        assert "is a directory" in refused([str(tmp_path)])
        for name, content in (("empty.tif", b""), ("text.tif", b"not a raster"), ("zero.tif", bytes(10_000))):
            (tmp_path / name).write_bytes(content)
            assert "expected a raster (GTiff" in refused([str(tmp_path / name)])
        assert "null" in refused(["a\0b.tif"])

    def test_no_permission(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb)
        os.chmod(path, 0)
        user = os.geteuid()
        if user == 0:  # the superuser may read anything, so switch to another user temporarily
            for folder in (tmp_path, *tmp_path.parents):
                if folder.name.startswith("pytest"):
                    folder.chmod(0o755)
            os.seteuid(65534)
        try:
            assert "permission denied" in refused([path])
        finally:
            os.seteuid(user)

    @pytest.mark.parametrize("driver", ["GTiff", "PNG", "JPEG"])
    def test_truncated_files_name_the_rows(self, tmp_path: Path, driver: str) -> None:
        noise = RNG.integers(0, 256, (3, 256, 256), dtype=np.uint8)
        path = tmp_path / "a.img"
        write(path, noise, driver=driver, **({"compress": "deflate", "blockysize": 16} if driver == "GTiff" else {}))
        whole = path.read_bytes()
        for share in (0.3, 0.6, 0.95):
            path.write_bytes(whole[: int(len(whole) * share)])
            assert "rows 0 to 255" in refused([str(path)], ReadConfig())
        path.write_bytes(whole[:60])
        refused([str(path)], ReadConfig())

    def test_sizes_beyond_the_limit(self, tmp_path: Path, rgb: np.ndarray) -> None:
        path = write(tmp_path / "a.tif", rgb)
        message = refused([path], ReadConfig(max_pixels=1999))
        assert "50 x 40 pixels, expected at most 1999 pixels" in message
        assert read_all([path], ReadConfig(max_pixels=2000))[1].all()

    def test_decompression_bombs(self, tmp_path: Path) -> None:
        sparse = {"driver": "GTiff", "count": 3, "dtype": "uint8", "compress": "zstd", "sparse_ok": True, "tiled": True}
        path = tmp_path / "bomb.tif"
        rasterio.open(path, "w", width=60_000, height=60_000, blockxsize=8192, blockysize=8192, **sparse).close()
        assert "bytes of pixels in a file of" in refused([str(path)])
        rasterio.open(path, "w", width=32_768, height=32_768, blockxsize=32_768, blockysize=32_768, **sparse).close()
        path.write_bytes(path.read_bytes() + bytes(1 << 20))
        assert "32768 x 32768 pixels, expected at most 512 MB" in refused([str(path)])

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(data=st.data())
    def test_damaged_bytes_give_pixels_or_one_line(self, tmp_path: Path, data: st.DataObject) -> None:
        path = tmp_path / "a.tif"
        path.unlink(missing_ok=True)
        driver, options = data.draw(st.sampled_from([("GTiff", {"compress": "lzw"}), ("PNG", {}), ("JPEG", {})]))
        write(path, (np.arange(3 * 32 * 32) % 251).astype(np.uint8).reshape(3, 32, 32), driver=driver, **options)
        content = bytearray(path.read_bytes())
        flips = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255))
        for place, value in data.draw(st.lists(flips, min_size=1, max_size=4)):
            content[int(place * len(content))] = value
        path.write_bytes(content)
        try:
            values, valid = read_all([str(path)], ReadConfig())
        except BadInput as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert values.shape[1:] == valid.shape


class TestVrt:
    def vrt(self, path: Path, source: str, relative: int = 1, extra: str = "", band: str = "") -> str:
        path.write_text(
            f'<VRTDataset rasterXSize="50" rasterYSize="40">{extra}<VRTRasterBand dataType="Byte" band="1" {band}>'
            f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
        return str(path)

    def test_reads_sources_below_its_folder(self, tmp_path: Path, rgb: np.ndarray) -> None:
        (tmp_path / "tiles").mkdir()
        source = write(tmp_path / "tiles/a.tif", rgb)
        for path in (self.vrt(tmp_path / "a.vrt", "tiles/a.tif"), self.vrt(tmp_path / "b.vrt", source, relative=0)):
            assert np.array_equal(read_all([path], GREY)[0], rgb[:1])
        nested = self.vrt(tmp_path / "c.vrt", "a.vrt")
        assert np.array_equal(read_all([nested], GREY)[0], rgb[:1])

    def test_refuses_sources_elsewhere(self, tmp_path: Path, rgb: np.ndarray) -> None:
        below = tmp_path / "below"
        below.mkdir()
        outside = write(tmp_path / "a.tif", rgb)
        (below / "link.tif").symlink_to(outside)
        for source, relative in (
            ("../a.tif", 1), (outside, 0), (outside, 1), ("link.tif", 1), ("none.tif", 1), ("", 1),
            ("http://127.0.0.1:9/a.tif", 0), ("/vsicurl/http://127.0.0.1:9/a.tif", 0), ("/etc/passwd", 0),
        ):  # fmt: skip
            path = self.vrt(below / "a.vrt", source, relative)
            assert "VRT source" in refused([path]), source
        self.vrt(tmp_path / "inner.vrt", "/etc/passwd", 0)
        with pytest.raises(BadInput, match=r"inner\.vrt: VRT source: found /etc/passwd"):
            read_all([self.vrt(tmp_path / "outer.vrt", "inner.vrt")], GREY)

    def test_refuses_sources_that_are_no_raster(self, tmp_path: Path) -> None:
        (tmp_path / "wms.xml").write_text('<GDAL_WMS><Service name="TMS"></Service></GDAL_WMS>')
        with pytest.raises(BadInput, match=r"wms\.xml: file"):
            read_all([self.vrt(tmp_path / "a.vrt", "wms.xml")], GREY)

    def test_refuses_code_raw_bytes_entities_and_loops(self, tmp_path: Path, rgb: np.ndarray) -> None:
        write(tmp_path / "a.tif", rgb)
        for kind in ("VRTDerivedRasterBand", "VRTRawRasterBand"):
            assert kind in refused([self.vrt(tmp_path / "a.vrt", "a.tif", band=f'subClass="{kind}"')])
        path = tmp_path / "e.vrt"
        path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><VRTDataset rasterXSize="5" rasterYSize="5"></VRTDataset>')
        assert "entities" in refused([str(path)])
        path.write_text('<VRTDataset rasterXSize="5"')
        assert "well-formed" in refused([str(path)])
        assert "inside each other" in refused([self.vrt(tmp_path / "loop.vrt", "loop.vrt")])

    def test_is_not_taken_from_a_url_or_an_archive(self, tmp_path: Path, rgb: np.ndarray) -> None:
        write(tmp_path / "a.tif", rgb)
        path = self.vrt(tmp_path / "a.vrt", "a.tif")
        for name in (f"/vsisubfile/0_100000,{path}", f"file://{path}", f"vrt://{tmp_path}/a.tif"):
            assert "expected a raster" in refused([name])
