"""DICOM SEG: each frame on its own image, whatever the headers of the images lack."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_seg import LIVER, Segment, read_seg, write_seg
from transect.data_adapters.volume.rtstruct import read_rtstruct, write_rtstruct

SPLEEN = Segment("Spleen", ("91723000", "SCT", "Anatomical Structure"), ("78961009", "SCT", "Spleen"))


def edit_all(folder: Path, change) -> None:
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)


def mask_for(volume) -> np.ndarray:
    mask = np.zeros(volume.grid.shape, np.uint8)
    mask[2:9, 3:11, 2:5] = 1
    mask[4, 4, 4] = 0
    return mask


def references(seg: pydicom.Dataset) -> list[tuple[str, list[float]]]:
    return [
        (
            frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID,
            list(map(float, frame.PlanePositionSequence[0].ImagePositionPatient)),
        )
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]


@pytest.mark.parametrize("folder", ["03_shuffled_names_gap_between_slices", ""])
def test_a_mask_of_the_real_series_comes_back_on_its_own_images(hospital, t2_series, read, tmp_path, folder):
    volume = read(hospital(folder) if folder else t2_series)
    mask = np.zeros(volume.grid.shape, np.uint8)
    mask[100:200, 50:250, 12:22] = 1  # 200,000 voxels
    write_seg(tmp_path / "seg.dcm", mask, volume, "SRMA-Mamba 1.2")
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", volume)["Liver"], mask)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    images = [pydicom.dcmread(image.path) for image in volume.slices]
    position = {image.SOPInstanceUID: image.ImagePositionPatient for image in images}
    assert len(references(seg)) == 10
    for uid, place in references(seg):
        np.testing.assert_allclose(place, position[uid], atol=1e-6)


def test_the_object_says_what_was_segmented_by_what_and_keeps_patient_and_study(series, read, tmp_path):
    volume = read(series)
    write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "SRMA-Mamba 1.2")
    seg, image = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(volume.slices[0].path)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == image[keyword].value
    assert seg.SeriesInstanceUID != image.SeriesInstanceUID
    assert (seg.Modality, seg.SegmentationType) == ("SEG", "BINARY")
    (segment,) = seg.SegmentSequence
    codes = [segment.SegmentedPropertyCategoryCodeSequence[0], segment.SegmentedPropertyTypeCodeSequence[0]]
    assert [(c.CodeValue, c.CodingSchemeDesignator, c.CodeMeaning) for c in codes] == [LIVER.category, LIVER.kind]
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("SRMA-Mamba", "1.2")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"


def test_an_empty_liver_and_frames_without_voxels(series, read, tmp_path):
    volume = read(series)
    empty = np.zeros(volume.grid.shape, np.uint8)
    write_seg(tmp_path / "empty.dcm", empty, volume, "model 1")
    assert not read_seg(tmp_path / "empty.dcm", volume)["Liver"].any()
    for empty_frames, count in ((False, 3), (True, 8)):
        write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "model 1", empty_frames=empty_frames)
        assert int(pydicom.dcmread(tmp_path / "seg.dcm").NumberOfFrames) == count
        np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", volume)["Liver"], mask_for(volume))


def test_several_segments(series, read, tmp_path):
    volume = read(series)
    mask = mask_for(volume)
    mask[12:15, 3:6, 4:7] = 2
    write_seg(tmp_path / "seg.dcm", mask, volume, "model 1", (LIVER, SPLEEN))
    masks = read_seg(tmp_path / "seg.dcm", volume)
    np.testing.assert_array_equal(masks["Liver"], mask == 1)
    np.testing.assert_array_equal(masks["Spleen"], mask == 2)


@pytest.mark.parametrize(
    "keyword",
    [
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate"),
        *("StudyTime", "ReferringPhysicianName", "FrameOfReferenceUID", "PositionReferenceIndicator", "SeriesNumber"),
        *("StudyInstanceUID", "SeriesInstanceUID"),
    ],
)
def test_images_that_lack_an_element_can_be_referred_to(series, read, tmp_path, keyword):
    edit_all(series, lambda image: delattr(image, keyword))
    volume = read(series)
    write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "model 1")
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", volume)["Liver"], mask_for(volume))


@pytest.mark.parametrize(
    ("characters", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        (["ISO_IR 100"], "Müller^Jürgen"),
        (["ISO_IR 192"], "Ωmega^Jürgen"),
        (["ISO 2022 IR 6", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ],
)
def test_character_sets_become_utf_8(series, read, tmp_path, characters, name):
    def change(image):
        image.SpecificCharacterSet, image.PatientName = characters, name

    edit_all(series, change)
    volume = read(series)
    write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "model 1")
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.SpecificCharacterSet == "ISO_IR 192"
    assert str(seg.PatientName) == name


def test_frames_of_an_enhanced_file_are_referred_to(series, read, tmp_path):
    from highdicom.legacy import LegacyConvertedEnhancedMRImage

    images = [pydicom.dcmread(path) for path in sorted(series.iterdir())]
    (tmp_path / "one").mkdir()
    LegacyConvertedEnhancedMRImage(images, "1.2.3", 5, "1.2.4", 1).save_as(tmp_path / "one" / "all.dcm")
    volume = read(tmp_path / "one")
    write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "model 1")
    np.testing.assert_array_equal(read_seg(tmp_path / "seg.dcm", volume)["Liver"], mask_for(volume))


@pytest.mark.parametrize(("write", "load"), [(write_seg, read_seg), (write_rtstruct, read_rtstruct)])
def test_masks_on_unevenly_spaced_slices_come_back(hospital, read, tmp_path, write, load):
    volume = read(hospital("11_spacing_that_drifts") / "pet")
    mask = np.zeros(volume.grid.shape, np.uint8)
    mask[5:9, 4:8, 57:63] = 1
    write(tmp_path / "mask.dcm", mask, volume, "model 1")
    back = load(tmp_path / "mask.dcm", volume)
    np.testing.assert_array_equal(back["Liver"] if isinstance(back, dict) else back.mask, mask)


def test_a_segmentation_of_other_images_is_refused(series, read, tmp_path):
    volume = read(series)
    with pytest.raises(BadInput, match="FrameOfReferenceUID: found"):
        read_seg(Path(get_testdata_file("liver_1frame.dcm", download=False)), volume)
    with pytest.raises(BadInput, match="Modality: found MR, expected SEG"):
        read_seg(volume.slices[0].path, volume)
    write_seg(tmp_path / "seg.dcm", mask_for(volume), volume, "model 1")

    def move(image):
        image.ImagePositionPatient = [float(value) + 4 for value in image.ImagePositionPatient]

    edit_all(series, move)
    with pytest.raises(BadInput, match="of a voxel off, expected frames on the voxels of the image"):
        read_seg(tmp_path / "seg.dcm", read(series))
    content = (tmp_path / "seg.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[:-30])
    with pytest.raises(BadInput, match="segmentation: found"):
        read_seg(tmp_path / "cut.dcm", volume)
