"""Bands by name in rasters that are no known product."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig

Write = Callable[..., Path]


def four_bands(raster: Write, path: Path, names: list[str] | None = None, **profile: object) -> str:
    raster(path, np.full((4, 8, 8), 10, "uint8") * np.arange(1, 5, dtype="uint8")[:, None, None], **profile)
    if names:
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = names
    return str(path)


def first_pixel(path: str, bands: list[int | str]) -> list[int]:
    adapter = ChangeAdapter(ReadConfig(bands=bands))
    (pair,) = adapter.cases(path, path)
    return adapter.read(pair).window(0, 0, 1, 1).after.ravel().tolist()


def test_names_from_descriptions_and_colours(raster: Write, tmp_path: Path) -> None:
    described = four_bands(raster, tmp_path / "a.tif", ["Blue", "NIR", "Red Edge", "SWIR-22"])
    assert first_pixel(described, ["swir2", "blue", "rededge"]) == [40, 10, 30]
    coloured = four_bands(raster, tmp_path / "b.tif", photometric="RGB", alpha="yes")
    assert first_pixel(coloured, ["blue", "red"]) == [30, 10]


def test_the_advice_for_a_raster_without_names_works(raster: Write, tmp_path: Path) -> None:
    plain = four_bands(raster, tmp_path / "c.tif", photometric="MINISBLACK")
    with pytest.raises(BadInput, match=r"names of bands: found no descriptions of bands, expected nir, red; .*\[1,2\]"):
        first_pixel(plain, ["nir", "red"])
    assert first_pixel(plain, [1, 2]) == [10, 20]
    with rasterio.open(plain, "r+") as dataset:
        dataset.descriptions = ["red", "green", "blue", "nir"]
    assert first_pixel(plain, ["nir", "red"]) == [40, 10]
    with pytest.raises(BadInput, match="names of bands: found red, green, blue, nir, expected swir1"):
        first_pixel(plain, ["swir1"])


def test_single_band_files(raster: Write, tmp_path: Path) -> None:
    files = []
    for number, name in enumerate(("nir", "red"), 1):
        path = raster(tmp_path / f"{number}.tif", np.full((1, 8, 8), number, "uint8"))
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = [name]
        files.append(str(path))
    assert first_pixel(",".join(files), ["red", "nir"]) == [2, 1]


def test_oscd_has_the_bands_of_sentinel_2(shared_file: Callable[[str], Path]) -> None:
    adapter = ChangeAdapter(ReadConfig(bands=["nir08", "red"]))
    pairs = adapter.cases(str(shared_file("data/change_detection/torchgeo_formats/oscd")))
    assert {tuple(Path(path).name for path in side) for pair in pairs for side in (pair.before, pair.after)} == {
        ("B8A.tif", "B04.tif")
    }
    assert not any(product.note for pair in pairs for product in pair.products if product)
