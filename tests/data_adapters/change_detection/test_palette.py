"""Palette images: their colour table and its expansion."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from transect.data_adapters.change_detection.palette import colour_table, expanded

INDEXES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
COLOURS = {0: (255, 255, 255, 255), 1: (10, 20, 30, 255), 2: (0, 0, 0, 0)}


def table_of(path: Path, driver: str, indexes: np.ndarray = INDEXES) -> np.ndarray | None:
    height, width = indexes.shape
    profile = {"driver": driver, "width": width, "height": height, "count": 1, "dtype": indexes.dtype}
    with rasterio.open(path, "w", **profile) as raster:
        raster.write(indexes, 1)
        raster.write_colormap(1, COLOURS)
    with rasterio.open(path) as raster:
        return colour_table(raster)


@pytest.mark.parametrize(("driver", "transparent"), [("PNG", 0), ("GTiff", 255)])
def test_indexes_become_the_colours_of_the_table(tmp_path: Path, driver: str, transparent: int) -> None:
    table = table_of(tmp_path / "a", driver)
    pixels = expanded(INDEXES, table)
    assert pixels.dtype == np.uint8
    assert pixels[:, 0].T.tolist() == [[255, 255, 255, 255], [10, 20, 30, 255], [0, 0, 0, transparent]]
    assert np.array_equal(pixels[:, 1], pixels[:, 0, ::-1])


def test_an_index_without_an_entry_is_transparent(tmp_path: Path) -> None:
    pixels = expanded(np.array([[1, 3]]), table_of(tmp_path / "a.png", "PNG")[:, :3])
    assert pixels[:, 0].T.tolist() == [[10, 20, 30, 255], [0, 0, 0, 0]]


def test_tables_of_16_bits_have_all_their_entries(tmp_path: Path) -> None:
    table = table_of(tmp_path / "a.tif", "GTiff", INDEXES.astype(np.uint16))
    assert table.shape == (4, 65536)
    assert table[:3, :3].T.tolist() == [[255, 255, 255], [10, 20, 30], [0, 0, 0]]


def test_rasters_without_a_table_are_no_palette_images(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 3, "height": 2, "count": 1, "dtype": "uint8"}
    for interpretation in (ColorInterp.gray, ColorInterp.palette):
        with rasterio.open(tmp_path / "a.vrt", "w", **(profile | {"driver": "VRT"})) as raster:
            raster.colorinterp = [interpretation]
        with rasterio.open(tmp_path / "a.vrt") as raster:
            assert raster.colorinterp == (interpretation,)
            assert colour_table(raster) is None
