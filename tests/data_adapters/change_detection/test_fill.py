"""Values that fill the border of a raster without being declared as nodata."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from transect.data_adapters.change_detection import sampling
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.facts import facts_of
from transect.data_adapters.change_detection.fill import Fill
from transect.data_adapters.change_detection.scene import Scene

GREY = ReadConfig(bands=[1])
SIZE = 256


def ground(dtype: type = np.uint16, level: float = 8000, spread: float = 60) -> np.ndarray:
    """One band of ground, the same for both dates."""
    rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:SIZE, :SIZE]
    waves = np.sin(columns / 9) * np.cos(rows / 13)
    return (level + spread * (2 * waves + rng.normal(size=(SIZE, SIZE))))[None].astype(dtype)


def write(path: Path, values: np.ndarray, metres: float = 30, **options: object) -> str:
    profile = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1], "width": values.shape[2],
        "dtype": values.dtype, "crs": "EPSG:32621", "transform": from_origin(7e5, -2.8e6, metres, metres), **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values)
    return str(path)


def scene(tmp_path: Path, before: np.ndarray, after: np.ndarray, config: ReadConfig = GREY, **options: object) -> Scene:
    paths = write(tmp_path / "a.tif", before, **options), write(tmp_path / "b.tif", after, **options)
    return Scene.open(paths[:1], paths[1:], config)


def valid_of(pair: Scene) -> np.ndarray:
    assert len(pair.notes) <= 2  # finds the fill
    return np.concatenate([strip.valid for strip in pair.strips()])


def corner(values: np.ndarray, value: float) -> np.ndarray:
    """The lower left triangle, as next to a frame that lies askew in its raster."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    collar = rows - columns > 0.6 * SIZE
    return np.where(collar, values.dtype.type(value), values)


class TestNodata:
    def test_is_a_single_row_at_the_edge_where_the_other_date_cuts_off_the_rest(self, tmp_path: Path) -> None:
        cut = ground()
        cut[:, :1] = 0
        pair = scene(tmp_path, cut, ground())
        assert pair.fills == (Fill(0, pytest.approx(1 / SIZE), nodata=True), None)
        assert not valid_of(pair)[0].any()
        assert valid_of(pair)[1:].all()

    @pytest.mark.parametrize(
        ("dtype", "level", "value"),
        [(np.uint16, 8000, 0), (np.uint16, 8000, 65535), (np.int16, 800, -9999), (np.int16, 800, -32768),
         (np.float32, 0.3, -9999), (np.float32, 0.3, 0), (np.float32, 800, -3.4028235e38)],
    )  # fmt: skip
    def test_is_what_fills_a_corner(self, tmp_path: Path, dtype: type, level: float, value: float) -> None:
        plain = ground(dtype, level, level / 100)
        pair = scene(tmp_path, corner(plain, value), plain)
        collar = corner(plain, value)[0] == np.array(value, dtype)
        share = collar.mean()
        assert pair.fills == (Fill(pytest.approx(value), pytest.approx(share), nodata=True), None)
        assert np.array_equal(valid_of(pair), ~collar)
        assert np.array_equal(pair.window(150, 0, 100, 90).valid, ~collar[150:250, :90])
        line = f"{100 * share:.2g} % of before, at its border, are filled with {np.float32(value):g}"
        assert facts_of(pair)["warnings"] == f"{line}, which is taken as nodata: if it is data, set read.nodata none"
        switched_off = Scene.open(pair.before, pair.after, ReadConfig(bands=[1], nodata="none"))
        assert switched_off.fills == (None, None)
        assert valid_of(switched_off).all()

    def test_of_a_picture_is_the_black_border_of_one_date_alone(self, tmp_path: Path) -> None:
        picture = np.concatenate([ground(np.uint8, level, 9) for level in (90, 110, 70)])
        collar = corner(picture, 0)
        pair = scene(tmp_path, picture, collar, ReadConfig())
        assert pair.fills[0] is None
        assert pair.fills[1] is not None
        assert pair.fills[1].nodata
        assert np.array_equal(valid_of(pair), collar[0] > 0)
        other = collar.copy()
        other[:, :8] = 0  # most of the black is in both dates
        pair = scene(tmp_path, other, collar, ReadConfig())
        assert [fill and fill.nodata for fill in pair.fills] == [False, False]

    def test_is_found_where_other_values_are_more_frequent(self, tmp_path: Path) -> None:
        plain = ground(np.uint8, 100, 2)
        collar = plain.copy()
        collar[:, :, :4], collar[:, 40:] = 0, plain[:, 40:]  # 6 % of the border, where 100 has 10 %
        pair = scene(tmp_path, collar, plain)
        assert np.array_equal(valid_of(pair), collar[0] > 0)

    def test_of_narrow_collars_of_both_dates_leaves_the_same_ground(self, tmp_path: Path) -> None:
        before, after = ground(), ground()
        before[:, :, :30], after[:, :5] = 0, 0
        pair = scene(tmp_path, before, after)
        assert len(pair.notes) == 2
        strips = list(pair.strips())
        valid = np.concatenate([strip.valid for strip in strips])
        assert np.array_equal(valid, (before[0] > 0) & (after[0] > 0))
        for strip in strips:
            assert np.array_equal(strip.before[:, strip.valid], strip.after[:, strip.valid])

    def test_has_no_part_in_the_stretch(self, tmp_path: Path) -> None:
        plain = ground()
        limits = scene(tmp_path, corner(plain, 0), plain).stretch()
        assert limits[..., 0].min() > 7000
        assert np.abs(limits[0] - limits[1]).max() < 5

    def test_is_left_out_before_a_date_is_resampled(self, tmp_path: Path) -> None:
        before = write(tmp_path / "a.tif", corner(ground(), 0), metres=30)
        after = write(tmp_path / "b.tif", ground()[:, :130, :130], metres=60)
        pair = Scene.open([before], [after], GREY)
        assert pair.fills[0] == Fill(0, pytest.approx(0.05, abs=0.03), nodata=True)
        strips = list(pair.strips())
        values = np.concatenate([strip.before for strip in strips], axis=1)
        valid = np.concatenate([strip.valid for strip in strips])
        assert values[0][valid].min() > 7500
        assert 0.9 < valid.mean() < 0.98

    def test_around_a_raster_that_was_warped_is_found(self, tmp_path: Path) -> None:
        """The first date has corners without data where it lies askew in the grid of the second."""
        turned = from_origin(7e5 + 1500, -2.8e6, 30, 30) * rasterio.Affine.rotation(20)
        before = write(tmp_path / "a.tif", corner(ground(), 0), transform=turned)
        after = write(tmp_path / "b.tif", ground())
        pair = Scene.open([before], [after], GREY)
        assert pair.fills[0] is not None
        assert pair.fills[0].nodata
        strips = list(pair.strips())
        values = np.concatenate([strip.before for strip in strips], axis=1)
        assert values[0][np.concatenate([strip.valid for strip in strips])].min() > 7500

    def test_is_that_of_real_frames(self, shared_file) -> None:
        name = "data/change_detection/landsat8_adjacent/LC08_L1TP_{}_20200518_20200518_01_RT_B2.TIF"
        first, second = str(shared_file(name.format(224077))), str(shared_file(name.format(224078)))
        declared = Scene.open([first], [second], ReadConfig(bands=[1], nodata=0))
        found = Scene.open([first], [second], GREY)
        assert found.fills == (None, Fill(0, pytest.approx(0.172, abs=1e-3), nodata=True))
        assert np.array_equal(valid_of(found), valid_of(declared))


class TestWarning:
    def test_of_black_sea_in_a_picture_leaves_it_in(self, tmp_path: Path) -> None:
        rng, (rows, columns) = np.random.default_rng(0), np.mgrid[:SIZE, :SIZE]
        picture = rng.integers(30, 220, (3, SIZE, SIZE), dtype=np.uint8)
        picture[:, columns < 80 + 20 * np.sin(rows / 15)] = 0
        pair = scene(tmp_path, picture, picture, ReadConfig())
        assert valid_of(pair).all()
        warnings = str(facts_of(pair)["warnings"])
        assert warnings.startswith(
            "32 % of before, at its border, are filled with 0: if it means no data, set read.nod"
        )
        assert warnings.count("read.nodata 0") == 2  # once for each date
        followed = Scene.open(pair.before, pair.after, ReadConfig(nodata=0))
        assert np.array_equal(valid_of(followed), picture[0] > 0)
        assert "warnings" not in facts_of(followed)

    def test_of_a_value_within_the_range_leaves_it_in(self, tmp_path: Path) -> None:
        for dtype, value in ((np.uint16, 1), (np.int16, 255), (np.uint8, 200)):
            plain = ground(dtype, 100, 3)
            pair = scene(tmp_path, plain, corner(plain, value))
            assert pair.fills == (None, Fill(value, pytest.approx(0.08, abs=2e-3), nodata=False))
            assert f"filled with {value}: if it means no data, set read.nodata {value}" in facts_of(pair)["warnings"]
            assert valid_of(pair).all()

    def test_of_dark_water_leaves_it_in(self, tmp_path: Path) -> None:
        """Reflectance over water that was clipped at 0, next to water of a few units."""
        plain = ground(level=1500, spread=100).astype(int)
        plain[:, :, :120] = np.maximum(np.random.default_rng(0).normal(0, 10, (1, SIZE, 120)), 0)
        plain[:, :, :40] = 0
        fill = scene(tmp_path, plain.astype(np.uint16), plain.astype(np.uint16)).fills[0]
        assert fill is None or not fill.nodata


class TestNothing:
    """What is not fill, or is known."""

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_is_found_without_a_border_that_is_filled(self, tmp_path: Path, dtype: type) -> None:
        plain = ground(dtype, 100, 10)
        inside = plain.copy()
        inside[:, 100:150, 100:200] = 0  # touches no border
        assert scene(tmp_path, plain, inside).fills == (None, None)

    def test_is_found_in_noise_that_is_often_zero(self, tmp_path: Path) -> None:
        rare = (np.random.default_rng(0).random((1, SIZE, SIZE)) < 0.5).astype(np.uint16) * 500
        assert scene(tmp_path, rare, rare).fills == (None, None)

    def test_is_found_in_a_constant_raster(self, tmp_path: Path) -> None:
        flat = np.zeros((1, SIZE, SIZE), np.float32)
        assert scene(tmp_path, flat, flat).fills == (None, None)

    def test_is_found_where_only_one_band_is_filled(self, tmp_path: Path) -> None:
        image = np.concatenate([corner(ground(), 0), ground(), ground()])
        pair = scene(tmp_path, image, image, ReadConfig())
        assert pair.fills == (None, None)
        assert valid_of(pair).all()

    @pytest.mark.parametrize(
        ("image", "options"),
        [(ground(), {"nodata": 9}), (ground(np.uint8, 100, 10), {"crs": None})],
        ids=["declared", "a picture"],
    )
    def test_is_looked_for_where_it_is_declared_or_the_raster_is_a_picture(
        self, tmp_path: Path, image: np.ndarray, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = scene(tmp_path, corner(image, 0), image, **options)
        monkeypatch.delattr(sampling, "SAMPLES")  # reading samples would fail
        assert pair.fills == (None, None)
        assert valid_of(pair).all()


@pytest.mark.parametrize(("dtype", "value"), [(np.int16, -9999), (np.uint16, 65535), (np.float32, 0)])
def test_is_found_in_measured_values_without_a_crs(tmp_path: Path, dtype: type, value: float) -> None:
    before = corner(ground(dtype), value)
    filled = before[0] == value
    pair = scene(tmp_path, before, ground(dtype), crs=None, transform=None)
    assert (valid_of(pair) == ~filled).all()
    assert "which is taken as nodata" in pair.notes[0]


def test_is_not_looked_for_while_only_a_part_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = scene(tmp_path, corner(ground(), 0), ground())
    monkeypatch.delattr(sampling, "SAMPLES")  # reading samples would fail
    assert pair.window(0, 0, 20, 20).valid.all()
    assert len(list(pair.strips())) > 0


def test_samples_are_read_once_for_fill_and_stretch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    read = Scene._samples
    monkeypatch.setattr(Scene, "_samples", lambda pair: (calls.append(1), read(pair))[1])
    pair = scene(tmp_path, corner(ground(), 0), ground())
    pair.stretch()
    list(pair.strips())
    assert pair.window(0, 0, 9, 9).valid.all()
    list(pickle.loads(pickle.dumps(pair)).strips())  # a copy knows the fill, too
    assert len(calls) == 1
    assert len(pickle.dumps(pair)) < 10_000
