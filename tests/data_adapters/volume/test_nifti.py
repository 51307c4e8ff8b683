"""NIfTI files of every kind that hospitals and programs leave, and masks on their grids."""

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.nifti import read_grid, read_nifti, write_nifti
from transect.data_adapters.volume.volume import Grid

AFFINE = np.array([[-1.5, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 4, -40], [0, 0, 0, 1.0]])


def image(shape=(6, 5, 4), dtype=np.int16, affine=AFFINE) -> nibabel.Nifti1Image:
    result = nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=dtype).reshape(shape), affine)
    result.header.set_xyzt_units("mm")
    return result


@pytest.fixture
def file(tmp_path: Path) -> Path:
    nibabel.save(image(), tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


@pytest.mark.parametrize(
    ("name", "codes", "origin"),
    [
        ("both", (1, 2), (45.25, 24.25, -19)),
        ("qform_only", (1, 0), (35.25, 29.25, -22)),
        ("sform_only", (0, 1), (45.25, 24.25, -19)),
        ("neither", (0, 0), None),
    ],
)
def test_sform_before_qform_before_voxel_sizes_and_a_mask_keeps_both(hospital, tmp_path, name, codes, origin):
    path = hospital("04_sform_and_qform_differ") / f"{name}.nii.gz"
    volume = read_nifti(path)
    block = volume.values == 400
    assert (volume.grid.voxel_volume, block.sum()) == (pytest.approx(9.0), 1920)
    assert block.sum() * volume.grid.voxel_volume / 1000 == pytest.approx(17.28)
    if origin:
        np.testing.assert_allclose(volume.grid.affine[:3, 3], origin, atol=1e-5)
    assert bool(volume.warnings) == (name == "neither")
    write_nifti(tmp_path / "mask.nii.gz", block.astype(np.uint8), volume)
    mask, source = nibabel.load(tmp_path / "mask.nii.gz"), nibabel.load(path)
    assert mask.get_data_dtype() == np.uint8
    assert (int(mask.header["qform_code"]), int(mask.header["sform_code"])) == codes
    for form in ("get_qform", "get_sform"):
        np.testing.assert_array_equal(getattr(mask, form)(), getattr(source, form)())
    np.testing.assert_array_equal(mask.affine, source.affine)
    np.testing.assert_array_equal(mask.header["pixdim"][:4], source.header["pixdim"][:4])
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), block)


def test_a_sheared_affine_is_read_and_kept(hospital, tmp_path):
    path = hospital("05_sheared_affine") / "sheared.nii.gz"
    volume = read_nifti(path)
    block = volume.values == 400
    assert volume.grid.voxel_volume == pytest.approx(11.25)
    assert block.sum() * volume.grid.voxel_volume / 1000 == pytest.approx(21.6)
    np.testing.assert_allclose(volume.grid.world(np.argwhere(block)).mean(0), 0, atol=1e-4)
    write_nifti(tmp_path / "mask.nii.gz", block.astype(np.uint8), volume)
    mask, source = nibabel.load(tmp_path / "mask.nii.gz"), nibabel.load(path)
    np.testing.assert_array_equal(mask.affine, source.affine)
    assert int(mask.header["qform_code"]) == 0


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e3), ("meter", 1e-3), ("mm", 1.0), ("unknown", 1.0)])
def test_every_unit_becomes_millimetres_and_a_mask_keeps_the_unit(tmp_path, unit, factor):
    source = image(affine=np.diag([*np.diag(AFFINE)[:3] * factor, 1.0]))
    source.header.set_xyzt_units(unit)
    nibabel.save(source, tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.grid.spacing, (1.5, 1.5, 4.0), rtol=1e-6)
    write_nifti(tmp_path / "mask.nii.gz", np.zeros(volume.grid.shape, np.uint8), volume)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert mask.header.get_xyzt_units()[0] == unit
    np.testing.assert_array_equal(mask.affine, nibabel.load(tmp_path / "a.nii.gz").affine)


def test_an_uncompressed_file_called_gz_and_a_compressed_one_called_nii_are_read(tmp_path, file):
    plain = gzip.decompress(file.read_bytes())
    (tmp_path / "plain.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(file.read_bytes())
    for name in ("plain.nii.gz", "packed.nii"):
        np.testing.assert_array_equal(read_nifti(tmp_path / name).values, np.asanyarray(image().dataobj))


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_versions_and_byte_orders_are_read_and_masks_are_of_the_same_version(tmp_path, kind, order):
    source = kind(np.asanyarray(image().dataobj), AFFINE, kind.header_class(endianness=order), dtype=np.int16)
    nibabel.save(source, tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    np.testing.assert_array_equal(volume.values, np.asanyarray(image().dataobj))
    assert volume.values.dtype == np.dtype("=i2")
    write_nifti(tmp_path / "mask.nii.gz", volume.values > 3, volume)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert type(mask) is kind
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), volume.values > 3)


def test_axes_of_length_one_are_dropped_and_four_axes_need_an_index(tmp_path):
    nibabel.save(image((6, 5, 4, 1)), tmp_path / "single.nii.gz")
    nibabel.save(image((6, 5, 4, 3)), tmp_path / "four.nii.gz")
    single = read_nifti(tmp_path / "single.nii.gz")
    assert single.values.shape == single.grid.shape == (6, 5, 4)
    write_nifti(tmp_path / "mask.nii.gz", np.ones((6, 5, 4), np.uint8), single)
    assert nibabel.load(tmp_path / "mask.nii.gz").shape == (6, 5, 4)
    with pytest.raises(BadInput, match=r"axes: found 6 x 5 x 4 x 3, expected three; read.index chooses one"):
        read_nifti(tmp_path / "four.nii.gz")
    np.testing.assert_array_equal(
        read_nifti(tmp_path / "four.nii.gz", 2).values, np.asanyarray(image((6, 5, 4, 3)).dataobj)[..., 2]
    )
    with pytest.raises(BadInput, match="index: found 3, expected 0 to 2"):
        read_nifti(tmp_path / "four.nii.gz", 3)


def test_scaled_values_are_scaled_and_a_mask_is_not(tmp_path):
    source = image()
    source.header.set_slope_inter(0.5, -3)
    nibabel.save(source, tmp_path / "a.nii.gz")
    saved = nibabel.load(tmp_path / "a.nii.gz")
    volume = read_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.values, saved.get_fdata(), atol=1e-3)
    write_nifti(tmp_path / "mask.nii.gz", volume.values > 2, volume)
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(mask.get_fdata(), volume.values > 2)


def test_a_mask_says_nothing_of_the_patient(tmp_path):
    source = image()
    source.header["descrip"], source.header["db_name"], source.header["aux_file"] = b"DOE JANE", b"4711", b"/doe/x"
    source.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE JANE"))
    nibabel.save(source, tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    write_nifti(tmp_path / "mask.nii", np.zeros(volume.grid.shape, np.uint8), volume)
    content = (tmp_path / "mask.nii").read_bytes()
    assert b"DOE" not in content
    assert b"4711" not in content
    assert b"/doe" not in content


def test_a_grid_alone_is_written_with_both_forms(tmp_path):
    grid = Grid((6, 5, 4), AFFINE)
    write_nifti(tmp_path / "a.nii.gz", np.zeros(grid.shape, np.uint8), grid)
    saved = nibabel.load(tmp_path / "a.nii.gz")
    assert (int(saved.header["qform_code"]), int(saved.header["sform_code"])) == (1, 1)
    np.testing.assert_allclose(saved.get_qform(), AFFINE, atol=1e-5)
    assert read_grid(tmp_path / "a.nii.gz").matches(grid)
    with pytest.raises(ValueError, match="found shape"):
        write_nifti(tmp_path / "a.nii.gz", np.zeros((2, 2, 2), np.uint8), grid)


def test_a_header_that_claims_terabytes_is_refused_before_memory_is_taken(tmp_path, file):
    plain = bytearray(gzip.decompress(file.read_bytes()))
    plain[42:48] = np.array([1200, 1200, 1200], "<i2").tobytes()
    (tmp_path / "big.nii").write_bytes(plain)
    (tmp_path / "big.nii.gz").write_bytes(gzip.compress(bytes(plain)))
    plain[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    (tmp_path / "huge.nii").write_bytes(plain)
    for name in ("big.nii", "big.nii.gz", "huge.nii"):
        with pytest.raises(BadInput, match="size: found"):
            read_nifti(tmp_path / name)


def test_truncated_files_nan_colours_and_other_files_are_named(tmp_path, file):
    (tmp_path / "cut.nii.gz").write_bytes(file.read_bytes()[:-20])
    (tmp_path / "cut.nii").write_bytes(gzip.decompress(file.read_bytes())[:-20])
    (tmp_path / "text.nii").write_text("not an image " * 100)
    (tmp_path / "empty.nii").write_text("")
    values = np.zeros((3, 3, 3), np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "nan.nii")
    nibabel.save(nibabel.Nifti1Image(values.astype(np.complex64), AFFINE), tmp_path / "complex.nii")
    nibabel.save(nibabel.Nifti1Pair(values * 0, AFFINE), tmp_path / "pair.img")
    for name, words in {
        "cut.nii.gz": "cut.nii.gz",
        "cut.nii": "size: found",
        "text.nii": "format: found no NIfTI signature",
        "empty.nii": "format: found no NIfTI signature",
        "nan.nii": "voxels: found 2 that are NaN or infinite",
        "complex.nii": "datatype: found complex64",
        "pair.hdr": "header of two files",
        "missing.nii": "No such file",
    }.items():
        with pytest.raises(BadInput, match=words):
            read_nifti(tmp_path / name)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.nii.gz")
    with pytest.raises(BadInput, match="file: found a pipe or a device"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@settings(max_examples=150, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_give_a_volume_or_bad_input(tmp_path_factory, name, flips):
    content = bytearray(image().to_bytes())
    content = bytearray(gzip.compress(bytes(content))) if name.endswith(".gz") else content
    for place, bits in flips:
        content[place % len(content)] ^= bits
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        volume = read_nifti(path)
    except BadInput:
        return
    assert volume.values.shape == volume.grid.shape
    assert np.isfinite(volume.grid.affine).all()
    assert volume.grid.voxel_volume > 0
