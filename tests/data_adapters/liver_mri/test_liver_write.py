"""What is written of a prediction: masks on the grid of the input, DICOM objects, measurements."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from transect.data_adapters.liver_mri.adapter import LiverAdapter
from transect.data_adapters.liver_mri.config import PhantomConfig, WriteConfig
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.dicom_seg import read_seg
from transect.data_adapters.volume.nifti import read_nifti
from transect.data_adapters.volume.rtstruct import read_rtstruct

SOURCE = "Transect 0.9, liver_mri, model SHA-256 " + "0a" * 32


def segmented(volume, mask) -> Segmentation:
    """A prediction in two slabs, with a range over flips."""
    probability = mask.astype(np.float32)
    half = mask.shape[2] // 2
    parts = ((0, probability[..., :half]), (half, probability[..., half:]))
    return Segmentation(volume, iter([Slab(start, p, p * 0, np.ones_like(p)) for start, p in parts]))


def write(folder: Path, out: Path, mask, **config):
    adapter = LiverAdapter(VolumeConfig(), WriteConfig(**config))
    (case,) = adapter.cases(str(folder))
    sample = adapter.read(case)
    out.mkdir()
    facts = adapter.write(case, segmented(sample.volume, mask(sample.volume)), out, SOURCE)
    return sample.volume, facts, {path.name for path in out.iterdir()}


def block(volume):
    mask = np.zeros(volume.grid.shape, np.uint8)
    mask[tuple(slice(n // 4, n // 2) for n in mask.shape)] = 1
    return mask


def empty(volume):
    return np.zeros(volume.grid.shape, np.uint8)


def test_dicom_objects_and_nifti_hold_the_same_liver(series, tmp_path):
    volume, facts, names = write(series, tmp_path / "out", block, rtstruct=True)
    assert names == {"mask.nii.gz", "liver.seg.dcm", "liver.rtstruct.dcm", "statistics.json"}
    mask = block(volume)
    written = read_nifti(tmp_path / "out" / "mask.nii.gz")
    assert written.values.dtype == np.uint8
    assert written.grid.matches(volume.grid, 1e-4)
    np.testing.assert_array_equal(written.values, mask)
    np.testing.assert_array_equal(read_seg(tmp_path / "out" / "liver.seg.dcm", volume)["Liver"], mask)
    np.testing.assert_array_equal(read_rtstruct(tmp_path / "out" / "liver.rtstruct.dcm", volume).mask, mask)
    statistics = json.loads((tmp_path / "out" / "statistics.json").read_text())
    volume_ml = mask.sum() * volume.grid.voxel_volume / 1000
    assert statistics["volume_ml"] == facts["volume_ml"] == pytest.approx(volume_ml, abs=0.01)
    assert statistics["volume_range_ml"] == [0, pytest.approx(mask.size * volume.grid.voxel_volume / 1000, rel=1e-6)]
    assert statistics["model"] == SOURCE
    assert statistics["image"]["Modality"] == "MR"
    assert statistics["image"]["orientation"] == volume.grid.orientation


def test_the_model_and_its_version_are_in_the_segmentation(series, tmp_path):
    write(series, tmp_path / "out", block)
    (segment,) = pydicom.dcmread(tmp_path / "out" / "liver.seg.dcm").SegmentSequence
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == tuple(SOURCE.rsplit(" ", 1))
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"


@pytest.mark.parametrize("empty_frames", [False, True])
def test_an_empty_liver_is_written_whole(series, tmp_path, empty_frames):
    volume, facts, _ = write(series, tmp_path / "out", empty, rtstruct=True, empty_frames=empty_frames)
    assert not read_seg(tmp_path / "out" / "liver.seg.dcm", volume)["Liver"].any()
    assert not read_nifti(tmp_path / "out" / "mask.nii.gz").values.any()
    assert facts["volume_ml"] == facts["components"] == 0
    assert facts["touches_edge"] == "no"


def test_empty_frames_are_written_where_they_are_asked_for(series, tmp_path):
    for wanted in (False, True):
        volume, *_ = write(series, tmp_path / str(wanted), block, empty_frames=wanted)
        frames = pydicom.dcmread(tmp_path / str(wanted) / "liver.seg.dcm").NumberOfFrames
        assert frames == (volume.grid.shape[2] if wanted else block(volume).any(axis=(0, 1)).sum())


def test_a_hand_made_mask_of_the_real_series_lies_on_its_own_images(t2_series, tmp_path):
    volume, facts, names = write(t2_series, tmp_path / "out", block)
    assert names == {"mask.nii.gz", "liver.seg.dcm", "statistics.json"}
    assert volume.grid.shape == (584, 512, 33)
    seg = pydicom.dcmread(tmp_path / "out" / "liver.seg.dcm")
    assert seg.NumberOfFrames == 8
    positions = {image.uid: image.position for image in volume.slices}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        np.testing.assert_allclose(place, positions[uid], atol=1e-6)
    np.testing.assert_array_equal(read_seg(tmp_path / "out" / "liver.seg.dcm", volume)["Liver"], block(volume))
    assert facts["volume_ml"] == pytest.approx(146 * 128 * 8 * 3.73847 / 1000, abs=0.01)


@pytest.mark.parametrize("format", ["nifti", "dicom"])
def test_phantoms_of_both_formats_have_every_split_and_a_known_liver(tmp_path, format):
    adapter = LiverAdapter(VolumeConfig(), WriteConfig(), PhantomConfig(format))
    adapter.phantom(tmp_path, 3, 5)
    cases = adapter.cases(str(tmp_path))
    assert len(cases) == 3
    assert sum(case.split == "test" for case in cases) == 1
    for case in cases:
        sample = adapter.read(case)
        facts = adapter.check(case, sample, None)
        assert 800 < facts["label_ml"] < 2500
        assert "warnings" not in facts
