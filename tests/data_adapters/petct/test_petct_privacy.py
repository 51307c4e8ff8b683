"""Nothing that is written of a PET/CT study says who the patient is, except the DICOM objects."""

import gzip
import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from torch import nn

from tests.data_adapters.petct.reading import by_height, edit
from transect.apps.petct.app import PetCT
from transect.apps.petct.config import Config
from transect.data_adapters.petct.scores import SliceScores
from transect.pipelines import check as checking
from transect.pipelines.model_folder import Model
from transect.pipelines.predict import predict_cases

PATIENTS = {
    "usual": ("MRN-00471", "Miller^Jane"),
    "unicode": ("Größe-№7", "Müller^Jürgen"),
    "no number": ("", "Miller^Jane"),
}
BIRTH = "19480517"


class Guess(PetCT):
    """Flags the slices above the middle, without a network."""

    def predict(self, model, sample):
        logit = np.linspace(-3, 3, len(sample.positions))
        return SliceScores(sample, 1 / (1 + np.exp(-logit)), 0.5, logit)

    def model(self):
        return nn.Linear(1, 1)


Guess.__module__ = "transect.apps.petct.guess"


def rename(folder: Path, patient: str, name: str, called: str) -> Path:
    """Gives the study to a patient whose values stand in names of series and files."""
    for kind in ("pet", "ct"):
        edit(folder / kind, lambda image: whose(image, patient, name))
        for index, path in enumerate(sorted((folder / kind).iterdir())):
            path.rename(path.with_name(f"{called}.{index}.dcm"))
    edit(folder / "ct", lambda image: setattr(image, "FrameOfReferenceUID", "1.2.3"))
    (folder / "pet" / f"{called}.txt").write_text("x")
    return folder.rename(folder.with_name(called))


def whose(image: pydicom.Dataset, patient: str, name: str) -> None:
    image.SpecificCharacterSet = "ISO_IR 192"
    image.PatientID, image.PatientName, image.PatientBirthDate = patient, name, BIRTH
    image.OtherPatientIDs = ["OLD-5512", "ext.881"]
    image.SeriesDescription = f"{image.Modality} of {patient} {name}"
    image.InstitutionName = f"Hospital of {name}"
    if image.Modality == "PT":
        image.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical = f"FDG {patient}"


def written(*roots: Path) -> dict[str, str]:
    """The names and the content of all files but DICOM objects."""
    texts = {}
    for path in (path for root in roots for path in root.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.suffix != ".dcm" else b""
        content = gzip.decompress(content) if path.name.endswith(".gz") else content
        text = content.decode("utf-8", "replace")
        texts[str(path.relative_to(path.parents[1]))] = re.sub(r"[A-Za-z0-9+/=]{200,}", "picture", text)
    return texts


@pytest.mark.parametrize(("kind", "as_path"), [*((kind, True) for kind in PATIENTS), ("usual", False)])
def test_nothing_written_names_the_patient(short_study, tmp_path, monkeypatch, caplog, capsys, kind, as_path) -> None:
    patient, name = PATIENTS[kind]
    called = (patient or name.replace("^", "_")) if as_path else "exam"
    folder = rename(short_study, patient, name, called)
    app = Guess(Config())
    monkeypatch.setattr(checking, "_app", lambda *_: app)
    cases, summary = checking.check("petct", [str(folder)], tmp_path / "checked")
    model = Model("guess", Path(), "0" * 64, app, app.model())
    outcomes = predict_cases(model, [str(folder)], tmp_path / "predicted")
    (case,), (outcome,) = cases, outcomes
    assert (case.problem, outcome.status) == ("", "done")
    key_object = pydicom.dcmread(tmp_path / "predicted" / outcome.case / "key_images.dcm")
    assert (key_object.PatientID, key_object.PatientName) == (patient, name)
    console = f"{capsys.readouterr()} {caplog.text} {summary}"
    texts = {"console": console, **written(tmp_path / "checked", tmp_path / "predicted")}
    values = [patient, name, name.replace("^", " "), name.replace("^", "_"), BIRTH, "OLD-5512", "ext.881"]
    for value in filter(None, values):
        for place, content in texts.items():
            assert value.casefold() not in f"{place}\n{content}".casefold(), (value, place)


def test_refusals_do_not_name_the_patient(short_study, monkeypatch, tmp_path) -> None:
    folder = rename(short_study, "MRN-00471", "Miller^Jane", "MRN-00471")
    for path in folder.rglob("*.txt"):
        path.unlink()
    by_height(folder / "pet")[5].unlink()
    monkeypatch.setattr(checking, "_app", lambda *_: Guess(Config()))
    ((case,), _) = checking.check("petct", [str(folder)], tmp_path / "checked")
    assert "no slice at" in case.problem
    for text in (case.problem, str(written(tmp_path / "checked"))):
        assert "MRN" not in text
        assert "Miller" not in text
