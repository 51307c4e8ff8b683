"""Bad volumes fail by name, and the rest of the batch goes on."""

import gzip
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import MPEG2MPML

from transect.data_adapters.base import BadInput
from transect.data_adapters.liver_mri.adapter import LiverAdapter
from transect.data_adapters.liver_mri.config import PhantomConfig, WriteConfig
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.phantom import abdomen, write_series

SMALL = (20, 16, 8)


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([17.0, 18, 28, 1])), path)
    return path


def edit(folder: Path, index: int, **elements: object) -> None:
    path = sorted(folder.iterdir())[index]
    image = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    image.save_as(path)


def test_every_fault_is_named_and_the_good_volumes_are_read(tmp_path, checked, predicted):
    root = tmp_path / "data"
    case = abdomen(np.random.default_rng(0), SMALL, (17.0, 18.0, 28.0))
    good = case.values
    images, labels = root / "nifti" / "images", root / "nifti" / "labels"
    for name in ("good", "nan", "cut", "terabytes", "empty", "other_grid", "fractions", "text"):
        save(images / f"{name}.nii.gz", good.astype(np.float32) if name == "nan" else good)
        save(labels / f"{name}.nii.gz", case.liver)
    bad = good.astype(np.float32)
    bad[3, 3, 3] = np.nan
    save(images / "nan.nii.gz", bad)
    whole = (images / "cut.nii.gz").read_bytes()
    (images / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    claims = bytearray(gzip.decompress(whole))
    claims[42:48] = np.array([30000, 30000, 2], "<i2").tobytes()
    (images / "terabytes.nii.gz").write_bytes(gzip.compress(bytes(claims)))
    save(labels / "empty.nii.gz", np.zeros(SMALL, np.uint8))
    save(labels / "other_grid.nii.gz", case.liver[:-1])
    save(labels / "fractions.nii.gz", case.liver * np.float32(0.5))
    (images / "text.nii.gz").write_bytes(b"no image\n" * 99)

    dicom = root / "dicom"
    for name in ("whole", "gap", "mixed", "compressed", "truncated", "huge"):
        write_series(dicom / name, case, name)
    sorted((dicom / "gap").iterdir(), key=_height)[3].unlink()
    for index in range(4):
        edit(
            dicom / "mixed",
            index,
            ImagePositionPatient=pydicom.dcmread(sorted((dicom / "mixed").iterdir())[7]).get("ImagePositionPatient"),
        )
    for path in (dicom / "compressed").iterdir():
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = MPEG2MPML
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\x0a" + bytes(64)])
        image["PixelData"].is_undefined_length = True
        image.save_as(path)
    path = sorted((dicom / "truncated").iterdir())[2]
    path.write_bytes(path.read_bytes()[:-200])
    for index in range(8):
        edit(dicom / "huge", index, Rows=65535, Columns=65535)

    expected = {
        "good": "",
        "nan": "voxels: found 1 that are NaN or infinite",
        "cut": "found Compressed file ended before the end-of-stream marker",
        "terabytes": "as its header says",
        "empty": "label: found no voxel of any label",
        "other_grid": "grid: found 19 x 16 x 8 voxels",
        "fractions": "values: found 0.5, expected whole numbers",
        "text": "format: found no NIfTI signature",
        "whole": "",
        "gap": "1 images seem to be missing",
        "mixed": "repeated positions (ImagePositionPatient): found 8 images on 4 positions",
        "compressed": "MPEG2",
        "truncated": "PixelData: found",
        "huge": "Rows and Columns: found 65535 and 65535",
    }
    for each in _all(checked, predicted, tmp_path, root):
        place = next(name for name in expected if f"/{name}." in each[0] or f"/{name}" == each[0][-len(name) - 1 :])
        assert expected.pop(place) in each[1], (place, each[1])
        assert bool(each[1]) == (place not in ("good", "whole")), each
        assert "\n" not in each[1]
    assert not expected


def _height(path: Path) -> float:
    return float(pydicom.dcmread(path).ImagePositionPatient[2])


def _all(checked, predicted, tmp_path, root):
    cases, _ = checked(tmp_path / "checked", root)
    outcomes = {outcome.case: outcome for outcome in predicted(tmp_path / "out", root)}
    for each in cases:
        of_label = each.problem.startswith(str(root / "nifti" / "labels"))  # which prediction does not read
        assert (outcomes[each.case.id].status == "failed") == (bool(each.problem) and not of_label)
        assert (tmp_path / "out" / each.case.id).exists() == (not each.problem or of_label)
        assert (tmp_path / "checked" / each.case.id).exists() != bool(each.problem)
        assert outcomes[each.case.id].message == ("" if of_label else each.problem)
        yield each.case.files[0], each.problem


@pytest.fixture(scope="module", params=["nifti", "dicom"])
def phantom(request, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "data"
    LiverAdapter(VolumeConfig(), WriteConfig(), PhantomConfig(request.param)).phantom(root, 1, 0)
    return root


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_flipped_and_cut_bytes_of_any_file_give_a_volume_or_bad_input(phantom, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("flipped") / "data"
    shutil.copytree(phantom, root)
    files = sorted(path for path in root.rglob("*") if path.suffix in (".dcm", ".gz"))
    path = files[data.draw(st.integers(0, len(files) - 1), label="file")]
    content = bytearray(path.read_bytes())
    compressed = path.suffix == ".gz" and data.draw(st.booleans(), label="inside gzip")
    content = bytearray(gzip.decompress(content)) if compressed else content
    for _ in range(data.draw(st.integers(1, 4), label="flips")):
        first = data.draw(st.booleans(), label="in the header")
        content[data.draw(st.integers(0, (min(len(content), 1500) if first else len(content)) - 1))] ^= data.draw(
            st.integers(1, 255)
        )
    del content[data.draw(st.integers(0, len(content)), label="cut") if data.draw(st.booleans()) else len(content) :]
    path.write_bytes(gzip.compress(content) if compressed else content)
    adapter = LiverAdapter(VolumeConfig(), WriteConfig())
    try:
        for case in adapter.cases(str(root)):
            adapter.check(case, adapter.read(case), None)
    except BadInput:
        pass
    shutil.rmtree(root)
