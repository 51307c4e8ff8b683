"""Which PET and CT series of a study are read, and which are left out or refused by name."""

import re
import shutil

import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedPETImage
from pydicom.uid import generate_uid

from tests.data_adapters.petct.reading import by_height, edit, read_one, with_elements
from transect.data_adapters.base import BadInput


def coronal(image) -> None:
    x, y, z = image.ImagePositionPatient
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 0, -1], [x, z, y]


NOT_THE_PET = {
    "CorrectedImage": (dict(CorrectedImage=["DECY", "NORM"]), "CorrectedImage: found DECY, NORM, expected ATTN"),
    "no CorrectedImage": (dict(CorrectedImage=None), "CorrectedImage: found none"),
    "Units": (dict(Units="PROPCPS"), "Units: found PROPCPS, expected one of BQML, GML, CM2ML, CNTS"),
    "capture": (dict(ImageType=["DERIVED", "SECONDARY", "MIP"]), "ImageType: found DERIVED, SECONDARY, MIP"),
    "projection": (dict(SeriesDescription="WB MIP"), "ImageType and SeriesDescription: found MIP"),
    "dynamic": (dict(SeriesType=["DYNAMIC", "IMAGE"]), "SeriesType: found DYNAMIC, 12 images"),
    "reprojection": (dict(SeriesType=["WHOLE BODY", "REPROJECTION"]), "SeriesType: found WHOLE BODY, REPROJECTION"),
    "enhanced": (dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.130"), r"SOPClassUID: found Enhanced PET (multi-frame)"),
    "converted": (
        dict(SOPClassUID="1.2.840.10008.5.1.4.1.1.128.1"),
        "SOPClassUID: found Legacy Converted",
    ),
    "coronal": (
        coronal,
        "ImageOrientationPatient: found [1.0, 0.0, 0.0, 0.0, 0.0, -1.0], expected axial",
    ),
}


@pytest.mark.parametrize("kind", NOT_THE_PET)
def test_a_series_that_is_not_the_pet_is_refused_alone_and_left_out_next_to_one_that_is(short_study, kind) -> None:
    change, message = NOT_THE_PET[kind]
    shutil.copytree(short_study / "pet", short_study / "again")
    edit(short_study / "pet", change if callable(change) else with_elements(**change))
    edit(short_study / "again", with_elements(SeriesInstanceUID=generate_uid(), SeriesDescription="AC", SeriesNumber=9))
    found = read_one(short_study)
    assert found.pet.facts["SeriesDescription"] == "AC"
    ((name, why),) = found.left_out.items()
    assert name.startswith("series 2")
    assert message in f"{why}"
    shutil.rmtree(short_study / "again")
    with pytest.raises(BadInput, match=re.escape(message)) as raised:
        read_one(short_study)
    assert "series 2" in raised.value.file


def test_a_multi_frame_object_of_a_converter_is_refused_by_its_kind(short_study) -> None:
    images = [pydicom.dcmread(path) for path in by_height(short_study / "pet")]
    for image in images:
        image.AccessionNumber = image.StudyID = "1"
    enhanced = LegacyConvertedEnhancedPETImage(images, generate_uid(), 7, generate_uid(), 1)
    shutil.rmtree(short_study / "pet")
    enhanced.save_as(short_study / "enhanced.dcm")
    with pytest.raises(BadInput, match=r"SOPClassUID: found Legacy Converted Enhanced PET \(multi-frame\)"):
        read_one(short_study)


def test_of_several_series_one_is_chosen_by_a_setting(short_study) -> None:
    shutil.copytree(short_study / "pet", short_study / "late")
    edit(short_study / "late", with_elements(SeriesInstanceUID="1.2.3.99998888", SeriesDescription="PET late"))
    edit(short_study / "late", lambda image: setattr(image, "RescaleSlope", image.RescaleSlope * 2))
    with pytest.raises(BadInput, match=r"found series 2, PET late .*; series 2, PET phantom .*read\.series") as raised:
        read_one(short_study)
    assert raised.value.field == "PET series"
    early = read_one(short_study, series="phantom")
    for wanted in ("late", "1.2.3.99998888"):
        late = read_one(short_study, series=wanted)
        np.testing.assert_allclose(late.pet.values, 2 * early.pet.values, rtol=1e-6)
        assert list(late.left_out) == ["series 2, PET phantom"]
    with pytest.raises(BadInput, match=r"does not match 'middle'.*expected a series that matches 'middle'"):
        read_one(short_study, series="middle")


@pytest.mark.parametrize("trait", ["AcquisitionNumber", "TemporalPositionIndex", "AcquisitionTime", ""])
def test_gated_and_dynamic_series_are_refused_with_the_count(short_study, trait) -> None:
    for number, path in enumerate(by_height(short_study / "pet")):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        if trait:
            setattr(image, trait, "113000" if trait == "AcquisitionTime" else 2)
        image.save_as(short_study / "pet" / f"again-{number}")
    with pytest.raises(BadInput, match="found 24 images on 12 positions, expected one image a position"):
        read_one(short_study)


def test_two_beds_that_overlap_are_refused_with_the_count(short_study) -> None:
    for path in by_height(short_study / "pet")[5:8]:
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.save_as(f"{path}-again")
    with pytest.raises(BadInput, match="found 15 images on 12 positions"):
        read_one(short_study)


def test_a_copy_of_a_file_changes_nothing(short_study) -> None:
    before = read_one(short_study)
    path = by_height(short_study / "pet")[5]
    shutil.copy(path, short_study / "pet" / "copy")
    after = read_one(short_study)
    np.testing.assert_array_equal(after.pet.values, before.pet.values)
    assert any("a copy of" in warning for warning in after.pet.warnings)


@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFDR"])
@pytest.mark.parametrize(
    "cosines", [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0], [1, 0, 0, 0, -1, 0], [0, 1, 0, -1, 0, 0]]
)
def test_slices_go_from_the_feet_to_the_head_and_images_to_the_left_and_back(short_study, position, cosines) -> None:
    """The orientation of the images says where the patient is, in any position on the table."""
    before = read_one(short_study)
    count, step = before.pet.grid.shape[0], before.pet.grid.spacing[0]
    row, column = np.array(cosines[:3], float), np.array(cosines[3:], float)
    middle = np.array([*(before.pet.grid.affine[:2, 3] * [-1, -1] + step * (count - 1) / 2), 0.0])

    def turn(image) -> None:
        values = image.pixel_array  # rows to the back, columns to the left
        world = np.arange(count) - (count - 1) / 2
        across, down = np.meshgrid(world, world)
        places = across[..., None] * row + down[..., None] * column + (count - 1) / 2
        image.PixelData = values[np.round(places[..., 1]).astype(int), np.round(places[..., 0]).astype(int)].tobytes()
        corner = middle - (row + column) * step * (count - 1) / 2
        image.ImagePositionPatient = [*corner[:2], image.ImagePositionPatient[2]]
        image.ImageOrientationPatient, image.PatientPosition = cosines, position

    edit(short_study / "pet", turn)
    after = read_one(short_study)
    np.testing.assert_allclose(after.pet.values, before.pet.values, rtol=1e-6)
    np.testing.assert_allclose(after.pet.grid.affine, before.pet.grid.affine, atol=1e-3)
    np.testing.assert_allclose(after.positions, before.positions, atol=1e-4)
    assert [image.uid for image in after.pet.slices] == [image.uid for image in before.pet.slices]
    heights = [image.position[2] for image in after.pet.slices]
    np.testing.assert_allclose(heights, after.positions, atol=1e-4)


def test_removed_slices_are_named_by_their_positions(short_study) -> None:
    paths = by_height(short_study / "pet")
    lowest = float(pydicom.dcmread(paths[0]).ImagePositionPatient[2])
    for k in (2, 7, 8):
        paths[k].unlink()
    missing = ", ".join(f"{lowest + 8 * k:.2f}" for k in (2, 7, 8))
    with pytest.raises(BadInput, match=f"found no slice at {missing} mm, expected a slice every 8 mm.*3 missing"):
        read_one(short_study)


def test_a_removed_slice_of_a_real_series_is_named(sts_001, tmp_path) -> None:
    shutil.copytree(sts_001 / "image", tmp_path / "image")
    gone = by_height(tmp_path / "image")[100]
    height = float(pydicom.dcmread(gone).ImagePositionPatient[2])
    gone.unlink()
    with pytest.raises(BadInput, match=f"found no slice at {height:.2f} mm, expected a slice every 3.27 mm"):
        read_one(tmp_path)


def test_slices_missing_at_an_end_are_a_warning_where_the_header_counts_them(short_study) -> None:
    edit(short_study / "pet", with_elements(NumberOfSlices=12))
    assert not read_one(short_study).pet.warnings
    by_height(short_study / "pet")[-1].unlink()
    (warning,) = read_one(short_study).pet.warnings
    assert warning == "11 slices, but NumberOfSlices says 12: the first or the last ones may be missing"


@pytest.mark.parametrize(("share", "fits"), [(0.04, True), (0.08, False), (-0.08, False)])
def test_distances_may_deviate_by_five_percent(short_study, share, fits) -> None:
    path = by_height(short_study / "pet")[6]
    image = pydicom.dcmread(path)
    x, y, z = image.ImagePositionPatient
    image.ImagePositionPatient = [x, y, z + 8 * share]
    image.save_as(path)
    if fits:
        found = read_one(short_study)
        assert found.positions[6] == pytest.approx(z + 8 * share, abs=1e-4)
        assert found.positions[7] == pytest.approx(z + 8, abs=1e-4)
    else:
        with pytest.raises(BadInput, match=r"found [\d.]+ mm between .*, within 5%; the slices are uneven"):
            read_one(short_study)


def test_each_image_has_its_own_slope(short_study) -> None:
    before = read_one(short_study)
    for k, path in enumerate(by_height(short_study / "pet")):
        image = pydicom.dcmread(path)
        image.RescaleSlope = image.RescaleSlope * (1 + k)
        image.save_as(path)
    expected = before.pet.values * (1 + np.arange(12, dtype=np.float32))
    np.testing.assert_allclose(read_one(short_study).pet.values, expected, rtol=1e-6)


NOT_THE_CT = {
    "another frame": (dict(FrameOfReferenceUID="1.2.3"), "FrameOfReferenceUID: found 1.2.3, expected"),
    "no frame": (dict(FrameOfReferenceUID=None), "FrameOfReferenceUID: found none, expected"),
    "another patient": (dict(PatientID="SOMEONE"), "PatientID: found another, expected that of the PET"),
    "localizer": (dict(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "found LOCALIZER, expected an acquired volume"),
}


@pytest.mark.parametrize("kind", NOT_THE_CT)
def test_a_ct_that_is_not_that_of_the_pet_is_left_out_and_refused_where_it_is_wanted(short_study, kind) -> None:
    elements, message = NOT_THE_CT[kind]
    assert read_one(short_study).ct is not None
    edit(short_study / "ct", with_elements(**elements))
    found = read_one(short_study)
    assert found.ct is None
    assert message in found.left_out["series 1, CT phantom"]
    assert "SOMEONE" not in str(found.left_out)
    with pytest.raises(BadInput, match=re.escape(message)):
        read_one(short_study, ct="CT phantom")


def test_the_ct_that_covers_the_pet_is_taken_and_another_by_its_name(short_study) -> None:
    shutil.copytree(short_study / "ct", short_study / "part")
    for path in by_height(short_study / "part")[4:]:
        path.unlink()
    edit(
        short_study / "part",
        with_elements(SeriesInstanceUID=generate_uid(), SeriesDescription="CT legs", SeriesNumber=5),
    )
    assert list(read_one(short_study).left_out) == ["series 5, CT legs"]
    edit(short_study / "part", with_elements(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    assert not (read_one(short_study, ct="CT").ct[..., 4:] == -1024).all()  # the words fit both, one is a volume
    edit(short_study / "part", with_elements(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]))
    legs = read_one(short_study, ct="legs").ct
    assert (legs[..., 4:] == -1024).all()
    assert not (legs[..., :4] == -1024).all()
    with pytest.raises(BadInput, match=r"CT series: found .*CT phantom.*expected a CT series that matches 'head'"):
        read_one(short_study, ct="head")


def test_a_ct_with_a_gap_fails_only_where_it_is_read(short_study) -> None:
    by_height(short_study / "ct")[9].unlink()
    found = read_one(short_study)
    with pytest.raises(BadInput, match="images seem to be missing"):
        assert found.ct is None
