"""Studies as they are read: SUV, CT on the grid of the PET, and damaged files that fail by name."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from tests.data_adapters.petct.reading import by_height, edit, read_one, with_elements
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.adapter import PetctAdapter
from transect.data_adapters.petct.config import ReadConfig, WriteConfig
from transect.data_adapters.petct.layouts import find_cases
from transect.data_adapters.petct.read import read_study
from transect.data_adapters.volume.nifti import read_nifti, write_nifti
from transect.data_adapters.volume.volume import Grid


def test_a_real_series_is_read_with_its_own_positions(sts_001) -> None:
    found = read_one(sts_001)
    assert found.pet.values.shape == (128, 128, 267)
    assert found.pet.values.dtype == np.float32
    assert found.pet.values.max() == pytest.approx(66.5, abs=0.05)
    heights = sorted(float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in (sts_001 / "image").iterdir())
    np.testing.assert_allclose(found.positions, heights, atol=1e-9)
    assert found.suv is not None
    assert found.suv.factors.shape == (267,)
    assert found.tracer == "FDG"
    assert found.ct is None


def test_a_real_series_has_the_suv_and_the_tumour_of_its_nifti_copy(sts_001, shared_file) -> None:
    """MIRP converted 59 slices; they are compared where the PET covers them."""
    whole = read_one(sts_001, label="GTV_Mass")
    part = read_one(shared_file("data/medical/sts_petctmr_nifti/STS_001"))
    corner = np.round(whole.pet.grid.index(part.pet.grid.world([[0, 0, 0]]))[0]).astype(int)
    place = tuple(slice(start, start + size) for start, size in zip(corner, part.pet.grid.shape, strict=True))
    ratio = whole.pet.values[place][part.pet.values > 1] / part.pet.values[part.pet.values > 1]
    assert np.median(ratio) == pytest.approx(1, abs=1e-4)
    np.testing.assert_array_equal(whole.label.positive[place[2]], part.label.positive)
    assert int(part.label.mask.sum()) == int(whole.label.mask.sum()) == 5095
    agree = (whole.label.mask[place] & part.label.mask).sum() / 5095
    assert agree > 0.97


def test_the_ct_lies_on_the_grid_of_the_pet_with_air_outside(short_study) -> None:
    """A CT of half the field, twice as fine and shifted, with values that are linear in space."""
    found = read_one(short_study)
    low, step = found.pet.grid.affine[:3, 3] * [-1, -1, 1], found.pet.grid.spacing[0]
    for k, path in enumerate(by_height(short_study / "ct")):
        image = pydicom.dcmread(path)
        x, y = low[0] + step * 8 + step / 2 * np.arange(32), low[1] + step * 8 + step / 2 * np.arange(32)
        z = low[2] + 20 + 4 * k
        image.ImagePositionPatient = [x[0], y[0], z]
        image.PixelSpacing = [step / 2] * 2
        image.PixelData = np.round(x[None, :] - 2 * y[:, None] + 3 * (z - low[2])).astype(np.int16).tobytes()
        image.save_as(path)
    ct = read_one(short_study).ct
    assert ct.dtype == np.float32
    assert ct.shape == found.pet.grid.shape
    world = found.pet.grid.world(np.stack(np.meshgrid(*map(np.arange, ct.shape), indexing="ij"), -1)) * [-1, -1, 1]
    inside = np.ones(ct.shape, bool)
    for axis, (start, end) in enumerate([(8, 23), (8, 23), (3, 7)]):  # in voxels of the PET
        inside &= (np.arange(ct.shape[axis]) >= start).reshape([-1 if a == axis else 1 for a in range(3)])
        inside &= (np.arange(ct.shape[axis]) <= end).reshape([-1 if a == axis else 1 for a in range(3)])
    np.testing.assert_allclose(ct[inside], (world @ [1, -2, 3] - 3 * low[2])[inside], atol=1.5)
    assert (ct[:7] == -1024).all()
    assert (ct[:, 25:] == -1024).all()
    assert (ct[..., :2] == -1024).all()
    assert (ct[..., 9:] == -1024).all()


def test_padding_of_the_ct_is_air(short_study) -> None:
    edit(short_study / "ct", lambda image: setattr(image, "PixelData", np.full((32, 32), -3024, "<i2").tobytes()))
    assert (read_one(short_study).ct == -1024).all()


@pytest.fixture
def nifti(tmp_path) -> tuple[Path, Grid]:
    grid = Grid((12, 10, 8), np.array([[4.0, 0, 0, -20], [0, 4, 0, -10], [0, 0, 3, 100], [0, 0, 0, 1]]))
    values = np.random.default_rng(0).gamma(1, 1, grid.shape).astype(np.float32)
    write_nifti(tmp_path / "a_PET.nii.gz", values, grid)
    write_nifti(tmp_path / "a_CT.nii.gz", np.full((6, 5, 4), 40, np.int16), Grid((6, 5, 4), grid.affine * [2, 2, 2, 1]))
    return tmp_path, grid


def test_files_are_suv_with_slices_from_the_feet(nifti) -> None:
    folder, grid = nifti
    found = read_one(folder)
    assert found.suv is None
    np.testing.assert_allclose(found.positions, 100 + 3.0 * np.arange(8))
    np.testing.assert_array_equal(found.pet.values, read_nifti(folder / "a_PET.nii.gz").values[::-1, ::-1])
    assert found.ct.shape == grid.shape
    assert set(np.unique(found.ct)) == {40}


def test_a_file_in_activity_is_refused_by_name(nifti) -> None:
    folder, grid = nifti
    path = folder / "a_PET.nii.gz"
    write_nifti(path, read_nifti(path).values * 5000, grid)
    with pytest.raises(BadInput, match=r"a_PET\.nii\.gz: values: found up to .*, expected SUV.*Bq/mL") as raised:
        read_one(folder)
    assert raised.value.file == str(path)
    write_nifti(path, np.zeros(grid.shape, np.float32), grid)
    with pytest.raises(BadInput, match="expected SUV above 0"):
        read_one(folder)


def test_files_of_several_volumes_are_refused_with_what_to_do(nifti) -> None:
    folder, grid = nifti
    for name in ("a_PET.nii.gz", "a_CT.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.ones((12, 10, 8, 3), np.float32), grid.affine), folder / name)
        with pytest.raises(
            BadInput, match=rf"{name}: axes: .*expected three; save one volume, such as the sum"
        ) as raised:
            _ = read_one(folder).ct
        assert "read.index" not in str(raised.value)
        write_nifti(folder / name, np.ones(grid.shape, np.float32), grid)


def test_a_ct_elsewhere_is_refused(nifti) -> None:
    folder, grid = nifti
    far = grid.affine.copy()
    far[0, 3] += 300
    write_nifti(folder / "a_CT.nii.gz", np.zeros(grid.shape, np.int16), Grid(grid.shape, far))
    found = read_one(folder)
    with pytest.raises(BadInput, match=r"a_CT\.nii\.gz: grid: found no voxel within the PET.*of this patient"):
        assert found.ct is None


def test_slices_that_are_not_axial_are_refused(nifti) -> None:
    folder, grid = nifti
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]
    write_nifti(
        folder / "a_PET.nii.gz", read_nifti(folder / "a_PET.nii.gz").values, Grid(grid.shape, turn @ grid.affine)
    )
    with pytest.raises(BadInput, match="expected axial slices"):
        read_one(folder)


def test_check_writes_what_was_read(study, tmp_path) -> None:
    adapter = PetctAdapter(ReadConfig(), WriteConfig())
    (case,) = adapter.cases(str(study))
    found = adapter.read(case)
    (tmp_path / "out").mkdir()
    facts = adapter.check(case, found, tmp_path / "out")
    for name, values in (("suv", found.pet.values), ("ct", found.ct), ("label", found.label.mask)):
        written = read_nifti(tmp_path / "out" / f"{name}.nii.gz")
        np.testing.assert_array_equal(written.values, values)
        assert written.grid.matches(found.pet.grid)
    assert facts["positive_slices"] == int(found.label.positive.sum()) > 0
    assert facts["tumour_voxels"] == int(found.label.mask.sum())
    assert (facts["slices"], facts["tracer"], facts["centre"]) == (32, "FDG", "Hospital 1")
    assert facts["units"] == "BQML"
    assert facts["reference_time"] == "2026-01-02T11:00:00"
    assert {"factor", "rule", "other_reference_time", "suv_max", "position_mm"} <= facts.keys()


def test_facts_name_what_is_left_out_and_skipped_without_the_patient(short_study) -> None:
    (short_study / "PHANTOM-0-0.txt").write_text("PHANTOM-0-0")
    edit(short_study / "ct", with_elements(FrameOfReferenceUID="1.2.3"))
    adapter = PetctAdapter(ReadConfig(), WriteConfig())
    (case,) = adapter.cases(str(short_study))
    facts = adapter.check(case, adapter.read(case), None)
    assert "series 1, CT phantom: FrameOfReferenceUID" in facts["left_out"]
    assert "no DICOM signature" in facts["skipped"]
    assert facts["ct"] is False
    assert "PHANTOM-0" not in str(facts)


FAULTS = {
    "no dose": (with_elements(RadiopharmaceuticalInformationSequence=None), "RadiopharmaceuticalInformationSequence"),
    "no weight": (with_elements(PatientWeight=None), "PatientWeight"),
    "no time": (lambda image: delattr(image.RadiopharmaceuticalInformationSequence[0], "RadiopharmaceuticalStartTime"),
                "RadiopharmaceuticalStart"),
    "no pixels": (with_elements(PixelData=None), "PixelData: found none"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_of_headers_are_named_through_the_reader(short_study, kind) -> None:
    change, field = FAULTS[kind]
    edit(short_study / "pet", change)
    with pytest.raises(BadInput, match=field):
        read_one(short_study)


def test_flipped_bytes_give_a_refusal_or_a_sample(short_study) -> None:
    shutil.rmtree(short_study / "ct")
    paths = by_height(short_study / "pet")
    for path in paths[4:]:
        path.unlink()
    victim, whole = paths[1], paths[1].read_bytes()
    pixels = len(whole) - 2 * 32 * 32
    rng = np.random.default_rng(5)
    refused = 0
    for place in [*rng.integers(128, pixels, 150), *rng.integers(pixels, len(whole), 10)]:
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        victim.write_bytes(damaged)
        try:
            for case in find_cases(str(short_study), config=ReadConfig()):
                found = read_study(case, ReadConfig())
                assert np.isfinite(found.pet.values).all()
                assert len(found.positions) == len(found.pet.slices) == found.pet.values.shape[2]
        except BadInput:
            refused += 1
    assert 10 < refused < 150
