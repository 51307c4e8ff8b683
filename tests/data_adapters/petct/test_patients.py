"""Whose each study is: one PatientID for two people, one person under two, and studies without any."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.data_adapters.petct.reading import by_height, edit, with_elements
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.layouts import find_cases
from transect.data_adapters.petct.patients import require_no_leaks
from transect.data_adapters.petct.study import StudyCase
from transect.data_adapters.volume.nifti import write_nifti
from transect.data_adapters.volume.volume import Grid


def listed(root: Path, **read: str) -> list[StudyCase]:
    return find_cases(str(root), config=ReadConfig(**read))


@pytest.fixture
def visit(written_short_study, tmp_path):
    """Adds a study of other pixels in a frame of its own, with these elements."""

    def add(name: str, same_pixels: bool = False, **elements: object) -> Path:
        folder = Path(shutil.copytree(written_short_study / "pet", tmp_path / "root" / name))
        new = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(), "PatientID": name}
        new |= {"FrameOfReferenceUID": generate_uid(), "PatientBirthDate": "", "PatientSex": "M", **elements}
        edit(folder, with_elements(**new))
        if not same_pixels:
            noise = np.random.default_rng(len(list(folder.parent.iterdir()))).integers(0, 9000, (32, 32), np.int16)
            edit(folder, lambda image: setattr(image, "PixelData", noise.tobytes()))
        return folder.parent

    return add


def test_visits_of_one_patient_are_one_group_whatever_the_case_of_the_number(visit) -> None:
    visit("first", PatientID="Ab 12 ")
    visit("second", PatientID="aB 12", PatientWeight="66", StudyDate="20260202")
    root = visit("other")
    cases = listed(root)
    assert len(cases) == 3
    assert sorted(len([c for c in cases if c.group == case.group]) for case in cases) == [1, 2, 2]
    require_no_leaks(cases)


@pytest.mark.parametrize(
    ("difference", "field"),
    [
        (dict(PatientSex="F"), "PatientSex"),
        (dict(PatientBirthDate="19600101"), "PatientBirthDate"),
        (dict(PatientWeight="75"), "PatientWeight"),
        (dict(PatientWeight="90", StudyDate="20270101"), "PatientWeight"),
    ],
)
@pytest.mark.parametrize("number", ["X1", ""])
def test_one_number_for_two_people_is_refused(visit, difference, field, number) -> None:
    visit("first", PatientID=number, PatientBirthDate="19500101", PatientName="")
    visit("second", PatientID=number, PatientName="", **{"PatientBirthDate": "19500101", **difference})
    root = visit("other")
    cases = listed(root)
    with pytest.raises(BadInput, match=rf"PatientID: found .* differ in {field}: .*read\.patients") as raised:
        require_no_leaks(cases)
    assert str(root / "first") in str(raised.value)
    assert str(root / "second") in str(raised.value)
    assert str(root / "other") not in str(raised.value)
    assert "X1" not in str(raised.value).replace(str(root), "")
    assert raised.value.file.startswith("patient-")


@pytest.mark.parametrize("number", ["ANONYMOUS", ""])
def test_one_number_for_the_whole_data_set_is_refused_and_solved_by_a_table(visit, number, tmp_path) -> None:
    visit("first", PatientID=number, PatientName="")
    root = visit("second", PatientID=number, PatientName="")
    cases = listed(root)
    assert len({case.group for case in cases}) == 1
    with pytest.raises(BadInput, match=r"PatientID: found .* for all 2 studies"):
        require_no_leaks(cases)
    table = tmp_path / "patients.csv"
    table.write_text(f"study,patient\n{cases[0].id},Ann\n{cases[1].study},Bob\n")
    cases = listed(root, patients=str(table))
    assert len({case.group for case in cases}) == 2
    assert not {"Ann", "Bob"} & {case.group for case in cases}
    require_no_leaks(cases)
    table.write_text(f"study,patient\n{cases[0].study},Ann\n{cases[1].study},Bob\n")
    assert {case.group for case in listed(root, patients=str(table), ids="path")} == {"Ann", "Bob"}


def test_one_study_alone_is_one_patient(visit) -> None:
    require_no_leaks(listed(visit("first", PatientID="ANONYMOUS")))


def test_a_frame_of_reference_under_two_numbers_is_a_leak(visit) -> None:
    visit("first", FrameOfReferenceUID="1.2.3.4")
    root = visit("second", FrameOfReferenceUID="1.2.3.4")
    visit("other")
    with pytest.raises(BadInput, match="FrameOfReferenceUID: found the same frame of reference in") as raised:
        require_no_leaks(listed(root))
    one, two = raised.value.file.split(", ")
    assert one.startswith("patient-")
    assert two.startswith("patient-")
    assert str(root) in raised.value.found
    assert "other" not in str(raised.value)
    assert not any(f"/{name}" in str(raised.value) for name in ("first", "second"))  # folders called by PatientID


def test_pixels_under_two_numbers_are_a_leak(visit, tmp_path) -> None:
    visit("first", same_pixels=True)
    visit("other")
    root = visit("second", same_pixels=True)
    with pytest.raises(BadInput, match="PixelData: found the same pixels in"):
        require_no_leaks(listed(root))
    (path,) = by_height(root / "second")[6:7]
    image = pydicom.dcmread(path)
    image.PixelData = bytes(image.PixelData[:-2]) + b"\x07\x00"
    image.save_as(path)
    require_no_leaks(listed(root))


def test_files_with_equal_pixels_under_two_names_are_a_leak(tmp_path) -> None:
    grid = Grid((6, 5, 4), np.diag([4.0, 4, 4, 1]))
    rng = np.random.default_rng(0)
    values = rng.random((3, *grid.shape), np.float32)
    for name, number in (("a_PET", 0), ("b_PET", 1), ("c_PET", 2)):
        write_nifti(tmp_path / f"{name}.nii.gz", values[number], grid)
    require_no_leaks(listed(tmp_path))
    write_nifti(tmp_path / "b_PET.nii", values[0], grid)
    (tmp_path / "b_PET.nii.gz").unlink()
    with pytest.raises(BadInput, match=r"a, b: PixelData: found the same pixels in .*a_PET\.nii\.gz \(a\).*b_PET"):
        require_no_leaks(listed(tmp_path))
    table = tmp_path / "patients.csv"
    table.write_text("study,patient\na,Ann\nb,Ann\nc,Bob\n")
    require_no_leaks(listed(tmp_path, patients=str(table)))
    (tmp_path / "c_PET.nii.gz").write_bytes(b"damaged")
    require_no_leaks(listed(tmp_path, patients=str(table)))  # fails by itself when it is read


def test_tables_of_patients_that_say_nothing_are_refused(tmp_path) -> None:
    write_nifti(tmp_path / "a_PET.nii.gz", np.ones((3, 3, 3), np.float32), Grid((3, 3, 3), np.eye(4)))
    table = tmp_path / "patients.csv"
    for text, message in (
        ("study,patient\nb,Ann\n", "study: found b, expected cases or StudyInstanceUIDs, such as a"),
        ("study,patient\na,\n", "line 2, patient: found nothing"),
        ("study,patient\na,Ann\na,Bob\n", "line 3, patient: found Bob, expected one patient of each study"),
        ("case,patient\na,Ann\n", "columns: found case, patient"),
    ):
        table.write_text(text)
        with pytest.raises(BadInput, match=message):
            listed(tmp_path, patients=str(table))
