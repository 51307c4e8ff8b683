"""Nothing that is written says who the patient is, except the DICOM objects."""

import gzip
import unicodedata
from pathlib import Path

import numpy as np
import pydicom
import pytest

from transect.data_adapters.volume.phantom import abdomen, write_series

BIRTH = "19480517"

PATIENTS = {
    "usual": ("MRN-00471", "Miller^Jane"),
    "short": ("Zq7", "Xy^Wv"),
    "unicode": ("Größe-№7", "Müller^Jürgen"),
    "decomposed": (unicodedata.normalize("NFD", "Größe-№7"), "Müller^Jürgen"),
    "carets": ("A7^B8^C9", "O'Neil^Pat^^Dr"),
    "pattern": ("K+(1)[x]$", "M.*^Q?"),
    "spaces": ("ID 77 310", "van der Berg^Ann"),
    "hash": ("patient-0a1b2c3d", "patient^patient"),
    "no number": ("", "Miller^Jane"),
    "date that is none": ("MRN-00471", "Miller^Jane"),
}


def study(root: Path, patient: str, name: str, folder: str, file: str, birth: str = BIRTH) -> Path:
    """A series of eight images, of which one is turned, one file that is no image, and a localizer."""
    case = abdomen(np.random.default_rng(3), (20, 16, 8), (17.0, 18.0, 28.0))
    for number, description in ((1, f"localizer {name}"), (2, f"t2 of {patient} {name}")):
        place = root / folder / str(number)
        write_series(place, case, "X", number, SpecificCharacterSet="ISO_IR 192", SeriesDescription=description)
        for index, path in enumerate(sorted(place.iterdir())):
            image = pydicom.dcmread(path)
            image.PatientID, image.PatientName, image.PatientBirthDate = patient, name, birth
            image.OtherPatientIDs = ["OLD-5512", "ext.881"]
            path.unlink()
            image.save_as(place / f"{file}.{index}.dcm")
    turned = pydicom.dcmread(place / f"{file}.0.dcm")
    turned.ImageOrientationPatient, turned.SOPInstanceUID = [1, 0, 0, 0, 0, -1], f"{turned.SOPInstanceUID[:-2]}"
    turned.save_as(place / f"{file}.20.dcm")
    (place / f"{file}.txt").write_text("x")
    return root / folder


def written(*roots: Path) -> dict[str, str]:
    """The names and the content of all files but DICOM objects."""
    texts = {}
    for root in roots:
        for path in root.rglob("*"):
            content = path.read_bytes() if path.is_file() and path.suffix != ".dcm" else b""
            content = gzip.decompress(content) if path.name.endswith(".gz") else content
            texts[str(path.relative_to(root))] = content.decode("utf-8", "replace")
    return texts


def require_none(values: list[str], texts: dict[str, str]) -> None:
    for value in filter(None, values):
        for form in ("NFC", "NFD"):
            for spelled in {value, unicodedata.normalize(form, value)}:
                for place, text in texts.items():
                    assert spelled.casefold() not in f"{place}\n{text}".casefold(), (value, place)


@pytest.mark.parametrize(
    ("kind", "as_path"),
    [*((kind, True) for kind in PATIENTS), *((kind, False) for kind in ("usual", "short", "unicode"))],
)
def test_nothing_written_names_the_patient(checked, predicted, tmp_path, caplog, capsys, kind, as_path):
    patient, name = PATIENTS[kind]
    called = (patient or name.replace("^", "_")) if as_path else "exam"
    birth = "48-MAY-17" if kind == "date that is none" else BIRTH
    folder = study(tmp_path / "data", patient, name, called, called if as_path else "IM", birth)
    caplog.clear()  # what pydicom says of writing such a date
    values = [patient, name, birth, "OLD-5512", "ext.881"]
    cases, summary = checked(tmp_path / "checked", tmp_path / "data")
    outcomes = predicted(tmp_path / "predicted", tmp_path / "data")
    direct = predicted(tmp_path / "direct", folder)
    assert [each.status for each in [*outcomes, *direct]] == ["done"] * 2
    texts = written(tmp_path / "checked", tmp_path / "predicted", tmp_path / "direct")
    assert any(name.endswith("liver.seg.dcm") for name in texts)
    assert pydicom.dcmread(next((tmp_path / "direct").rglob("liver.seg.dcm"))).PatientID == patient

    (folder / "2" / f"{called if as_path else 'IM'}.3.dcm").unlink()  # a gap
    failed, _ = checked(tmp_path / "failed", folder)
    missing = predicted(tmp_path / "missing", folder)
    assert failed[0].problem
    assert missing[0].status == "failed"
    assert "images seem to be missing" in missing[0].message
    texts |= written(tmp_path / "failed", tmp_path / "missing")
    texts["shown"] = " ".join(str((c.case.id, c.case.group, c.facts, c.warnings, c.problem)) for c in [*cases, *failed])
    texts["summary"], texts["message"], texts["log"] = summary, missing[0].message, caplog.text
    texts["printed"] = "".join(capsys.readouterr())
    require_none(values, texts)
    assert "patient-" in texts["shown"]


def test_patients_that_share_a_folder_do_not_name_each_other(checked, predicted, tmp_path):
    data = tmp_path / "data"
    for number, patient in enumerate(("MRN-00471", "MRN-00472")):
        case = abdomen(np.random.default_rng(number), (20, 16, 8), (17.0, 18.0, 28.0))
        write_series(data / patient, case, patient)
        for index, path in enumerate(sorted((data / patient).iterdir())):
            path.rename(data / f"{patient}.{index}.dcm")
        (data / patient).rmdir()
        shot = pydicom.dcmread(data / f"{patient}.0.dcm")
        shot.SamplesPerPixel, shot.SOPInstanceUID = 3, f"1.2.{number}"
        shot.save_as(data / f"{patient}.shot.dcm")
    roots = tmp_path / "checked", tmp_path / "predicted"
    cases, summary = checked(roots[0], data)
    assert len({each.case.id for each in cases}) == 2
    assert all(f"{each.case.id}.shot.dcm" in each.facts["skipped"] for each in cases)
    predicted(roots[1], data)
    require_none(["MRN-00471", "MRN-00472"], {**written(*roots), "summary": summary})


def test_a_patient_with_two_numbers_in_a_study_is_hidden_by_both(checked, tmp_path):
    study(tmp_path / "data", "MRN-00471", "Miller^Jane", "exam", "IM")
    for path in (tmp_path / "data" / "exam" / "1").iterdir():
        image = pydicom.dcmread(path)
        image.PatientID, image.PatientName, image.SeriesDescription = "OUT-9", "Miller^J", "t1 of OUT-9, MILLER J"
        image.save_as(path)
    checked(tmp_path / "checked", tmp_path / "data")
    require_none(["MRN-00471", "OUT-9", "Miller^J", "MILLER J"], written(tmp_path / "checked"))


def test_paths_are_shown_where_they_are_asked_for(checked, predicted, tmp_path):
    study(tmp_path / "data", "MRN-00471", "Miller^Jane", "MRN-00471", "MRN-00471")
    ((each,), _) = checked(tmp_path / "checked", tmp_path / "data", ids="path")
    assert each.case.id == "MRN-00471"
    assert "data/MRN-00471" in (tmp_path / "checked" / "cases.csv").read_text()


def test_an_unchanged_case_is_not_predicted_again(predicted, tmp_path):
    folder = study(tmp_path / "data", "MRN-00471", "Miller^Jane", "MRN-00471", "MRN-00471")
    (first,) = predicted(tmp_path / "out", folder)
    record = tmp_path / "out" / first.case / "done.json"
    before = record.stat().st_mtime_ns
    predicted(tmp_path / "out", folder)
    assert record.stat().st_mtime_ns == before
    (folder / "2" / "new.txt").write_text("changed")
    predicted(tmp_path / "out", folder)
    assert record.stat().st_mtime_ns != before
