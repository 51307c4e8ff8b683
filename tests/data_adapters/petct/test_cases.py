"""Files that hospitals have, through the adapter's `check`: read as their index says, or refused by name."""

from typing import Any

import numpy as np
import pytest

from tests.data_adapters.petct.reading import by_height
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.adapter import PetctAdapter
from transect.data_adapters.petct.config import ReadConfig, WriteConfig
from transect.data_adapters.volume.nifti import read_nifti


@pytest.fixture
def checked(tmp_path):
    """Reads the only case of a folder; returns the study, its facts, and what was written."""

    def run(*inputs, **read: Any):
        adapter = PetctAdapter(ReadConfig(**read), WriteConfig())
        (case,) = adapter.cases(*map(str, inputs))
        study = adapter.read(case)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        return study, adapter.check(case, study, out), {path.name: read_nifti(path) for path in out.iterdir()}

    return run


def test_06_the_corrected_series_is_taken_among_several(hospital, checked) -> None:
    folder = hospital("06_corrected_and_uncorrected_pet")
    study, facts, files = checked(folder)
    assert facts["series_description"] == "WB 3D"
    assert facts["slices"] == 12
    assert facts["spacing_mm"] == [4.0, 4.0, 4.0]
    assert facts["suv_max"] == pytest.approx(5, abs=0.01)
    spots = study.positions[study.pet.values.max(axis=(0, 1)) > 4]
    np.testing.assert_allclose(spots, [-6, -2, 2], atol=1e-6)
    body = study.pet.values[(study.pet.values > 0.5) & (study.pet.values < 4)]
    np.testing.assert_allclose(body, 1, atol=0.01)
    assert "series 1, WB NAC: CorrectedImage: found DECY, DTIM, RAN, NORM, expected ATTN" in facts["left_out"]
    assert "ImageType: found DERIVED, SECONDARY, MIP" in facts["left_out"]
    assert facts["ct"]
    assert set(np.unique(files["ct.nii.gz"].values[15, 15])) == {0}
    heights = files["suv.nii.gz"].grid.world([[0, 0, 0], [0, 0, 11]])[:, 2]
    np.testing.assert_allclose(heights, [-18, 26], atol=1e-4)
    names = [image.path.name for image in study.pet.slices]
    assert names == [path.name for path in by_height(folder / "2_ac")] == [f"{12 - k:03d}.dcm" for k in range(12)]


def test_06_the_uncorrected_series_alone_is_refused(hospital, checked) -> None:
    with pytest.raises(BadInput, match=r"WB NAC: CorrectedImage: found DECY, DTIM, RAN, NORM, expected ATTN"):
        checked(hospital("06_corrected_and_uncorrected_pet") / "1_nac")
    with pytest.raises(BadInput, match="CorrectedImage"):
        checked(hospital("06_corrected_and_uncorrected_pet"), series="NAC")


def test_10_contours_of_every_shape(hospital, checked) -> None:
    study, facts, files = checked(hospital("10_contours_with_holes"), label="GTV")
    assert np.flatnonzero(study.label.positive).tolist() == [2, 3, 4, 5, 6, 7]
    assert facts["positive_slices"] == 6
    counts = files["label.nii.gz"].values.sum(axis=(0, 1))
    assert counts[2:7].tolist() == [100, 84, 84, 50, 100]
    assert counts[8:].sum() == 0
    assert "contour 10 (POINT of 1 points) has no area" in facts["warnings"]
    _, facts, _ = checked(hospital("10_contours_with_holes"), label="empty")
    assert facts["positive_slices"] == facts["tumour_voxels"] == 0


def test_10_no_choice_among_regions_is_refused_with_their_names(hospital, checked) -> None:
    with pytest.raises(BadInput, match="ROIName: found GTV, Bladder, empty"):
        checked(hospital("10_contours_with_holes"))


def test_11_every_slice_keeps_its_position_and_its_label(hospital, checked) -> None:
    folder = hospital("11_spacing_that_drifts")
    expected = np.concatenate([3.0 * np.arange(61), 180 + 3.1 * np.arange(1, 60)])
    for inputs in ((folder,), (folder / "pet", folder / "tumour.nii.gz")):
        study, facts, _ = checked(*inputs)
        np.testing.assert_allclose(study.positions, expected, atol=0.01)
        assert np.flatnonzero(study.label.positive).tolist() == [58, 59, 60, 61]
        np.testing.assert_array_equal(study.pet.values > 4, study.label.mask > 0)
        assert facts["slices"] == 120
        np.testing.assert_allclose(facts["position_mm"], expected, atol=0.01)
        assert "slices are taken as those of the series" in facts["warnings"]
