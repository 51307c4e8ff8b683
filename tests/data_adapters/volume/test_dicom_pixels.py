"""Pixels in every transfer syntax, with the sample files of pydicom and pydicom-data."""

import base64
import contextlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_headers import read_headers
from transect.data_adapters.volume.dicom_pixels import read_frames
from transect.data_adapters.volume.dicom_slices import slices_of

HTJ2K = (
    "/0//UQApQAAAAAAQAAAAEAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQ"
    "kJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAHYAAf+TwAAmv/sFB3QAAMAAEsAAEoD+AId0AP4Ch3QAwAASwAATAN4AAnQA"
    "/PMAg1QAwAATwAAVQO7uoKfCdQD27e3twDGB7LYAwAAq4AAWiCRJkufAp6enQngA3l6v1+v1ev2IQHv2IQHsugD/2Q=="
)
"""16 x 16 voxels, 7 i modulo 4096, encoded by OpenJPH 0.26."""


def sample(name: str) -> Path:
    return Path(get_testdata_file(name, download=False))


def pixels(path: Path) -> np.ndarray:
    return read_frames(slices_of(path, read_headers(path)))[:, :, 0]


def placed(source: Path, target: Path, **elements: object) -> Path:
    """A copy of a sample that has lost its place in the patient, with one."""
    image = pydicom.dcmread(source)
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = [1, 1]
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    image.save_as(target)
    return target


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_RLE", "MR_small_jp2klossless"),
        *("MR_small_jpeg_ls_lossless", "MR_small_padded"),
    ],
)
def test_every_lossless_syntax_gives_the_same_values(name):
    np.testing.assert_array_equal(pixels(sample(f"{name}.dcm")), pydicom.dcmread(sample("MR_small.dcm")).pixel_array.T)


@pytest.mark.parametrize(("name", "plain"), [("693_J2KR", "693_UNCR"), ("MR2_J2KR", "MR2_UNCR")])
def test_jpeg_2000(tmp_path, name, plain):
    compressed, other = (placed(sample(f"{file}.dcm"), tmp_path / file) for file in (name, plain))
    np.testing.assert_array_equal(pixels(compressed), pixels(other))


def test_lossy_jpeg_and_deflated_files_are_decoded(tmp_path):
    lossy, plain = (placed(sample(name), tmp_path / name) for name in ("MR2_J2KI.dcm", "MR2_UNCI.dcm"))
    assert np.abs(pixels(lossy).astype(int) - pixels(plain)).max() < 40
    deflated = placed(sample("image_dfl.dcm"), tmp_path / "deflated.dcm")
    assert pixels(deflated).shape == (512, 512)
    np.testing.assert_array_equal(pixels(deflated), pydicom.dcmread(sample("image_dfl.dcm")).pixel_array.T)


def compressed_by_openjph(path: Path, code: bytes) -> Path:
    image = pydicom.dcmread(sample("MR_small.dcm"))
    image.Rows = image.Columns = 16
    image.PixelRepresentation = 0
    image.PixelData = encapsulate([code])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = HTJ2KLossless
    image.save_as(path)
    return path


def test_high_throughput_jpeg_2000(tmp_path):
    path = compressed_by_openjph(tmp_path / "ht.dcm", base64.b64decode(HTJ2K))
    np.testing.assert_array_equal(pixels(path), (np.arange(256) * 7 % 4096).reshape(16, 16).T)


def test_a_compressed_stream_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    code = bytearray(base64.b64decode(HTJ2K))
    code[8:16] = (60000).to_bytes(4, "big") * 2
    path = compressed_by_openjph(tmp_path / "ht.dcm", bytes(code))
    with pytest.raises(
        BadInput, match=r"found a compressed frame of \(60000, 60000, 1\), expected 16 columns, 16 rows"
    ):
        pixels(path)


@pytest.mark.parametrize("name", ["JPEG-LL.dcm", "MR_small_jpeg_ls_lossless.dcm"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(flips=st.lists(st.tuples(st.integers(0, 55), st.integers(0, 255)), min_size=1, max_size=4))
def test_headers_that_crash_decoders_are_refused_before_they_are_decoded(tmp_path_factory, name, flips):
    """GDCM ends the process on damaged headers of JPEG Lossless, such as a precision above 16."""
    image = pydicom.dcmread(sample(name))
    code = bytearray(pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1))
    for place, value in flips:
        code[place] = value
    image.PixelData = encapsulate([bytes(code)])
    path = tmp_path_factory.getbasetemp() / name
    image.save_as(path)
    with contextlib.suppress(BadInput):
        assert pixels(placed(path, path)).shape == (image.Columns, image.Rows)


def test_a_missing_decoder_is_named_with_its_package(monkeypatch, tmp_path):
    path = placed(sample("JPEG-LL.dcm"), tmp_path / "ll.dcm")
    decoder = pydicom.pixels.get_decoder(pydicom.dcmread(path).file_meta.TransferSyntaxUID)
    monkeypatch.setattr(decoder, "_available", {})
    with pytest.raises(BadInput, match=r"TransferSyntaxUID: found JPEG Lossless.*; pip install python-gdcm"):
        pixels(path)


@pytest.mark.parametrize(
    ("stored", "high", "signed", "expected"),
    [(12, 11, 0, 0xABC), (12, 11, 1, 0xABC - 0x1000), (12, 15, 0, 0xFAB), (16, 15, 0, 0xFABC), (8, 7, 1, 0xBC - 256)],
)
def test_bits_beyond_those_stored_are_no_values(tmp_path, stored, high, signed, expected):
    path = placed(sample("MR_small.dcm"), tmp_path / "a.dcm", BitsStored=stored, HighBit=high)
    image = pydicom.dcmread(path)
    image.PixelRepresentation = signed
    image.PixelData = np.full((64, 64), 0xFABC, "<u2").tobytes()
    image.save_as(path)
    assert set(pixels(path).ravel().tolist()) == {expected}


def test_inverted_grey_levels_are_inverted_unless_values_are_physical(tmp_path):
    source = sample("MR_small.dcm")
    plain = pixels(placed(source, tmp_path / "a.dcm", BitsStored=12, HighBit=11, PixelRepresentation=0))
    elements = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME1"}
    np.testing.assert_array_equal(pixels(placed(source, tmp_path / "b.dcm", **elements)), 4095 - plain)
    np.testing.assert_array_equal(pixels(placed(source, tmp_path / "c.dcm", **elements, Modality="CT")), plain)


def test_colour_packed_bits_and_truncated_pixels_are_named(tmp_path):
    with pytest.raises(BadInput, match="SamplesPerPixel: found 3"):
        pixels(sample("SC_rgb_small_odd.dcm"))
    with pytest.raises(BadInput, match="BitsAllocated: found 12, expected 1, 8, 16, 32"):
        pixels(placed(sample("MR_small.dcm"), tmp_path / "a.dcm", BitsAllocated=12, BitsStored=12, HighBit=11))
    with pytest.raises(BadInput, match=r"PixelData: found .*truncated"):
        pixels(sample("MR_truncated.dcm"))
    with pytest.raises(BadInput, match="ModalityLUTSequence"):
        pixels(placed(sample("mlut_18.dcm"), tmp_path / "lut.dcm"))


def test_jpeg_lossless(tmp_path):
    """The decoder of imagecodecs gives the same sum and maximum."""
    values = pixels(placed(sample("JPEG-LL.dcm"), tmp_path / "ll.dcm"))
    assert values.shape == (256, 1024)
    assert (int(values.astype(int).sum()), int(values.max())) == (3596452, 278)


def with_pixels(folder: Path, first: int) -> Path:
    """A small uncompressed image whose values count from `first`."""
    path = placed(sample("MR_small.dcm"), folder / "image.dcm", Rows=4, Columns=6)
    image = pydicom.dcmread(path)
    image.PixelData = np.arange(first, first + 24, dtype="<i2").tobytes()
    image.save_as(path)
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_uncompressed_pixels_are_read_without_parsing_the_header_again(tmp_path, monkeypatch, whole):
    path = with_pixels(tmp_path, -5)
    images = slices_of(path, read_headers(path, whole))
    monkeypatch.setattr("transect.data_adapters.volume.dicom_pixels.dcmread", None)
    values = read_frames(images)[:, :, 0]
    assert values.dtype == np.int16
    np.testing.assert_array_equal(values, np.arange(-5, 19).reshape(4, 6).T)


def test_pixels_of_a_file_that_has_changed_since_its_header_was_read_are_those_of_the_file(tmp_path):
    path = with_pixels(tmp_path, 0)
    images = slices_of(path, read_headers(path))
    image = pydicom.dcmread(path)
    image.StudyDescription = "longer than before, so that the pixels begin later"
    image.save_as(path)
    np.testing.assert_array_equal(read_frames(images)[:, :, 0], np.arange(24).reshape(4, 6).T)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00OW") + 40])
    with pytest.raises(BadInput, match="PixelData"):
        read_frames(images)
