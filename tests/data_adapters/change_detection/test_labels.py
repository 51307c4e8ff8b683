"""Decoding of label values, determined for a whole file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.labels import LabelCoding, label_rule

WHITE, BLACK, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)


def write(path: Path, values: Any, **profile: Any) -> str:
    """Write (rows, width) or (rows, width, 3) values by the extension of `path`."""
    values = np.asarray(values)
    if path.suffix != ".tif":
        Image.fromarray(values.astype(np.uint8)).save(path, **profile)
        return str(path)
    bands = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    profile = {"driver": "GTiff", "dtype": bands.dtype, "count": len(bands), **profile}
    with rasterio.open(path, "w", height=bands.shape[1], width=bands.shape[2], **profile) as dataset:
        dataset.write(bands)
    return str(path)


def read(path: str, coding: LabelCoding = LabelCoding.BINARY) -> list[list[int]]:
    rule = label_rule(path, coding)
    with rasterio.open(path) as dataset:
        label = rule.apply(dataset.read())
    assert label.dtype == np.uint8
    assert label.shape == dataset.shape
    return label.tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0, 1], [1, 0]], [[0, 1], [1, 0]]),
        ([[0, 255], [255, 0]], [[0, 1], [1, 0]]),
        ([[0, 1], [255, 0]], [[0, 1], [255, 0]]),
        ([[1, 1], [255, 1]], [[1, 1], [255, 1]]),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
        ([[1, 1], [1, 1]], [[1, 1], [1, 1]]),
        ([[255, 255], [255, 255]], [[1, 1], [1, 1]]),
    ],
)
@pytest.mark.parametrize("extension", ["png", "tif", "bmp"])
@pytest.mark.parametrize("bands", [1, 3])
def test_binary_values(tmp_path: Path, values: Any, expected: Any, extension: str, bands: int) -> None:
    pixels = np.array(values, np.uint8)
    pixels = pixels if bands == 1 else np.repeat(pixels[..., None], 3, axis=2)
    assert read(write(tmp_path / f"label.{extension}", pixels)) == expected


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_other_types_hold_the_same_values(tmp_path: Path, dtype: str) -> None:
    assert read(write(tmp_path / "a.tif", np.array([[0, 255, 0]], dtype))) == [[0, 1, 0]]
    assert read(write(tmp_path / "b.tif", np.array([[0, 1, 255]], dtype))) == [[0, 1, 255]]


def test_nodata_that_the_file_declares_is_unknown(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.tif", np.array([[0, 255]], np.uint8), nodata=255)) == [[0, 255]]
    assert read(write(tmp_path / "b.tif", np.array([[0, 1, 9]], np.uint8), nodata=9)) == [[0, 1, 255]]
    # A file that declares its background as nodata still means no change there.
    assert read(write(tmp_path / "c.tif", np.array([[0, 255]], np.uint8), nodata=0)) == [[0, 1]]


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg_noise_is_cut_at_half(tmp_path: Path, bands: int) -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[13:41, 22:50] = 255
    pixels = truth if bands == 1 else np.repeat(truth[..., None], 3, axis=2)
    path = write(tmp_path / "label.jpg", pixels, quality=70)
    with rasterio.open(path) as dataset:
        assert len(np.unique(dataset.read())) > 2, "the file must be noisy for the test to mean something"
    wrong = (np.array(read(path)) != (truth > 0)).mean()
    assert wrong < 0.005


def test_jpeg_inside_a_tiff_is_noisy_too(tmp_path: Path) -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[16:48, 16:48] = 255
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    path = write(tmp_path / "label.tif", truth, compress="jpeg", JPEG_QUALITY=60, **tiles)
    assert (np.array(read(path)) != (truth > 0)).mean() < 0.005


def test_noise_without_jpeg_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "noisy.png", [[0, 3, 250, 255]])
    with pytest.raises(
        BadInput, match=r"noisy\.png: label values: found 0, 3, 250, 255, expected 0/1, 0/255 or 0/1/255"
    ):
        label_rule(path)


def test_one_colour_on_black_is_change(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.png", [[BLACK, RED], [RED, BLACK]])) == [[0, 1], [1, 0]]
    with pytest.raises(BadInput, match=r"label colours: found \(0, 0, 0\), \(0, 0, 255\), \(255, 0, 0\)"):
        label_rule(write(tmp_path / "b.png", [[BLACK, RED], [BLUE, BLACK]]))


def test_semantic_labels_are_changed_where_they_have_a_class(tmp_path: Path) -> None:
    colours = write(tmp_path / "a.png", [[WHITE, RED], [BLUE, (0, 128, 0)]])
    assert read(colours, LabelCoding.SEMANTIC) == [[0, 1], [1, 1]]
    assert read(write(tmp_path / "b.png", [[0, 3], [6, 0]]), LabelCoding.SEMANTIC) == [[0, 1], [1, 0]]


def test_oscd_and_bright_classes(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.tif", np.array([[1, 2]], np.uint8)), LabelCoding.ONE_TWO) == [[0, 1]]
    assert read(write(tmp_path / "b.tif", np.array([[1, 1]], np.uint8)), LabelCoding.ONE_TWO) == [[0, 0]]
    assert read(write(tmp_path / "c.tif", np.array([[0, 1, 2, 3]], np.uint8)), LabelCoding.DAMAGE) == [[0, 0, 1, 1]]
    with pytest.raises(BadInput, match="found 0, 2, expected 1 no change, 2 change"):
        label_rule(write(tmp_path / "d.tif", np.array([[0, 2]], np.uint8)), LabelCoding.ONE_TWO)
    with pytest.raises(BadInput, match="found 1, 2, expected 0/1"):
        label_rule(write(tmp_path / "e.tif", np.array([[1, 2]], np.uint8)))


def test_the_rule_is_the_files_and_not_the_windows(tmp_path: Path) -> None:
    """In a file with 0/1/255, a window with only 0 and 255 must not decode unknown as change."""
    values = np.zeros((3000, 2000), np.uint8)
    values[10:20] = 255
    values[-1, -1] = 1
    path = write(tmp_path / "large.tif", values, tiled=True, blockxsize=256, blockysize=256, compress="deflate")
    rule = label_rule(path)
    assert rule.apply(values[:100]).max() == 255
    assert np.array_equal(np.concatenate([rule.apply(values[row : row + 7]) for row in range(0, 3000, 7)]), values)


@given(
    st.sampled_from([(0, 1), (0, 255), (0, 1, 255)]).flatmap(
        lambda allowed: nps.arrays(np.uint8, (5, 6), elements=st.sampled_from(allowed))
    )
)
def test_any_window_reads_like_the_whole(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = write(tmp_path_factory.mktemp("label") / "label.png", values)
    rule = label_rule(path)
    whole = rule.apply(values)
    assert set(np.unique(whole)) <= {0, 1, 255}
    assert np.array_equal(whole > 0, values > 0)
    assert all(np.array_equal(rule.apply(values[row : row + 1]), whole[row : row + 1]) for row in range(5))
    assert pickle.loads(pickle.dumps(rule)) == rule


@given(nps.arrays(np.uint8, (4, 4)))
def test_any_other_values_are_named_or_binary(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> None:
    path = write(tmp_path_factory.mktemp("label") / "label.png", values)
    present = set(np.unique(values).tolist())
    if present <= {0, 1, 255}:
        assert label_rule(path).source == path
    else:
        with pytest.raises(BadInput, match="label values"):
            label_rule(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n truncated", b"<VRTDataset rasterXSize='1' rasterYSize='1'/>"]
)
def test_what_is_no_raster_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "label.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"label\.png: \w+: found .+, expected a .*raster") as caught:
        label_rule(str(path))
    assert "\n" not in str(caught.value)


def test_a_truncated_label_is_named(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "label.png", np.random.default_rng(0).integers(0, 2, (200, 200))))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadInput, match=r"label\.png"):
        label_rule(str(path))


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"label\.png: file: found no such file"):
        label_rule(str(tmp_path / "label.png"))


def test_fixtures_of_random_greys_are_refused_by_value(shared_file) -> None:
    """The sample labels of torchgeo have eight grey levels, which thresholding would silently accept."""
    label = shared_file("data/change_detection/torchgeo_formats/levircd/levircd/label/train_0.png")
    with pytest.raises(BadInput, match="found 0, 29, 76, 105, 150, 179, 226, 255, expected"):
        label_rule(str(label))
