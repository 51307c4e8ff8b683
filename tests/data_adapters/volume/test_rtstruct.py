"""RTSTRUCT: contours of every shape in, and a mask out and back."""

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.contours import area, filled, outlines
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.rtstruct import read_rtstruct, write_rtstruct


@pytest.fixture
def contours(hospital, read):
    folder = hospital("10_contours_with_holes")
    return folder / "rtstruct.dcm", read(folder / "pet")


def test_every_shape_of_contour_is_filled_by_the_even_odd_rule(contours):
    region = read_rtstruct(*contours, "GTV")
    assert region.slices == (2, 3, 4, 5, 6, 7)
    assert [int(region.mask[:, :, k].sum()) for k in range(2, 7)] == [100, 84, 84, 50, 100]
    assert region.ignored == ("GTV, contour 10 (POINT of 1 points) has no area",)
    rows, columns = np.nonzero(region.mask[:, :, 2].T)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 29, 20, 29)


def test_regions_are_chosen_by_name_and_named_where_there_is_a_choice(contours):
    with pytest.raises(BadInput, match=r"found GTV, Bladder, empty, expected one region .*read\.label chooses one"):
        read_rtstruct(*contours)
    with pytest.raises(BadInput, match="expected one called 'Liver'"):
        read_rtstruct(*contours, "Liver")
    assert read_rtstruct(*contours, "bladder").slices == (9,)
    assert not read_rtstruct(*contours, "empty").mask.any()


def change(path, tmp_path, edit):
    dataset = pydicom.dcmread(path)
    edit(dataset)
    dataset.save_as(tmp_path / "changed.dcm")
    return tmp_path / "changed.dcm"


def test_names_that_differ_in_case_are_two_regions_and_regions_of_one_name_add_up(contours, tmp_path):
    """Bladder becomes a second GTV, a square of 8 x 8 voxels on slice 2 within that of 10 x 10."""
    path, volume = contours

    def second(name):
        def edit(dataset):
            dataset.StructureSetROISequence[1].ROIName = name
            contour = dataset.ROIContourSequence[1].ContourSequence[0]
            contour.ContourData = [
                f"{value:.4f}" for x, y in ((-44, -44), (-12, -44), (-12, -12), (-44, -12)) for value in (x, y, -14)
            ]

        return change(path, tmp_path, edit)

    assert read_rtstruct(second("gtv"), volume, "gtv").slices == (2,)
    assert read_rtstruct(second("gtv"), volume, "GTV").slices == (2, 3, 4, 5, 6, 7)
    with pytest.raises(BadInput, match=r"found GTV, gtv, empty, expected one called 'Gtv'"):
        read_rtstruct(second("gtv"), volume, "Gtv")
    assert read_rtstruct(second("GTV"), volume).mask[:, :, 2].sum() == 100  # even-odd over both leaves 36


def test_regions_of_another_frame_of_reference_are_no_choice(contours, tmp_path):
    path, volume = contours

    def move(dataset):
        dataset.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"

    assert read_rtstruct(change(path, tmp_path, move), volume).name == "GTV"
    with pytest.raises(BadInput, match=r"ReferencedFrameOfReferenceUID: found 1\.2\.3, expected"):
        read_rtstruct(tmp_path / "changed.dcm", volume, "Bladder")


def test_the_only_region_may_be_empty(contours, tmp_path):
    path, volume = contours

    def keep_empty(dataset):
        del dataset.StructureSetROISequence[:2]
        del dataset.ROIContourSequence[:2]

    region = read_rtstruct(change(path, tmp_path, keep_empty), volume)
    assert (region.name, region.slices, region.mask.any()) == ("empty", (), False)


def test_a_structure_set_of_another_scan_is_refused(contours, series, read, tmp_path):
    path, volume = contours
    with pytest.raises(BadInput, match="ReferencedFrameOfReferenceUID: found"):
        read_rtstruct(path, read(series), "GTV")
    with pytest.raises(BadInput, match="Modality: found PT"):
        read_rtstruct(volume.slices[0].path, volume)
    (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadInput, match="structure set: found"):
        read_rtstruct(tmp_path / "cut.dcm", volume, "GTV")


def test_a_mask_with_holes_and_parts_comes_back_voxel_for_voxel(series, read, tmp_path):
    volume = read(series)
    mask = np.zeros(volume.grid.shape, np.uint8)
    mask[2:14, 3:13, 1:4], mask[5:9, 6:10, 2], mask[7, 7, 2], mask[17:, :3, 3], mask[0, 0, 6] = 1, 0, 1, 1, 1
    write_rtstruct(tmp_path / "rt.dcm", mask, volume, "model 1")
    region = read_rtstruct(tmp_path / "rt.dcm", volume)
    np.testing.assert_array_equal(region.mask, mask)
    assert (region.name, region.slices) == ("Liver", (1, 2, 3, 6))
    saved, image = pydicom.dcmread(tmp_path / "rt.dcm"), pydicom.dcmread(volume.slices[0].path)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert saved[keyword].value == image[keyword].value
    by_uid = {s.uid: s.position[2] for s in volume.slices}
    for contour in saved.ROIContourSequence[0].ContourSequence:
        height = by_uid[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        np.testing.assert_allclose(contour.ContourData[2::3], height, atol=1e-3)
    assert (
        scan(tmp_path).objects == {tmp_path / "rt.dcm": "RTSTRUCT"} or (tmp_path / "rt.dcm") in scan(tmp_path).objects
    )


def test_an_empty_mask_and_a_contour_of_more_than_64_kilobytes(series, read, tmp_path, t2_series):
    volume = read(series)
    write_rtstruct(tmp_path / "rt.dcm", np.zeros(volume.grid.shape, np.uint8), volume, "model 1")
    assert not read_rtstruct(tmp_path / "rt.dcm", volume, "Liver").mask.any()
    large = read(t2_series)
    mask = np.zeros(large.grid.shape, np.uint8)
    mask[50:550, 20:500:2, 3], mask[50, 20:500, 3] = 1, 1  # a comb
    write_rtstruct(tmp_path / "rt.dcm", mask, large, "model 1")
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "rt.dcm", large).mask, mask)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_outlines_of_any_mask_fill_to_that_mask(seed, share):
    mask = np.random.default_rng(seed).random((9, 7)) < share
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_points_lines_and_polygons_beyond_the_image():
    assert area(np.array([[1.0, 1], [5, 5]])) == area(np.zeros((0, 2))) == 0
    assert area(np.array([[0.0, 0], [0, 2], [3, 2], [3, 0]])) == 6
    assert filled([np.array([[-1e9, -1e9], [-1e9, 1e9], [1e9, 1e9], [1e9, -1e9]])], (4, 3)).all()
