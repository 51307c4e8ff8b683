"""Landsat scenes: bands by name, reflectance of level 1 and 2, and the units of a pair."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.pairs import Pair

Landsat = Callable[..., Path]

L1 = "LC08_L1TP_195025_20130707_20200912_02_T1"
L2, L2_TM = "LC08_L2SP_195025_20130707_20200912_02_T1", "LT05_L2SP_195025_20050707_20200902_02_T1"
COLLECTION_1 = "LT05_L1TP_195025_20050707_20161214_01_T1"
MTL = """GROUP = LANDSAT_METADATA_FILE
    DATE_ACQUIRED = 2013-07-07
    SUN_ELEVATION = 30.0
    REFLECTANCE_MULT_BAND_4 = 2.0000E-05
    REFLECTANCE_MULT_BAND_5 = 2.0000E-05
    REFLECTANCE_ADD_BAND_4 = -0.100000
    REFLECTANCE_ADD_BAND_5 = -0.100000
END
"""


def pair_and_values(*inputs: Path, **settings: object) -> tuple[Pair, np.ndarray, np.ndarray, str]:
    adapter = ChangeAdapter(ReadConfig(**settings))  # type: ignore[arg-type]
    (pair,) = adapter.cases(*map(str, inputs))
    scene = adapter.read(pair)
    strip = scene.window(0, 0, 4, 4)
    warnings = str(adapter.check(pair, scene, None).get("warnings", ""))
    return pair, strip.before[:, 0, 0], strip.after[:, 0, 0], warnings


def test_level_2_of_two_sensors_by_the_same_names(landsat: Landsat) -> None:
    old = landsat(L2_TM, {"SR_B3": 10_000, "SR_B4": 12_000, "SR_B5": 14_000, "ST_B6": 40_000}, quality="QA_PIXEL")
    new = landsat(L2, {"SR_B4": 10_000, "SR_B5": 12_000, "SR_B6": 14_000, "ST_B10": 40_000}, quality="QA_PIXEL")
    pair, first, second, warnings = pair_and_values(old, new, bands=["red", "nir", "swir16", "thermal"])
    expected = [*(2.75e-5 * np.array([10_000, 12_000, 14_000]) - 0.2), 0.00341802 * 40_000 + 149]
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_allclose(second, expected, rtol=1e-6)
    assert [quality.kind for product in pair.products if product and (quality := product.quality)] == ["qa_pixel"] * 2
    assert [product.sensor for product in pair.products if product] == ["Landsat 4-5 TM", "Landsat 8-9 OLI"]
    assert pair.dates == ("2005-07-07", "2013-07-07")
    assert not warnings


def test_a_folder_with_the_folders_of_two_scenes_is_a_pair(landsat: Landsat) -> None:
    old = landsat(L2_TM, {"SR_B3": 10_000}, quality="QA_PIXEL")
    new = landsat(L2, {"SR_B4": 12_000}, quality="QA_PIXEL")
    pair, first, second, _ = pair_and_values(old.parent, bands=["red"])
    assert pair.dates == ("2005-07-07", "2013-07-07")
    np.testing.assert_allclose([first[0], second[0]], [0.075, 0.13], rtol=1e-6)
    new.rename(old.parent / "renamed")
    assert pair_and_values(old.parent, bands=["red"])[0].dates == pair.dates


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / f"{L2}.tar"
    archive.touch()
    with pytest.raises(BadInput, match=r"\.tar: input: found an archive, expected a folder of band files; unpack it"):
        ChangeAdapter(ReadConfig()).cases(str(archive), str(archive))


def test_level_2_of_collection_1(landsat: Landsat) -> None:
    values = {"sr_band3": 3000, "sr_band4": 4000, "toa_band3": 1, "bt_band6": 1}
    pair, first, _, _ = pair_and_values(*[landsat(COLLECTION_1, values, dtype="int16")] * 2, bands=["nir", "red"])
    np.testing.assert_allclose(first, [0.4, 0.3], rtol=1e-6)
    assert pair.products[0]
    assert (pair.products[0].fill, pair.products[0].level) == (-9999, "surface")


def test_level_1_is_divided_by_the_sine_of_the_suns_elevation(landsat: Landsat) -> None:
    scene = landsat(L1, {"B4": 10_000, "B5": 20_000}, MTL)
    pair, first, second, warnings = pair_and_values(scene, scene, bands=["red", "nir"])
    expected = (2e-5 * np.array([10_000, 20_000]) - 0.1) / math.sin(math.radians(30))
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_array_equal(first, second)
    assert f"{scene}/{L1}_MTL.txt" in pair.files
    assert warnings.startswith("before and after are the same: ")
    assert "reflectance" not in warnings


def test_a_mask_without_a_quality_band_is_warned_of(landsat: Landsat) -> None:
    masked, plain = landsat(L2_TM, {"SR_B3": 10_000}, quality="QA_PIXEL"), landsat(L2, {"SR_B4": 10_000})
    warnings = pair_and_values(masked, plain, bands=["red"], mask=["clouds"])[3]
    assert warnings == "read.mask leaves out nothing of after, which has no quality band"


def test_thermal_bands_of_level_1_keep_their_values_next_to_reflectance(landsat: Landsat) -> None:
    scene = landsat(L1, {"B4": 10_000, "B10": 25_000}, MTL)
    _, first, _, warnings = pair_and_values(scene, scene, bands=["red", "thermal"])
    np.testing.assert_allclose(first, [0.2, 25_000], rtol=1e-6)
    assert "thermal: stored values, which are not reflectance" in warnings


def test_surface_and_top_of_atmosphere_are_warned_of(landsat: Landsat) -> None:
    new = landsat(L2, {"SR_B4": 10_000})
    _, first, second, warnings = pair_and_values(landsat(L1, {"B4": 10_000}, MTL), new, bands=["red"])
    np.testing.assert_allclose([first[0], second[0]], [0.2, 0.075], rtol=1e-5)
    assert warnings == "both dates are 2013-07-07; reflectance of the top of atmosphere before, of the surface after"


def test_stored_values_of_both_where_one_has_no_metadata(landsat: Landsat) -> None:
    old = landsat(COLLECTION_1, {"B3": 80}, quality="BQA", dtype="uint8")
    pair, first, second, warnings = pair_and_values(old, landsat(L1, {"B4": 10_000}, MTL), bands=["red"])
    assert (first.tolist(), second.tolist()) == ([80], [10_000])
    assert f"{COLLECTION_1}: stored values, since there is no metadata file" in warnings
    assert "stored values of both dates, since those of before cannot be scaled" in warnings
    assert pair.products[0]
    assert pair.products[0].quality
    assert pair.products[0].quality.kind == "bqa"


def test_the_real_pairs(samples: Path, fixtures: Path) -> None:
    _, first, second, warnings = pair_and_values(samples / "landsat5_2000_2010", bands=["swir2", "red"])
    assert (first.dtype, second.dtype) == (np.uint8, np.uint8)  # the second date has no factors of reflectance
    assert "LT51670552010352MLK00_MTL.txt has no factors of reflectance" in warnings
    _, first, second, warnings = pair_and_values(fixtures / "change_detection/landsat7_2001_landsat8_2013")
    assert 0.02 < first.min() < first.max() < 0.3
    assert np.abs(first - second).max() < 0.1  # stored values differ by a factor of 100
    assert not warnings


def test_band_files_that_are_named_one_by_one_are_a_product_too(landsat: Landsat) -> None:
    folder = landsat(L2, {"SR_B4": 10_000, "SR_B3": 11_000, "SR_B2": 12_000})
    files = [str(folder / f"{L2}_SR_B{band}.TIF") for band in (4, 3, 2)]
    adapter = ChangeAdapter(ReadConfig(bands=[3, 1]))
    (pair,) = adapter.cases(",".join(files), files[0])
    assert pair.before == (files[2], files[0])  # numbers count the given files
    assert pair.products[0]
    assert pair.products[0].names == ("blue", "red")
    assert pair.products[0].fill == 0
    adapter = ChangeAdapter(ReadConfig(bands=[1, 1]))
    (pair,) = adapter.cases(files[0], files[1])
    np.testing.assert_allclose(
        adapter.read(pair).window(0, 0, 1, 1).after.ravel(), [2.75e-5 * 11_000 - 0.2] * 2, rtol=1e-6
    )
    (pair,) = (adapter := ChangeAdapter(ReadConfig(bands=["blue"]))).cases(",".join(files), ",".join(files))
    np.testing.assert_allclose(adapter.read(pair).window(0, 0, 1, 1).after.ravel(), 2.75e-5 * 12_000 - 0.2, rtol=1e-6)


def test_metadata_that_cannot_be_used(landsat: Landsat, tmp_path: Path) -> None:
    scene = landsat(L1, {"B4": 10_000}, MTL.replace("30.0", "low"))
    with pytest.raises(BadInput, match=r"MTL.txt: SUN_ELEVATION: found low, expected a number"):
        pair_and_values(scene, scene, bands=["red"])
    (scene / f"{L1}_MTL.txt").rename(tmp_path / "secret.txt")
    (scene / f"{L1}_MTL.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(BadInput, match=r"MTL.txt: side file: found a link or a pipe"):
        pair_and_values(scene, scene, bands=["red"])
