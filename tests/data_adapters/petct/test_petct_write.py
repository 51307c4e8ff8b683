"""What is written of a prediction: the table of slices, the summary, and the key images."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.config import WriteConfig
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study, StudyCase, TumourLabel
from transect.data_adapters.petct.suv import suv
from transect.data_adapters.petct.write import KEY_IMAGES, SLICES, SUMMARY, write_scores
from transect.data_adapters.volume.dicom_headers import read_headers
from transect.data_adapters.volume.identity import identity_of
from transect.data_adapters.volume.volume import Grid, Volume

COLUMNS = "slice,position_mm,sop_instance_uid,probability,flag,suv_max,suv_mean,label,area_mm2"


def scored(volume: Volume, probability: Any, **study: Any) -> SliceScores:
    """A prediction of given probabilities, of which those of 0.5 or more are flagged."""
    probability = np.asarray(probability, float)
    return SliceScores(Study(volume, volume_positions(volume), **study), probability, 0.5, probability)


def volume_positions(volume: Volume) -> np.ndarray:
    places = volume.grid.world([[0, 0, k] for k in range(volume.grid.shape[2])])
    return places @ volume.grid.normal


def tumour(shape: tuple[int, int, int]) -> TumourLabel:
    mask = np.zeros(shape, np.uint8)
    mask[2:4, 1:4, 2:5] = 1
    positive = mask.any(axis=(0, 1))
    positive[6] = True  # a contour smaller than a voxel
    return TumourLabel(mask, positive, ("a note",))


def simple() -> Volume:
    """Eight slices of which three are 4 mm thick and the others 3, with values that name their voxel."""
    positions = np.array([[5.0, 6.0, z] for z in (0, 3, 6, 9, 13, 17, 21, 24)])
    affine = np.diag([2.0, 5.0, 24 / 7, 1.0])
    affine[:3, 3] = 5, 6, 0
    values = np.arange(6 * 5 * 8, dtype=np.float32).reshape(6, 5, 8) / 10
    return Volume(values, Grid((6, 5, 8), affine, positions), "a study")


@pytest.fixture
def pet(hospital: Any, read: Any, tmp_path: Path) -> Volume:
    """Twelve slices of DICOM."""
    return read(hospital("06_corrected_and_uncorrected_pet") / "2_ac")


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / SLICES).open(newline="") as file:
        return list(csv.DictReader(file))


def write(scores: SliceScores, folder: Path, case: StudyCase | None = None, **config: Any) -> dict[str, Any]:
    case = case or StudyCase("case", "group", pet="a")
    write_scores(case, scores, folder, "axial 1.2", WriteConfig(**config))
    return json.loads((folder / SUMMARY).read_text())


def test_the_table_has_all_columns_and_is_empty_where_a_value_is_unknown(tmp_path: Path) -> None:
    probability = np.linspace(0.01, 0.9, 8)
    summary = write(scored(simple(), probability), tmp_path)
    assert (tmp_path / SLICES).read_text().splitlines()[0] == COLUMNS
    rows = table(tmp_path)
    assert [row["slice"] for row in rows] == list("01234567")
    assert [float(row["position_mm"]) for row in rows] == [0, 3, 6, 9, 13, 17, 21, 24]
    assert np.allclose([float(row["probability"]) for row in rows], probability, rtol=1e-8)
    assert [row["flag"] for row in rows] == list("00001111")
    assert {row[name] for row in rows for name in ("sop_instance_uid", "label", "area_mm2")} == {""}
    values = simple().values
    for k, row in enumerate(rows):
        assert float(row["suv_max"]) == pytest.approx(values[..., k].max(), rel=1e-5)
        assert float(row["suv_mean"]) == pytest.approx(values[..., k].mean(), rel=1e-5)
    assert (summary["slices"], summary["flagged"], summary["probability"]) == (8, 4, pytest.approx(0.9))
    assert summary["suv"] == "as the file has it"
    assert summary["tumour"] is None
    assert summary["key_images"] == "none: the study was not read from DICOM"
    assert sorted(path.name for path in tmp_path.iterdir()) == [SLICES, SUMMARY]


def test_a_label_gives_area_and_volume_with_the_thickness_of_each_slice(tmp_path: Path) -> None:
    volume = simple()
    label = tumour(volume.grid.shape)
    summary = write(scored(volume, np.zeros(8), read_label=lambda: label), tmp_path)
    assert [row["label"] for row in table(tmp_path)] == list("00111010")
    assert [float(row["area_mm2"]) for row in table(tmp_path)] == [0, 0, 60, 60, 60, 0, 0, 0]
    thick = np.array([3, 3.5, 4])  # slices 2, 3 and 4
    assert summary["tumour"]["slices"] == 4
    assert summary["tumour"]["mtv_ml"] == pytest.approx(60 * thick.sum() / 1000)
    sums = volume.values[2:4, 1:4, 2:5].astype(float).sum(axis=(0, 1))
    assert summary["tumour"]["tlg_g"] == pytest.approx((sums * thick).sum() * 10 / 1000)
    assert summary["tumour"]["suv_max"] == pytest.approx(float(volume.values[2:4, 1:4, 2:5].max()))
    assert summary["warnings"] == ["a note"]


def test_an_empty_label_and_an_oblique_grid(tmp_path: Path) -> None:
    volume = simple()
    turned = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    affine = np.diag([2.0, 5.0, 3.0, 1.0])
    affine[:3, :3] = turned @ affine[:3, :3]
    volume = replace(volume, grid=Grid(volume.grid.shape, affine))
    label = tumour(volume.grid.shape)
    summary = write(scored(volume, np.zeros(8), read_label=lambda: label), tmp_path)
    assert summary["tumour"]["mtv_ml"] == pytest.approx(18 * 30 / 1000)
    none = TumourLabel(np.zeros(volume.grid.shape, np.uint8), np.zeros(8, bool))
    summary = write(scored(volume, np.zeros(8), read_label=lambda: none), tmp_path)
    assert summary["tumour"] == {"slices": 0, "mtv_ml": 0, "tlg_g": 0, "suv_max": None}
    assert {row["label"] + row["area_mm2"] for row in table(tmp_path)} == {"00"}


def test_a_label_that_cannot_be_read_does_not_fail_the_prediction(tmp_path: Path) -> None:
    def fails() -> None:
        raise BadInput("rs.dcm", "ROI", "GTV and Liver", "one")

    summary = write(scored(simple(), np.zeros(8), read_label=fails), tmp_path)
    assert summary["warnings"] == ["the label is left out: rs.dcm: ROI: found GTV and Liver, expected one"]
    assert {row["label"] for row in table(tmp_path)} == {""}


def test_key_images_are_exactly_the_flagged_images(pet: Volume, tmp_path: Path) -> None:
    probability = np.isin(range(12), (4, 5, 6, 10)) * 0.8
    headers = [read_headers(image.path, whole=True) for image in pet.slices]
    summary = write(scored(pet, probability, suv=suv(headers), tracer="FDG"), tmp_path)
    document = pydicom.dcmread(tmp_path / KEY_IMAGES)
    flagged = [pet.slices[k].uid for k in (4, 5, 6, 10)]
    assert [row["sop_instance_uid"] for row in table(tmp_path)] == [image.uid for image in pet.slices]
    assert [row["sop_instance_uid"] for row in table(tmp_path) if row["flag"] == "1"] == flagged
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == flagged
    assert (evidence.StudyInstanceUID, series.SeriesInstanceUID) == (
        headers[0].StudyInstanceUID,
        headers[0].SeriesInstanceUID,
    )
    read = highdicom.ko.KeyObjectSelectionDocument.from_dataset(document)
    images = [item for item in read.content[0].ContentSequence if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images] == flagged
    assert {item.ReferencedSOPSequence[0].ReferencedSOPClassUID for item in images} == {headers[0].SOPClassUID}
    assert read.resolve_reference(flagged[0])[2] == flagged[0]
    (title,) = document.ConceptNameCodeSequence
    assert (title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning) == ("113000", "DCM", "Of Interest")
    (template,) = document.ContentTemplateSequence
    assert template.TemplateIdentifier == "2010"
    texts = " ".join(str(item.get("TextValue", "")) for item in document.ContentSequence)
    assert "4 of 12 slices with a probability of tumour of 0.5 or more, by axial 1.2." in texts
    assert (document.Modality, document.SOPClassUID) == ("KO", "1.2.840.10008.5.1.4.1.1.88.59")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate"):
        assert document[keyword].value == headers[0][keyword].value
    assert document.SeriesInstanceUID != headers[0].SeriesInstanceUID
    assert summary["key_images"] == KEY_IMAGES
    assert summary["suv"]["rule"] == "SeriesTime"
    assert summary["suv"]["factor"] == pytest.approx(75000 / (370e6 * 0.5 ** (3600 / 6586.2)), rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "wanted", "why"), [(0, True, "no slice is flagged"), (1, False, "key_images is false")]
)
def test_no_object_without_flagged_slices_or_without_the_wish(
    pet: Volume, tmp_path: Path, flags: int, wanted: bool, why: str
) -> None:
    summary = write(scored(pet, np.full(12, flags)), tmp_path, key_images=wanted)
    assert why in summary["key_images"]
    assert not (tmp_path / KEY_IMAGES).exists()


ODD: dict[str, dict[str, Any]] = {
    "nothing": dict.fromkeys(
        ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate")
    )
    | dict.fromkeys(("StudyTime", "ReferringPhysicianName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber")),
    "empty": dict(PatientName="", PatientID="", PatientSex="", StudyDate="", StudyTime="", SeriesNumber=None),
    "values that are none": dict(PatientBirthDate="REMOVED", StudyDate="X", StudyTime="?", PatientSex="unknown"),
    "japanese": dict(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "latin": dict(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen", StudyDescription="Ganzkörper"),
    "large": dict(SeriesNumber="2147483647", PatientName="A" * 64),
}


@pytest.mark.parametrize("kind", ODD)
def test_key_images_survive_odd_headers(pet: Volume, read: Any, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for image in pet.slices:
        header = pydicom.dcmread(image.path)
        for keyword, value in ODD[kind].items():
            if value is None:
                header.pop(keyword, None)
            else:
                setattr(header, keyword, value)
        header.save_as(folder / image.path.name)
    volume = read(folder)
    (tmp_path / "out").mkdir()
    write(scored(volume, np.arange(12) == 3), tmp_path / "out")
    document = pydicom.dcmread(tmp_path / "out" / KEY_IMAGES)
    assert str(document.PatientName) == (ODD[kind].get("PatientName", "PHANTOM^ONE") or "")
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == document.StudyInstanceUID
    (image,) = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert image.ReferencedSOPInstanceUID == volume.slices[3].uid


def test_images_without_an_identifier_cannot_be_key_images(pet: Volume, tmp_path: Path) -> None:
    nameless = replace(pet, slices=tuple(replace(image, uid="") for image in pet.slices))
    with pytest.raises(BadInput, match=r"SOPInstanceUID: found none.*write.key_images false"):
        write(scored(nameless, np.ones(12)), tmp_path)
    write(scored(nameless, np.ones(12)), tmp_path, key_images=False)


def test_nothing_but_the_object_says_who_the_patient_is(pet: Volume, tmp_path: Path) -> None:
    header = pydicom.dcmread(pet.slices[0].path)
    header.PatientID, header.PatientName, header.PatientBirthDate = "MRN-00471", "Miller^Jane", "19480517"
    secret = "PET of Miller Jane, MRN-00471, 19480517"
    odd = replace(pet, facts={"SeriesDescription": secret}, warnings=(secret,))
    label = replace(tumour(pet.grid.shape), positive=np.zeros(12, bool), notes=(secret,))
    study: dict[str, Any] = dict(tracer=secret, centre=secret, left_out={secret: secret}, skipped={secret: secret})
    scores = scored(odd, np.ones(12), read_label=lambda: label, **study)
    case = StudyCase("case", "group", pet="MRN-00471", identity=identity_of(header))
    facts = write_scores(case, scores, tmp_path, "axial 1.2", WriteConfig())
    texts = str(facts) + (tmp_path / SLICES).read_text() + (tmp_path / SUMMARY).read_text()
    for value in ("MRN-00471", "miller", "jane", "19480517"):
        assert value.casefold() not in texts.casefold()
    assert "patient-" in texts


def test_facts_are_those_that_a_report_shows(tmp_path: Path) -> None:
    label = tumour(simple().grid.shape)
    scores = scored(simple(), np.full(8, 0.75), read_label=lambda: label, tracer="FDG")
    facts = write_scores(StudyCase("case", "group", pet="a"), scores, tmp_path, "axial 1.2", WriteConfig())
    assert facts == {
        "slices": 8,
        "flagged": 8,
        "probability": 0.75,
        "mtv_ml": 0.63,
        "tlg_g": pytest.approx(facts["tlg_g"]),
        "tracer": "FDG",
        "warnings": "a note",
    }
