"""Limits of the contrast stretch, robust against what covers a part of one date."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.product import Product
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.change_detection.stretch import robust_limits, stretch_limits

RNG = np.random.default_rng(0)


def ground(offset: float = 0, pixels: int = 40_000) -> np.ndarray:
    """One band of low contrast, as a scene over flat ground: 8000 with a standard deviation of 150."""
    return (8000 + offset + 150 * np.random.default_rng(1).normal(size=(1, pixels))).astype(np.uint16)


def test_limits_are_the_median_and_three_and_a_half_deviations():
    (low, high) = robust_limits(ground())[0]
    assert low == pytest.approx(8000 - 3.5 * 150, abs=6)
    assert high == pytest.approx(8000 + 3.5 * 150, abs=12)


@pytest.mark.parametrize("share", [0.025, 0.05, 0.1])
def test_clouds_in_one_date_change_neither_its_limits_much_nor_those_of_the_other_at_all(share):
    before, after = ground(), ground()
    after[:, : round(share * after.shape[1])] = 30_000
    clear, clouded = stretch_limits((before, after))
    assert (clear == clouded).all()
    assert clear[0] == pytest.approx([7475, 8525], abs=60)
    percentile = stretch_limits((before, after), "percentile")
    assert percentile[1, 0, 1] == 30_000
    assert percentile[0, 0, 1] < 8400


def test_dates_that_differ_in_light_have_limits_of_their_own():
    before, after = stretch_limits((ground(), ground(offset=400)))
    assert (after - before)[0] == pytest.approx([400, 400], abs=1)


@pytest.mark.parametrize("same", [True, False])
def test_what_the_products_say_of_the_sensor_decides_over_what_the_values_look_like(same):
    alike = stretch_limits((ground(), ground(offset=10)), same_sensor=same)
    unlike = stretch_limits((ground(), ground(offset=400)), same_sensor=same)
    assert (alike[0] == alike[1]).all() == same
    assert (unlike[0] == unlike[1]).all() == same


def test_values_of_different_types_are_not_taken_for_those_of_one_sensor():
    before, after = stretch_limits((ground(), ground().astype(np.float32) + 1))
    assert (before != after).all()


def test_ground_of_two_kinds_is_not_cut_off():
    """Where most pixels are sea of one value, the spread around the median is 0 and says nothing of the land."""
    values = np.concatenate([np.full(6000, 20), RNG.normal(3000, 500, 4000)])[None].astype(np.uint16)
    (low, high) = robust_limits(values)[0]
    assert low < 20
    assert 2800 < high < 4000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full(900, 7, np.uint8), [3.5, 10.5]),  # constant: one level is a seventh of the range
        (np.repeat([100, 101], [600, 300]).astype(np.uint8), [96.5, 103.5]),  # two levels
        (np.repeat([0, 255], [500, 400]).astype(np.uint8), [0, 255]),  # a mask
        (np.full(900, 0.25, np.float32), [0.25, 1.25]),
        (np.repeat([0.25, 0.26], [600, 300]).astype(np.float32), [0.215, 0.285]),  # steps of 0.01
        (np.zeros(0, np.uint8), [0, 1]),
    ],
)
def test_limits_of_bands_of_few_values_are_apart(values, expected):
    low, high = robust_limits(values[None])[0]
    assert high > low
    if values.size and set(values) == {0, 255}:
        assert low <= 0
        assert high >= 255
    else:
        assert [low, high] == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Scene]:
    def opened(products: tuple[Product | None, Product | None]) -> Scene:
        for name, offset in (("a", 0), ("b", 400)):
            values = ground(offset).reshape(1, 200, 200)
            profile = {"dtype": "uint16", "count": 1, "width": 200, "height": 200, "crs": "EPSG:32621"}
            with rasterio.open(
                tmp_path / f"{name}.tif", "w", transform=Affine(30, 0, 7e5, 0, -30, 0), **profile
            ) as raster:
                raster.write(values)
        files = ([str(tmp_path / "a.tif")], [str(tmp_path / "b.tif")])
        return Scene.open(*files, ReadConfig(bands=[1]), products=products)

    return opened


def test_limits_are_shared_by_products_of_one_sensor_in_the_same_units(scene):
    def product(sensor: str, scale: tuple[float, ...] = ()) -> Product:
        return Product(sensor, ("red",), (1,), scale, (0.0,) * len(scale))

    landsat, sentinel, reflectance = product("Landsat 8-9"), product("Sentinel-2"), product("Landsat 8-9", (1.0,))
    assert scene((landsat, landsat)).same_sensor is True
    before, after = scene((landsat, landsat)).stretch("robust")
    assert (before == after).all()
    assert scene((landsat, None)).same_sensor is None
    for other in (sentinel, reflectance):
        assert scene((landsat, other)).same_sensor is False
        before, after = scene((landsat, other)).stretch("robust")
        assert (before != after).all()
