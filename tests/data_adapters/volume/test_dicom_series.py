"""Series of DICOM images: positions, gaps, repetitions, strays, several series, and enhanced files."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume import dicom_headers
from transect.data_adapters.volume.dicom_series import Preference, choose, read_stack
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.dicom_stacks import Stack, stacks_of
from transect.data_adapters.volume.phantom import abdomen, write_series

MR = Preference(("MR",))


def stacks(folder: Path) -> list[Stack]:
    return stacks_of(scan(folder).slices)


def edit(path: Path, **elements: object) -> None:
    image = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.save_as(path)


def by_height(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: pydicom.dcmread(path).ImagePositionPatient[2])


def test_two_echoes_of_one_series_are_two_volumes(hospital):
    both = stacks(hospital("01_two_echoes_one_series"))
    assert [len(stack.slices) for stack in both] == [12, 12]
    for stack, (echo, value) in zip(
        sorted(both, key=lambda s: s.traits["EchoTime"]), [(2.3, 200), (4.6, 400)], strict=True
    ):
        volume = read_stack(stack)
        np.testing.assert_allclose(volume.grid.spacing, (2, 2, 4))
        assert stack.traits["EchoTime"] == volume.facts["EchoTime"] == echo
        assert set(np.unique(volume.values)) == {0, value}
    chosen, left_out = choose(both, MR)
    assert chosen.traits["EchoTime"] == 4.6  # in phase
    assert list(left_out) == ["series 1, EchoTime 2.3"]
    chosen, _ = choose(both, Preference(("MR",), "echotime 2.3"))
    assert chosen.traits["EchoTime"] == 2.3


def test_a_turned_slice_is_left_out_by_name(hospital):
    (stack,) = stacks(hospital("02_one_slice_turned"))
    volume = read_stack(stack)
    assert volume.grid.shape == (32, 32, 15)
    np.testing.assert_allclose(volume.grid.spacing, (2, 2, 3))
    (warning,) = volume.warnings
    found, expected = "[1.0, 0.0, 0.0, 0.0, 0.0, -1.0]", "[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]"
    assert f"IM0008.dcm: ImageOrientationPatient: found {found}, expected {expected}" in warning


def test_positions_count_and_not_names_numbers_or_thickness(hospital, read):
    folder = hospital("03_shuffled_names_gap_between_slices")
    volume = read(folder)
    assert volume.grid.shape == (584, 512, 33)
    np.testing.assert_allclose(volume.grid.spacing, (0.6836, 0.6836, 8.0), atol=1e-4)
    assert volume.grid.voxel_volume == pytest.approx(3.73847, abs=1e-5)
    heights = volume.grid.world([[0, 0, 0], [0, 0, 32]])[:, 2]
    np.testing.assert_allclose(heights, (-168.014, 87.986), atol=1e-3)
    assert [path.name for path in scan(folder).skipped] == ["INDEX.TXT"]
    for k in (0, 16, 32):
        image = pydicom.dcmread(volume.slices[k].path)
        np.testing.assert_array_equal(volume.values[:, :, k], image.pixel_array.T)
        np.testing.assert_allclose(image.ImagePositionPatient[2], volume.grid.world([0, 0, k])[2], atol=1e-4)


def test_the_real_series_is_where_simpleitk_puts_it(t2_series, read):
    """SimpleITK 2.5.7: origin (-209.985, -195.092, -168.014), spacing (0.68359375, 0.68359375, 8), LPS."""
    volume = read(t2_series)
    np.testing.assert_allclose(volume.grid.world([0, 0, 0]) * [-1, -1, 1], (-209.9848, -195.0916, -168.0144), atol=1e-4)
    np.testing.assert_allclose(volume.grid.spacing, (0.68359375, 0.68359375, 8), atol=1e-5)
    assert volume.facts["SeriesDescription"] == "AX T2"


def test_a_study_with_several_series_gives_the_one_that_fits_and_names_the_others(hospital):
    found = stacks(hospital("06_corrected_and_uncorrected_pet"))
    chosen, left_out = choose(found, Preference(("PT",)))
    assert (chosen.slices[0].text("SeriesDescription"), len(chosen.slices)) == ("WB 3D", 12)
    assert "Modality CT, expected PT" in left_out.values()
    assert any(why.startswith("mip") for why in left_out.values())
    heights = [image.position[2] for image in chosen.slices]
    assert heights == sorted(heights)
    chosen, _ = choose(found, Preference(("PT",), "WB NAC"))
    assert chosen.slices[0].text("SeriesDescription") == "WB NAC"
    with pytest.raises(BadInput, match=r"series: found .*Modality PT, expected MR"):
        choose(found, MR)


def test_spacing_that_drifts_keeps_each_position(hospital, read):
    volume = read(hospital("11_spacing_that_drifts") / "pet")
    heights = volume.grid.world([[0, 0, k] for k in range(120)])[:, 2]
    expected = [3.0 * k if k <= 60 else 180 + 3.1 * (k - 60) for k in range(120)]
    np.testing.assert_allclose(heights, expected, atol=0.01)
    assert np.round(volume.grid.index([[0, 0, z] for z in (174, 177, 180, 183.1)])[:, 2]).tolist() == [58, 59, 60, 61]
    assert "unevenly spaced" in volume.warnings[0]


def test_a_series_is_read_as_it_was_written_and_other_files_do_no_harm(series, read):
    case = abdomen(np.random.default_rng(3), (20, 16, 8), (17.0, 18.0, 28.0))
    shutil.copy(Path(get_testdata_file("MR_small.dcm")).with_name("dicomdirtests") / "DICOMDIR", series)
    (series / "notes.txt").write_text("x")
    (series / "empty.dcm").write_text("")
    (series / "loop").symlink_to(series)
    os.mkfifo(series / "pipe")
    volume = read(series)
    np.testing.assert_array_equal(volume.values, case.values)
    assert volume.grid.matches(case.grid)
    assert {path.name for path in scan(series).skipped} == {"DICOMDIR", "notes.txt", "empty.dcm", "pipe"}


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LIA", "ASR"])
def test_every_orientation_and_direction_of_slices_is_placed_rightly(tmp_path, read, orientation):
    case = abdomen(np.random.default_rng(4), (10, 9, 8), (30.0, 28.0, 26.0), orientation)
    write_series(tmp_path / "s", case)
    volume = read(tmp_path / "s")
    places = np.array([[0, 0, 0], [9, 0, 0], [0, 5, 3], [2, 3, 4]])[:, :3] % case.grid.shape
    index = np.round(volume.grid.index(case.grid.world(places))).astype(int)
    np.testing.assert_array_equal(volume.values[tuple(index.T)], case.values[tuple(places.T)])


def test_missing_images_are_counted(series):
    paths = by_height(series)
    paths[3].unlink()
    paths[4].unlink()
    (stack,) = stacks(series)
    with pytest.raises(
        BadInput, match=r"84 mm between .*, expected about 28 mm as elsewhere; 2 images seem to be missing"
    ):
        stack.grid()


def test_images_that_nothing_tells_apart_are_refused_and_copies_are_dropped(series, read):
    paths = by_height(series)
    shutil.copy(paths[2], series / "copy.dcm")
    assert "copy" in str(read(series).warnings)
    assert read(series).grid.shape[2] == 8
    edit(series / "copy.dcm", SOPInstanceUID="1.2.3")
    (stack,) = stacks(series)
    with pytest.raises(BadInput, match=r"repeated positions .*found 9 images on 8 positions"):
        stack.grid()


@pytest.mark.parametrize("trait", ["DiffusionBValue", "TemporalPositionIdentifier", "AcquisitionTime", "InversionTime"])
def test_repetitions_are_split_by_what_differs(tmp_path, trait):
    values = {"AcquisitionTime": ("100000", "101000")}.get(trait, (50, 800))
    for number, value in enumerate(values):
        case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 28.0))
        folder = tmp_path / f"{number}"
        write_series(folder, case, **{trait: value})
        for path in folder.iterdir():
            edit(path, SOPInstanceUID=f"1.2.{number}.{path.stem.lstrip('0')}", InstanceNumber=1)
    found = stacks(tmp_path)
    assert [len(stack.slices) for stack in found] == [6, 6]
    assert all(len({image.path.parent for image in stack.slices}) == 1 for stack in found)


def test_a_slice_beside_the_others_is_named_and_a_tilted_gantry_is_a_shear(series, read):
    paths = by_height(series)
    x, y, z = pydicom.dcmread(paths[4]).ImagePositionPatient
    edit(paths[4], ImagePositionPatient=[x + 9, y, z])
    (stack,) = stacks(series)
    with pytest.raises(BadInput, match=f"{paths[4].name} 9 mm off the line"):
        stack.grid()
    for k, path in enumerate(paths):
        edit(path, ImagePositionPatient=[x, y + 5 * k, z + 28 * k])
    grid = read(series).grid
    np.testing.assert_allclose(grid.affine[:3, 2], (0, -5, 28), atol=1e-6)
    assert grid.voxel_volume == pytest.approx(17 * 18 * 28)


def test_images_without_a_place_and_single_images_are_no_volume(series):
    paths = by_height(series)
    for path in paths[1:]:
        edit(path, ImagePositionPatient=None)
    found = scan(series)
    assert "ImagePositionPatient: found none, expected 3 numbers" in next(iter(found.skipped.values()))
    with pytest.raises(BadInput, match=r"images: found 1 .*, expected two or more"):
        stacks_of(found.slices)[0].grid()


def test_each_image_has_its_own_rescaling(series, read):
    paths = by_height(series)
    for k, path in enumerate(paths):
        edit(path, RescaleSlope=f"{k + 1}", RescaleIntercept=f"{-k}")
    volume = read(series)
    assert volume.values.dtype == np.float32
    for k, path in enumerate(paths):
        expected = pydicom.dcmread(path).pixel_array.T * (k + 1.0) - k
        np.testing.assert_allclose(volume.values[:, :, k], expected)


def test_an_enhanced_file_is_read_frame_by_frame(series, tmp_path, read):
    """The same images, converted to one enhanced file by highdicom, in another order."""
    from highdicom.legacy import LegacyConvertedEnhancedMRImage

    single = read(series)
    images = [pydicom.dcmread(path) for path in series.iterdir()]
    enhanced = LegacyConvertedEnhancedMRImage(images, "1.2.3", 5, "1.2.4", 1)
    (tmp_path / "enhanced").mkdir()
    enhanced.save_as(tmp_path / "enhanced" / "all.dcm")
    volume = read(tmp_path / "enhanced")
    np.testing.assert_array_equal(volume.values, single.values)
    assert volume.grid.matches(single.grid)
    assert [image.frame for image in volume.slices] != list(range(8)) or len(volume.slices) == 8


def test_a_deflated_file_that_would_fill_the_memory_is_refused(monkeypatch, tmp_path):
    path = Path(shutil.copy(get_testdata_file("image_dfl.dcm"), tmp_path))
    monkeypatch.setattr(dicom_headers, "MOST_INFLATED", 100_000)
    assert scan(path).skipped == {path: "deflated data: found more than 100,000 bytes, expected one image"}


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("PixelSpacing", [17, 18.5], "PixelSpacing: found"),
        ("FrameOfReferenceUID", "1.2.3", "FrameOfReferenceUID: found another"),
        ("ImageOrientationPatient", [0.998, 0.0632, 0, -0.0632, 0.998, 0], "ImageOrientationPatient: found"),
    ],
)
def test_strays_of_every_kind_are_named_and_leave_a_gap(series, keyword, value, words):
    paths = by_height(series)
    edit(paths[-1], **{keyword: value})
    (stack,) = stacks(series)
    assert read_stack(stack).grid.shape[2] == 7
    assert words in str(stack.left_out)
    edit(paths[3], **{keyword: value})
    largest = max(stacks(series), key=lambda stack: len(stack.slices))
    with pytest.raises(BadInput, match="1 images seem to be missing"):
        largest.grid()


def test_a_file_of_frames_without_places_is_refused_by_name():
    """Pydicom's enhanced MR sample has lost its functional groups."""
    found = scan(Path(get_testdata_file("emri_small.dcm")))
    assert not found.slices
    assert "NumberOfFrames: found 10" in next(iter(found.skipped.values()))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 255)), min_size=1, max_size=5), cut=st.integers(0, 9)
)
def test_flipped_and_cut_bytes_give_a_volume_or_bad_input(series, flips, cut):
    path = sorted(series.iterdir())[2]
    original = path.read_bytes()
    content = bytearray(original)
    for place, bits in flips:
        content[place % len(content)] ^= bits
    path.write_bytes(content[: len(content) - (cut * 50 if cut > 5 else 0)])
    try:
        for stack in stacks(series):
            volume = read_stack(stack)
            assert volume.values.shape == volume.grid.shape
    except BadInput:
        pass
    finally:
        path.write_bytes(original)
