"""Files that hospitals have, through `check` and `predict`: read as their index says, or refused by name."""

import json
import re
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_seg import read_seg
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.studies import SCANNERS


def facts(out, case):
    return json.loads((out / case / "facts.json").read_text())


def test_01_two_echoes_of_one_series_are_two_volumes(hospital, checked, tmp_path):
    folder = hospital("01_two_echoes_one_series")
    for number, (echo, value, other) in enumerate((("4.6", 400, "2.3"), ("2.3", 200, "4.6"))):
        out = tmp_path / str(number)
        ((each,), _) = checked(out, folder, series=f"EchoTime {echo}" if number else "")
        volume = read_nifti(out / each.case.id / "volume.nii.gz")
        assert volume.grid.shape[2] == 12
        np.testing.assert_allclose(volume.grid.spacing, (2, 2, 4), atol=1e-6)
        assert set(np.unique(volume.values)) == {0, value}
        assert volume.values.dtype == np.int16
        content = facts(out, each.case.id)
        assert content["echo_time"] == echo
        assert f"EchoTime {other}" in content["left_out"]


def test_02_the_turned_image_is_named(hospital, checked, tmp_path):
    ((each,), _) = checked(tmp_path, hospital("02_one_slice_turned"))
    content = facts(tmp_path, each.case.id)
    assert content["shape"][2] == content["images"] == 15
    assert content["spacing_mm"] == [2.0, 2.0, 3.0]
    (warning,) = content["warnings"]
    assert "IM0008.dcm: ImageOrientationPatient" in warning
    assert "[1.0, 0.0, 0.0, 0.0, 0.0, -1.0], expected [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]" in warning


def test_03_the_real_series_with_gaps_is_segmented_on_its_own_images(hospital, checked, predicted, read, tmp_path):
    folder = hospital("03_shuffled_names_gap_between_slices")
    ((each,), _) = checked(tmp_path / "checked", folder)
    content = facts(tmp_path / "checked", each.case.id)
    assert content["shape"] == [584, 512, 33]
    assert content["spacing_mm"] == [0.6836, 0.6836, 8.0]
    assert content["voxel_mm3"] == pytest.approx(3.73847, abs=1e-5)
    assert "INDEX.TXT" in content["skipped"]
    volume = read_nifti(tmp_path / "checked" / each.case.id / "volume.nii.gz")
    heights = volume.grid.world([[0, 0, 0], [0, 0, 32]])[:, 2]
    np.testing.assert_allclose(heights, [-168.014, 87.986], atol=1e-3)
    (outcome,) = predicted(tmp_path / "out", folder)
    result = tmp_path / "out" / outcome.case
    images = {image.SOPInstanceUID: image for path in folder.iterdir() if (image := _image(path))}
    seg = pydicom.dcmread(result / "liver.seg.dcm")
    for frame in seg.PerFrameFunctionalGroupsSequence:
        source = images[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, source.ImagePositionPatient, atol=1e-6)
    mask = read_nifti(result / "mask.nii.gz")
    assert mask.grid.matches(volume.grid)
    assert mask.values.dtype == np.uint8
    np.testing.assert_array_equal(read_seg(result / "liver.seg.dcm", read(folder))["Liver"], mask.values)


def _image(path):
    image = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    return image if "SOPInstanceUID" in image else None


def test_04_masks_keep_both_forms_and_codes(hospital, checked, predicted, tmp_path):
    folder = hospital("04_sform_and_qform_differ")
    each, _ = checked(tmp_path / "checked", folder)
    assert {one.case.id: bool(one.warnings) for one in each} == {
        **{"both": False, "neither": True, "qform_only": False, "sform_only": False}
    }
    assert {outcome.status for outcome in predicted(tmp_path / "out", folder)} == {"done"}
    for one in each:
        assert one.facts["voxel_mm3"] == 9
        given = nibabel.load(folder / f"{one.case.id}.nii.gz")
        volume, mask = (
            nibabel.load(tmp_path / file)
            for file in (f"checked/{one.case.id}/volume.nii.gz", f"out/{one.case.id}/mask.nii.gz")
        )
        for written in (volume, mask):
            for form in ("qform", "sform"):
                assert int(written.header[f"{form}_code"]) == int(given.header[f"{form}_code"])
                method = f"get_{form}"
                np.testing.assert_array_equal(getattr(written, method)(), getattr(given, method)())
        np.testing.assert_array_equal(np.asanyarray(volume.dataobj), np.asanyarray(given.dataobj))
        assert mask.get_data_dtype() == np.uint8
        statistics = json.loads((tmp_path / "out" / one.case.id / "statistics.json").read_text())
        assert statistics["volume_ml"] == pytest.approx(np.asanyarray(mask.dataobj).sum(dtype=int) * 9 / 1000)


def test_05_a_sheared_image_is_measured_by_its_determinant(hospital, checked, predicted, tmp_path):
    folder = hospital("05_sheared_affine")
    image = nibabel.load(folder / "sheared.nii.gz")
    label = (np.asanyarray(image.dataobj) > 200).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(label, None, image.header, dtype=np.uint8), tmp_path / "label.nii.gz")
    ((each,), _) = checked(tmp_path / "checked", folder / "sheared.nii.gz", tmp_path / "label.nii.gz")
    assert each.facts["voxel_mm3"] == 11.25
    assert each.facts["label_ml"] == pytest.approx(21.6)
    written = nibabel.load(tmp_path / "checked" / "sheared" / "label.nii.gz")
    np.testing.assert_array_equal(written.affine, image.affine)
    centroid = nibabel.affines.apply_affine(written.affine, np.argwhere(np.asanyarray(written.dataobj))).mean(axis=0)
    np.testing.assert_allclose(centroid, 0, atol=1e-4)
    predicted(tmp_path / "out", folder)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "out" / "sheared" / "mask.nii.gz").affine, image.affine)


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR2_J2KR.dcm"])
def test_every_file_of_the_package_pydicom_is_named(checked, name):
    """Single images, localizers, CT, other objects and damaged files: there is no volume of MR among them."""
    cases, _ = checked(None, Path(get_testdata_file(name)).parent)
    assert len(cases) >= 5
    for each in cases:
        assert ": found " in each.problem
        assert "Error" not in each.problem


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("emri_small.dcm", "NumberOfFrames: found 10"),
        ("color-pl.dcm", "(US)"),
        ("JPEG-LL.dcm", "ImagePositionPatient: found none"),
        ("SC_rgb.dcm", "SamplesPerPixel: found 3"),
        ("mlut_18.dcm", "ModalityLUTSequence"),
    ],
)
def test_a_file_that_is_no_volume_is_refused_with_the_reason(checked, name, reason):
    """An MR study is a case that fails by name; a screenshot or another object is no case."""
    if pydicom.dcmread(get_testdata_file(name), stop_before_pixels=True).Modality in SCANNERS:
        (case,), _ = checked(None, get_testdata_file(name))
        assert reason in case.problem
    else:
        with pytest.raises(BadInput, match=re.escape(reason)):
            checked(None, get_testdata_file(name))
