"""What `check` says of satellite products and of their quality bands."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.facts import facts_of
from transect.data_adapters.change_detection.product import Product, Quality
from transect.data_adapters.change_detection.scene import Scene

SIDE = 40


def write(path: Path, values: np.ndarray, metres: float = 10) -> str:
    profile = {
        "driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": values.dtype,
        "crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, metres, metres),
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(values, 1)
    return str(path)


@pytest.fixture
def scl(tmp_path: Path) -> str:
    """20 m: one row of fill, then of 19 rows 2 of clouds, 1 of shadow and 4 of water."""
    values = np.full((SIDE // 2, SIDE // 2), 4, np.uint8)
    values[0], values[1], values[2], values[3], values[4:8] = 0, 8, 9, 3, 6
    return write(tmp_path / "scl.tif", values, 20)


def scene(tmp_path: Path, quality: Quality | None, config: ReadConfig | None = None, first_row: int = 0) -> Scene:
    values = np.random.default_rng(0).integers(1000, 4000, (SIDE, SIDE), dtype=np.uint16)
    band = write(tmp_path / "b04.tif", values)
    part = values[first_row:]
    other = tmp_path / "other.tif"
    with rasterio.open(
        other, "w", driver="GTiff", count=1, height=len(part), width=SIDE, dtype="uint16", crs="EPSG:32632",
        transform=from_origin(5e5, 5e6 - 10 * first_row, 10, 10),
    ) as raster:  # fmt: skip
        raster.write(part, 1)
    product = Product("Sentinel-2", ("red",), (1,), (1e-4,), (-0.1,), fill=0, quality=quality, level="surface")
    plain = Product("Sentinel-2", ("red",), (1,), (1e-4,), (-0.1,), fill=0)
    return Scene.open([band], [str(other)], config or ReadConfig(bands=[1]), products=(product, plain))


def test_sensor_bands_units_and_fill_are_told(tmp_path: Path, scl: str) -> None:
    facts = facts_of(scene(tmp_path, Quality(scl, "scl")))
    assert facts["before_product"] == "Sentinel-2; red; reflectance (surface) = 0.0001 x DN - 0.1; fill 0"
    assert facts["after_product"] == "Sentinel-2; red; reflectance = 0.0001 x DN - 0.1; fill 0"
    assert "after_quality" not in facts


def test_the_share_of_each_class_is_that_of_the_pixels_without_fill(tmp_path: Path, scl: str) -> None:
    facts = facts_of(scene(tmp_path, Quality(scl, "scl")))
    expected = "5 % fill, 10.5 % clouds, 5.26 % shadows, 0 % cirrus, 0 % snow, 21.1 % water"
    assert facts["before_quality"] == expected
    assert facts["valid_percent"] == 95
    part = facts_of(scene(tmp_path, Quality(scl, "scl"), first_row=8))  # of the part that both dates have
    assert str(part["before_quality"]).startswith("0 % fill, 0 % clouds, 0 % shadows, 0 % cirrus, 0 % snow, 25 % water")


def test_clouds_are_warned_of_until_they_are_left_out(tmp_path: Path, scl: str) -> None:
    warnings = facts_of(scene(tmp_path, Quality(scl, "scl")))["warnings"]
    assert warnings == (
        "11 % of before are clouds, says its quality band: to leave them out, set read.mask clouds,shadows"
    )
    config = ReadConfig(bands=[1], mask=["clouds", "shadows"])
    followed = facts_of(scene(tmp_path, Quality(scl, "scl"), config))
    assert followed["warnings"] == "read.mask leaves out nothing of after, which has no quality band"
    assert followed["valid_percent"] == 80


def test_a_class_that_the_band_lacks_is_named(tmp_path: Path) -> None:
    bqa = write(tmp_path / "bqa.tif", np.full((SIDE, SIDE), 2720, np.uint16))
    facts = facts_of(scene(tmp_path, Quality(bqa, "bqa"), ReadConfig(bands=[1], mask=["water"])))
    assert str(facts["warnings"]).startswith(
        "the quality band of before has no water, only clouds, shadows, cirrus, snow"
    )
    assert facts["valid_percent"] == 100


def test_a_band_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    odd = write(tmp_path / "odd.tif", np.full((SIDE, SIDE), 99, np.uint8))
    for path, fault in ((odd, "found value 99"), (str(tmp_path / "none.tif"), "no such file")):
        facts = facts_of(scene(tmp_path, Quality(path, "scl")))
        assert str(facts["warnings"]).startswith(f"the quality band of before is not used: {path}: ")
        assert fault in str(facts["warnings"])
        assert facts["valid_percent"] == 100


def test_a_small_part_of_the_range_of_the_type_is_reported(tmp_path: Path) -> None:
    dark = np.tile(np.linspace(0, 4000, SIDE).astype(np.uint16), (SIDE, 1))
    paths = write(tmp_path / "a.tif", dark), write(tmp_path / "b.tif", np.uint16(10) * dark)
    facts = facts_of(Scene.open(paths[:1], paths[1:], ReadConfig(bands=[1])))
    assert facts["before"] == "uint16, 0 to 4000 (6.1 % of the range of uint16)"
    assert facts["after"] == "uint16, 0 to 40000"
