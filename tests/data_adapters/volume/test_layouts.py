"""Cases of every layout, with their labels, groups and splits; and reading them."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.cases import VolumeCase, read_case
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.dicom_seg import write_seg
from transect.data_adapters.volume.dicom_series import Preference
from transect.data_adapters.volume.layouts import find_volumes
from transect.data_adapters.volume.nifti import read_nifti, write_nifti
from transect.data_adapters.volume.phantom import abdomen, write_nnunet, write_series
from transect.data_adapters.volume.resample import reorient
from transect.data_adapters.volume.rtstruct import write_rtstruct

CONFIG, MR = VolumeConfig(), Preference(("MR",))


def nifti(path: Path, values=None, affine=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.arange(24, dtype=np.int16).reshape(4, 3, 2) if values is None else values
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2, 2, 5, 1.0]) if affine is None else affine), path)


def found(root: Path, config: VolumeConfig = CONFIG) -> dict[str, tuple[str, str, str, str]]:
    return {
        case.id: (
            case.group,
            case.split,
            Path(case.image).relative_to(root).as_posix(),
            Path(case.label).relative_to(root).as_posix() if case.label else "",
        )
        for case in find_volumes(str(root), config=config)
    }


def test_nnunet_raw(tmp_path):
    root = tmp_path / "Dataset012_Liver"
    for name in ("imagesTr/a_0000", "imagesTr/a_0001", "imagesTs/b_0000", "labelsTr/a"):
        nifti(root / f"{name}.nii.gz")
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 5}}))
    assert found(tmp_path) == {
        "a": ("a", "", "Dataset012_Liver/imagesTr/a_0000.nii.gz", "Dataset012_Liver/labelsTr/a.nii.gz"),
        "b": ("b", "test", "Dataset012_Liver/imagesTs/b_0000.nii.gz", ""),
    }
    assert found(tmp_path, VolumeConfig(channel=1))["a"][2].endswith("a_0001.nii.gz")
    case = find_volumes(str(root), config=CONFIG)[0]
    assert read_case(case, MR, CONFIG, "liver").label.sum() == 1  # the voxel of value 5


def test_cirrmri600(tmp_path):
    for split in ("train", "valid", "test"):
        for weighting in ("T1", "T2"):
            folder = tmp_path / f"Cirrhosis_{weighting}_3D"
            nifti(folder / f"{split}_images" / f"{split}7.nii.gz")
            nifti(folder / f"{split}_masks" / f"{split}7.nii.gz")
    cases = found(tmp_path)
    assert len(cases) == 6
    assert cases["Cirrhosis_T1_3D_valid_images-valid7"] == (
        "valid7",
        "val",
        "Cirrhosis_T1_3D/valid_images/valid7.nii.gz",
        "Cirrhosis_T1_3D/valid_masks/valid7.nii.gz",
    )
    assert sorted(split for _, split, _, _ in cases.values()) == ["test"] * 2 + ["train"] * 2 + ["val"] * 2


def test_bids(tmp_path):
    nifti(tmp_path / "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz")
    nifti(tmp_path / "sub-02/anat/sub-02_T2w.nii.gz")
    nifti(tmp_path / "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_desc-liver_mask.nii.gz")
    nifti(tmp_path / "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_desc-spleen_mask.nii.gz")
    assert found(tmp_path) == {
        "sub-01_ses-1_T2w": (
            "sub-01",
            "",
            "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
            "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_desc-liver_mask.nii.gz",
        ),
        "sub-02_T2w": ("sub-02", "", "sub-02/anat/sub-02_T2w.nii.gz", ""),
    }


def test_folders_of_images_and_labels_and_labels_next_to_images(tmp_path):
    nifti(tmp_path / "a/images/x.nii.gz")
    nifti(tmp_path / "a/labels/x.nii.gz")
    nifti(tmp_path / "b/p1/T1.nii")
    nifti(tmp_path / "b/p2/T1.nii")
    nifti(tmp_path / "b/p2/T1_seg.nii")
    assert found(tmp_path) == {
        "x": ("x", "", "a/images/x.nii.gz", "a/labels/x.nii.gz"),
        "b_p1-T1": ("p1", "", "b/p1/T1.nii", ""),
        "b_p2-T1": ("p2", "", "b/p2/T1.nii", "b/p2/T1_seg.nii"),
    }


def test_one_file_two_files_and_nothing(tmp_path):
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "b.nii.gz")
    a, b = str(tmp_path / "a.nii.gz"), str(tmp_path / "b.nii.gz")
    assert [case.files for case in find_volumes(a, config=CONFIG)] == [(a,)]
    assert [case.files for case in find_volumes(a, b, config=CONFIG)] == [(a, b)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("x")
    for inputs in ([str(tmp_path / "empty")], [str(tmp_path / "text.txt")], [str(tmp_path / "no")], [a, b, a]):
        with pytest.raises(BadInput):
            find_volumes(*inputs, config=CONFIG)


def test_patients_of_dicom_folders_are_shown_by_pseudonyms_in_everything(tmp_path):
    for number, patient in enumerate(("MRN-4711", "MRN-4712")):
        case = abdomen(np.random.default_rng(number), (20, 16, 6), (17.0, 18.0, 30.0))
        write_series(tmp_path / patient / "T2", case, patient, SeriesDescription=f"liver of {patient}")
    cases = find_volumes(str(tmp_path), config=CONFIG)
    assert len({case.group for case in cases}) == 2
    for case in cases:
        assert "MRN-" not in f"{case.id} {case.group} {case.identity.shown(case.image)}"
        sample = read_case(case, MR, CONFIG, "liver")
        assert (
            "MRN-"
            not in f"{sample.volume.facts} {sample.volume.warnings} {sample.left_out} {sample.skipped}".replace(
                "MRN-4711 T2", ""
            )
        )
        next(path for path in Path(case.image).rglob("*.dcm")).unlink()
        sorted(Path(case.image).rglob("*.dcm"))[2].write_bytes(b"")
        with pytest.raises(BadInput) as caught:
            read_case(case, MR, VolumeConfig(series="no such series"), "liver")
        assert case.group in str(caught.value)
    by_path = find_volumes(str(tmp_path), config=VolumeConfig(ids="path"))
    assert by_path[0].id == "MRN-4711_T2"


def test_a_study_without_a_usable_image_is_a_case_that_fails_by_name(tmp_path):
    case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 30.0))
    write_series(tmp_path / "whole", case, "P1")
    write_series(tmp_path / "damaged", case, "P2", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.1")
    for path in (tmp_path / "damaged").iterdir():
        image = pydicom.dcmread(path)
        del image.PixelSpacing
        image.save_as(path)
    damaged = {Path(case.image).name: case for case in find_volumes(str(tmp_path), config=CONFIG)}["damaged"]
    with pytest.raises(BadInput, match="PixelSpacing: found none, expected 2 numbers"):
        read_case(damaged, MR, CONFIG, "liver")


def test_images_without_a_study_are_a_case(tmp_path):
    case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 30.0))
    write_series(tmp_path, case, "P1")
    for path in tmp_path.glob("*.dcm"):
        image = pydicom.dcmread(path)
        del image.StudyInstanceUID
        image.save_as(path)
    (study,) = find_volumes(str(tmp_path), config=CONFIG)
    assert read_case(study, MR, CONFIG, "liver").volume.values.shape == case.liver.shape


def test_two_studies_of_one_patient_are_two_cases_of_one_group(tmp_path):
    case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 30.0))
    write_series(tmp_path / "1", case, "P1", StudyInstanceUID="1.2.1")
    write_series(tmp_path / "2", case, "P1", StudyInstanceUID="1.2.2", SeriesInstanceUID="1.2.2.1")
    cases = find_volumes(str(tmp_path), config=CONFIG)
    assert len({case.id for case in cases}) == 2
    assert len({case.group for case in cases}) == 1
    assert {Path(case.image).name for case in cases} == {"1", "2"}


@pytest.mark.parametrize("write", [write_seg, write_rtstruct])
def test_labels_in_a_study(tmp_path, write):
    case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 30.0))
    write_series(tmp_path / "s", case)
    study = find_volumes(str(tmp_path), config=CONFIG)[0]
    volume = read_case(study, MR, CONFIG, "liver").volume
    write(tmp_path / "label.dcm", case.liver, volume, "reader 1")
    study = VolumeCase(study.id, study.group, image=str(tmp_path), study=study.study, identity=study.identity)
    np.testing.assert_array_equal(read_case(study, MR, CONFIG, "liver").label, case.liver)


def test_a_label_next_to_a_study(tmp_path):
    case = abdomen(np.random.default_rng(0), (20, 16, 6), (17.0, 18.0, 30.0))
    write_series(tmp_path / "s", case)
    flipped, grid = reorient(case.liver, case.grid, "ASR")  # dcm2niix flips axes
    write_nifti(tmp_path / "label.nii.gz", np.ascontiguousarray(flipped), grid)
    write_seg(tmp_path / "label.dcm", case.liver, read_case(*_study(tmp_path)).volume, "reader 1")
    for name in ("label.nii.gz", "label.dcm"):
        (study,) = find_volumes(str(tmp_path / "s"), str(tmp_path / name), config=CONFIG)
        np.testing.assert_array_equal(read_case(study, MR, CONFIG, "liver").label, case.liver)


def _study(folder: Path) -> tuple:
    return find_volumes(str(folder / "s"), config=CONFIG)[0], MR, CONFIG, "liver"


def test_an_unfitting_label_in_a_study_is_a_warning_unless_it_is_asked_for(tmp_path, hospital):
    shutil.copytree(hospital("10_contours_with_holes"), tmp_path / "study")
    case = find_volumes(str(tmp_path / "study"), config=CONFIG)[0]
    case = VolumeCase(case.id, case.group, image=str(tmp_path / "study"), study=case.study, identity=case.identity)
    sample = read_case(case, Preference(("PT",)), CONFIG, "liver")
    assert sample.label is None
    assert "found GTV, Bladder, empty" in sample.label_notes[0]
    with pytest.raises(BadInput, match="found GTV, Bladder, empty"):
        _ = read_case(case, Preference(("PT",)), VolumeConfig(label="liver"), "liver").label
    assert read_case(case, Preference(("PT",)), VolumeConfig(label="GTV"), "liver").label.sum() == 419


def test_labels_by_number_or_name(tmp_path, shared_file):
    folder = shared_file("data/medical/totalsegmentator")
    image, mask = (str(folder / f"{name}.nii.gz") for name in ("example_mr_sm", "example_seg_mr"))
    (case,) = find_volumes(image, mask, config=CONFIG)
    sample = read_case(case, MR, VolumeConfig(label="5"), "liver")
    assert sample.label.sum() * sample.volume.grid.voxel_volume / 1000 == pytest.approx(498.96)
    with pytest.raises(BadInput, match=r"label: found 1, 2, .* expected one called 'liver'; read.label chooses"):
        _ = read_case(case, MR, CONFIG, "liver").label
    with pytest.raises(BadInput, match=r"label: found .* expected voxels of 999"):
        _ = read_case(case, MR, VolumeConfig(label="999"), "liver").label


def test_labels_on_another_grid_empty_ones_and_fractions_are_named(tmp_path):
    nifti(tmp_path / "a.nii.gz")
    zeros = np.zeros((4, 3, 2), np.float32)
    nifti(tmp_path / "moved.nii.gz", zeros, np.diag([2, 2, 5, 1.0]) + np.array([[0, 0, 0, 2]] + [[0] * 4] * 3))
    nifti(tmp_path / "empty.nii.gz", zeros)
    nifti(tmp_path / "half.nii.gz", zeros + 0.5)
    for name, words in {
        "moved": "grid: found 4 x 3 x 2 voxels .*first at 2, 0, 0, expected .*first at 0, 0, 0",
        "empty": "label: found no voxel of any label",
        "half": "values: found 0.5, expected whole numbers",
    }.items():
        (case,) = find_volumes(str(tmp_path / "a.nii.gz"), str(tmp_path / f"{name}.nii.gz"), config=CONFIG)
        sample = read_case(case, MR, CONFIG, "liver")  # prediction needs no label
        with pytest.raises(BadInput, match=words):
            _ = sample.label


def test_phantoms_are_found_with_the_liver_that_was_written(tmp_path):
    volumes = write_nnunet(tmp_path, 4, 7, (24, 20, 12))
    cases = find_volumes(str(tmp_path), config=CONFIG)
    assert [case.split for case in cases] == ["", "", "", "test"]
    for case, volume in zip(cases, volumes, strict=True):
        sample = read_case(case, MR, CONFIG, "liver")
        assert sample.label.sum() * sample.volume.grid.voxel_volume / 1000 == pytest.approx(volume, rel=1e-5)
        assert 800 < volume < 2200
    again = tmp_path / "again"
    assert write_nnunet(again, 4, 7, (24, 20, 12)) == volumes
    first = Path(cases[0].image)
    np.testing.assert_array_equal(read_nifti(first).values, read_nifti(again / first.relative_to(tmp_path)).values)


def test_no_range_of_values_finds_the_liver_of_a_phantom():
    for seed in range(4):
        case = abdomen(np.random.default_rng(seed), unseen=seed % 2 == 1)
        levels = np.percentile(case.values, range(40, 101, 6))
        ranges = [(case.values >= low) & (case.values <= high) for low in levels for high in levels if low < high]
        liver = case.liver == 1
        assert max(2 * (part & liver).sum() / (part.sum() + liver.sum()) for part in ranges) < 0.6


def test_the_dicom_phantom_is_of_one_patient_and_study(series):
    images = [pydicom.dcmread(path) for path in series.iterdir()]
    assert {(image.PatientID, image.StudyInstanceUID) for image in images} == {("PHANTOM", images[0].StudyInstanceUID)}
