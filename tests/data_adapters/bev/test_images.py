"""Images: what is read and what is refused, and where a point lies after they are prepared."""

import os
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.images import prepare, read_image

K = np.array([[1000.0, 0, 799.5], [0, 900.0, 449.5], [0, 0, 1]])
RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_an_image_of_nuscenes_is_prepared_as_it_was_for_the_published_training() -> None:
    image = np.zeros((900, 1600, 3), np.uint8)
    image[:200] = 255
    prepared, matrix = prepare(image, K, ReadConfig())
    assert prepared.shape == (224, 480, 3)
    assert np.array_equal(matrix, [[300, 0, 799.5 * 0.3], [0, 270, 449.5 * 0.3 - 46], [0, 0, 1]])
    assert prepared[:13].min() == 255  # the first 60 of 270 rows were white, and 46 are cropped
    assert prepared[15:].max() == 0


def test_a_wide_image_gets_black_rows_on_top_and_its_k_follows() -> None:
    image = np.full((375, 1242, 3), 200, np.uint8)
    prepared, matrix = prepare(image, K, ReadConfig())
    assert prepared[:79].max() == 0
    assert prepared[79:].min() == 200
    assert matrix[1, 2] == 449.5 * 145 / 375 + 79


@pytest.mark.parametrize("size", [(900, 1600), (375, 1242), (400, 300), (112, 240), (28, 60)])
def test_a_spot_stays_within_half_a_pixel_of_where_k_puts_it(size: tuple[int, int]) -> None:
    config = ReadConfig(height=112, width=240)
    row, column = round(size[0] * 0.7), round(size[1] * 0.4)
    image = np.zeros((*size, 3), np.uint8)
    image[row - 4 : row + 5, column - 4 : column + 5] = 255
    prepared, matrix = prepare(image, np.eye(3), config)
    weights = prepared[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :240]
    middle = np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()
    assert np.abs(middle - (matrix @ [column, row, 1])[:2]).max() < 0.5


def test_colours_come_in_the_order_red_green_blue(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
def test_grey_palette_and_opaque_images_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(RGB[..., 0])
    grey.convert(mode).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), np.repeat(RGB[..., :1], 3, 2))


def _deep_grey(path: Path) -> None:
    cv2.imwrite(str(path), RGB[..., 0].astype(np.uint16) * 256)


def _deep_colour(path: Path) -> None:
    cv2.imwrite(str(path), RGB.astype(np.uint16) * 256)


def _transparent(path: Path) -> None:
    Image.fromarray(np.dstack([RGB, RGB[..., 0]])).save(path)


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(path, exif=exif)


def _truncated(path: Path) -> None:
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:-900])


def _claiming(path: Path, width: int, height: int) -> None:
    """A PNG of a few bytes whose header says that it is larger."""
    Image.fromarray(RGB).save(path)
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_deep_grey, "colours: found 16 bits"),
        (_deep_colour, "colours: found 16 bits"),
        (lambda path: Image.new("CMYK", (60, 40)).save(path, "JPEG"), "colours: found CMYK"),
        (_transparent, "transparency"),
        (_turned, "EXIF orientation: found 6"),
        (_truncated, "truncated"),
        (lambda path: path.write_bytes(b""), "cannot identify"),
        (lambda path: path.write_text("GIF89a"), "cannot identify"),
        (lambda path: Image.new("RGB", (10, 40)).save(path), "at least 16 pixels"),
        (lambda path: Image.new("RGB", (2000, 20)).save(path), "ratio"),
        (partial(_claiming, width=10_000, height=7000), "at most 67108864 pixels"),
        (partial(_claiming, width=20_000, height=20_000), "decompression bomb|at most 67108864 pixels"),
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "a pipe"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_has_no_single_meaning_or_is_damaged_is_refused(tmp_path: Path, write: Any, words: str) -> None:
    path = tmp_path / "a.png"
    write(path)
    with pytest.raises(BadInput, match=words):
        read_image(path)


def test_the_tiff_of_a_deep_camera_is_refused(tmp_path: Path) -> None:
    _deep_colour(tmp_path / "a.tif")
    with pytest.raises(BadInput, match="16 bits"):
        read_image(tmp_path / "a.tif")
