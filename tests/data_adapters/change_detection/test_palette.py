"""Palette images: their colour table and its expansion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.palette import colour_table, expanded
from transect.data_adapters.change_detection.raster import Raster

RNG = np.random.default_rng(0)

INDEXES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
COLOURS = {0: (255, 255, 255, 255), 1: (10, 20, 30, 255), 2: (0, 0, 0, 0)}


def write(path: Path, driver: str, indexes: np.ndarray, colours: dict, **options: object) -> Path:
    height, width = indexes.shape
    profile = {"driver": driver, "width": width, "height": height, "count": 1, "dtype": indexes.dtype, **options}
    with rasterio.open(path, "w", **profile) as raster:
        raster.write_colormap(1, colours)
        raster.write(indexes, 1)
    return path


def table_of(path: Path, driver: str, indexes: np.ndarray = INDEXES) -> np.ndarray | None:
    with rasterio.open(write(path, driver, indexes, COLOURS)) as raster:
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


class TestRaster:
    """Palette images as one date of a pair."""

    def read(self, path: Path, bands: Sequence[int] = (1, 2, 3)) -> tuple[np.ndarray, np.ndarray]:
        with Raster([str(path)], ReadConfig(bands=list(bands))) as raster:
            return raster.read(0, 0, raster.grid.height, raster.grid.width)

    @pytest.mark.parametrize("driver", ["PNG", "GTiff", "GIF"])
    def test_has_the_bands_of_its_colours(self, tmp_path: Path, driver: str) -> None:
        colours = dict(enumerate(RNG.integers(0, 256, (256, 3)).tolist()))
        indexes = RNG.integers(0, 256, (30, 40), dtype=np.uint8)
        path = write(tmp_path / "a.img", driver, indexes, {index: (*colour, 255) for index, colour in colours.items()})
        expected = np.array([colours[index] for index in indexes.ravel()]).T.reshape(3, 30, 40)
        for bands in ([1, 2, 3], [3, 1], [2, 2, 2]):
            values, valid = self.read(path, bands)
            assert values.dtype == np.uint8
            assert np.array_equal(values, expected[[band - 1 for band in bands]])
            assert valid.all()

    def test_is_the_picture_whatever_the_order_of_its_palette(self, tmp_path: Path) -> None:
        black, white = (0, 0, 0, 255), (255, 255, 255, 255)
        first = write(tmp_path / "a.png", "PNG", INDEXES % 2, {0: black, 1: white})
        second = write(tmp_path / "b.png", "PNG", 1 - INDEXES % 2, {0: white, 1: black})
        assert np.array_equal(self.read(first)[0], self.read(second)[0])

    def test_has_no_data_where_its_colour_is_transparent(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", "PNG", INDEXES, COLOURS | {1: (9, 9, 9, 128)})
        assert np.array_equal(self.read(path)[1], INDEXES != 2)
        assert self.read(path, [4])[0].tolist() == [[[255, 128, 0], [0, 128, 255]]]

    def test_has_no_data_where_its_index_is_nodata(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", "GTiff", INDEXES, COLOURS, nodata=1)
        assert np.array_equal(self.read(path)[1], INDEXES != 1)

    def test_has_at_most_four_bands(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.tif", "GTiff", INDEXES, COLOURS)
        with pytest.raises(BadInput, match=r"bands: found 3, expected at least 4"):
            self.read(path, [1, 2, 4])

    def test_in_a_vrt_keeps_its_table(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png", "PNG", INDEXES, COLOURS)
        (tmp_path / "a.vrt").write_text(
            '<VRTDataset rasterXSize="3" rasterYSize="2"><VRTRasterBand dataType="Byte" band="1"><ColorInterp>Palette'
            '</ColorInterp><ColorTable><Entry c1="1" c2="2" c3="3" c4="255"/><Entry c1="9" c2="8" c3="7" c4="255"/>'
            '<Entry c1="0" c2="5" c3="0" c4="255"/></ColorTable><SimpleSource><SourceFilename relativeToVRT="1">a.png'
            "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
        )
        assert self.read(tmp_path / "a.vrt")[0][:, 0].T.tolist() == [[1, 2, 3], [9, 8, 7], [0, 5, 0]]

    def test_in_a_side_file_is_read(self, tmp_path: Path) -> None:
        with rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8"
        ) as raster:
            raster.write(INDEXES, 1)
        colours = ((1, 2, 3), (9, 8, 7), (0, 5, 0))
        entries = "".join(f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="255"/>' for red, green, blue in colours)
        (tmp_path / "a.tif.aux.xml").write_text(
            '<PAMDataset><PAMRasterBand band="1"><ColorInterp>Palette</ColorInterp>'
            f"<ColorTable>{entries}</ColorTable></PAMRasterBand></PAMDataset>"
        )
        assert self.read(tmp_path / "a.tif")[0][:, 0].T.tolist() == [list(colour) for colour in colours]

    def test_of_several_pictures_is_refused(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(INDEXES + frame, mode="P") for frame in range(2)]
        for frame in frames:
            frame.putpalette(list(range(12)))
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        with pytest.raises(BadInput, match=r"a\.gif: palette images: found 2, expected 1"):
            self.read(tmp_path / "a.gif")

    def test_block_counts_with_its_colours(self, tmp_path: Path) -> None:
        profile = {"driver": "GTiff", "width": 16384, "height": 8192, "count": 1, "dtype": "uint8", "sparse_ok": True}
        sizes = {"tiled": True, "blockxsize": 16384, "blockysize": 8192, "compress": "zstd"}
        with rasterio.open(tmp_path / "a.tif", "w", **profile, **sizes) as raster:
            raster.write_colormap(1, COLOURS)
        (tmp_path / "a.tif").open("ab").write(bytes(1 << 20))
        with pytest.raises(BadInput, match=r"block: found 16384 x 8192 pixels, expected at most 512 MB"):
            self.read(tmp_path / "a.tif")
