"""Synthetic bodies: what tells a lesion from a spot, and that their files hold what is known."""

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage
from scipy.stats import ks_2samp

from transect.data_adapters.petct.body import LESION_SLICES, NECK, SPOT_SLICES, body
from transect.data_adapters.petct.config import PhantomConfig
from transect.data_adapters.petct.phantom import write_phantom
from transect.data_adapters.petct.suv import suv
from transect.data_adapters.volume.dicom_seg import read_seg
from transect.data_adapters.volume.dicom_series import read_stack
from transect.data_adapters.volume.dicom_slices import scan
from transect.data_adapters.volume.dicom_stacks import stacks_of
from transect.data_adapters.volume.nifti import read_nifti


def bodies(context: bool, count: int = 60):
    return [body(np.random.default_rng(number), 32, 48, context) for number in range(count)]


def test_with_context_lesions_and_spots_differ_only_in_how_many_slices_they_cover():
    drawn = [uptake for one in bodies(True) for uptake in one.uptake]
    lesions, spots = ([each for each in drawn if each.lesion is kind] for kind in (True, False))
    assert min(len(lesions), len(spots)) > 60
    for kind, (low, high) in ((lesions, LESION_SLICES), (spots, SPOT_SLICES)):
        assert {each.stop - each.first for each in kind} == set(range(low, high + 1))
    assert (LESION_SLICES[1], SPOT_SLICES[0]) == (4, 15)
    for name in ("x", "y", "a", "b", "angle", "suv"):
        values = [[getattr(each, name) for each in kind] for kind in (lesions, spots)]
        assert ks_2samp(*values).pvalue > 0.01, name


def test_without_context_a_slice_does_not_depend_on_others():
    positive = np.array([one.tumour.any((0, 1))[:40] for one in bodies(False)], float)
    correlations = [np.corrcoef(positive[:, :-lag].ravel(), positive[:, lag:].ravel())[0, 1] for lag in (1, 2, 3)]
    assert np.abs(correlations).max() < 0.08
    assert positive.sum(1).std() == pytest.approx(np.sqrt(40 * 0.15 * 0.85), rel=0.3)  # as if drawn with one rate
    drawn = [uptake for one in bodies(False) for uptake in one.uptake]
    assert all(each.stop - each.first == 1 for each in drawn)
    suvs = [np.mean([each.suv for each in drawn if each.lesion is kind]) for kind in (True, False)]
    assert suvs[0] > suvs[1] + 1


def test_the_label_is_the_lesions_and_organs_are_hotter_than_many_of_them():
    for one in bodies(True, 6):
        expected = np.zeros(48, bool)
        for each in one.uptake:
            expected[each.first : each.stop] |= each.lesion
            if each.lesion:
                inside = one.tumour[..., each.first : each.stop] > 0
                assert one.suv[..., each.first : each.stop][inside].max() > 0.8 * each.suv
        np.testing.assert_array_equal(one.tumour.any((0, 1)), expected)
        places = np.linspace(-1, 1, 48)
        assert not expected[places > NECK].any()
        assert one.suv[..., places > 0.85].max() > 4  # brain
        assert one.suv[..., places < -0.8].max() > 4  # bladder
        assert one.suv.min() >= 0
        assert (one.ct[0, 0] < -900).all()
        assert one.ct.max() > 350


def test_half_of_the_slices_without_tumour_look_as_if_they_had_one():
    looks = []
    for one in bodies(True):
        covered = np.zeros(48, bool)
        for each in one.uptake:
            covered[each.first : each.stop] = True
        looks += covered[~one.tumour.any((0, 1))].tolist()
    assert 0.45 < np.mean(looks) < 0.7


def test_nifti_studies_hold_the_bodies(tmp_path):
    drawn = write_phantom(tmp_path, 6, 3, PhantomConfig(size=32, slices=32))
    folders = sorted(path.parent for path in tmp_path.rglob("SUV.nii.gz"))
    assert len(folders) == len(drawn) == 6
    assert len({folder.parent.name for folder in folders}) == 5  # one patient has two studies
    assert {folder.parent.parent.name for folder in folders} == {"train", "test"}
    by_path = sorted(folders, key=lambda folder: (folder.parent.name, folder.name))
    for folder, one in zip(by_path, drawn, strict=True):
        for name, values in (("SUV", one.suv), ("CTres", one.ct), ("SEG", one.tumour)):
            volume = read_nifti(folder / f"{name}.nii.gz")
            np.testing.assert_array_equal(volume.values, values)
            np.testing.assert_allclose(volume.grid.affine, one.grid.affine, atol=1e-4)


def test_dicom_studies_hold_the_bodies_as_suv_ct_and_seg(tmp_path):
    (one,) = write_phantom(tmp_path, 1, 3, PhantomConfig("dicom", size=32, slices=32))
    (folder,) = (path.parent for path in tmp_path.rglob("tumour.dcm"))
    (stack,), (ct_stack,) = (stacks_of(scan(folder / name).slices) for name in ("pet", "ct"))
    pet, ct = read_stack(stack), read_stack(ct_stack)
    headers = [dcmread(path, stop_before_pixels=True) for path in sorted((folder / "pet").glob("*.dcm"))]
    facts = suv(headers)
    assert facts.warnings == ()
    assert facts.tracer == "FDG"
    np.testing.assert_allclose(pet.values * facts.factors[0], one.suv, atol=one.suv.max() / 32767)
    np.testing.assert_array_equal(ct.values, one.ct)
    assert pet.grid.matches(ct.grid)
    (mask,) = read_seg(folder / "tumour.dcm", pet).values()
    np.testing.assert_array_equal(mask, one.tumour)
    assert headers[0].FrameOfReferenceUID == ct.slices[0].text("FrameOfReferenceUID")
    assert headers[0].file_meta.MediaStorageSOPClassUID == headers[0].SOPClassUID
    assert ndimage.label(mask)[1] >= 1
