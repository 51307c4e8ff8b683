"""PET/CT studies in every layout: what belongs together, and whose it is."""

import json
import shutil
from pathlib import Path

import pytest

from tests.data_adapters.petct.reading import edit, read_one, with_elements
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.file_names import origin_of
from transect.data_adapters.petct.layouts import find_cases
from transect.data_adapters.petct.study import StudyCase


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def listed(*inputs: Path, **read: str) -> list[StudyCase]:
    return find_cases(*map(str, inputs), config=ReadConfig(**read))


def files(case: StudyCase, root: Path) -> tuple[str, ...]:
    return tuple(Path(file).relative_to(root).as_posix() if file else "" for file in (case.pet, case.ct, case.label))


def test_fdg_pet_ct_lesions_groups_the_studies_of_a_patient(tmp_path) -> None:
    for folder in (
        "PETCT_01/03-23-2003-NA-PET-CT Ganzkoerper-94040",
        "PETCT_01/06-01-2004-NA-x",
        "PETCT_20030323/NA-1",
    ):
        touch(
            tmp_path, *(f"FDG-PET-CT-Lesions/{folder}/{name}.nii.gz" for name in ("SUV", "CTres", "CT", "SEG", "PET"))
        )
    cases = listed(tmp_path)
    assert [case.group for case in cases] == ["PETCT_01", "PETCT_01", "PETCT_20030323"]
    assert all(case.tracer == "FDG" for case in cases)
    assert [Path(file).name for file in cases[0].files] == ["SUV.nii.gz", "CTres.nii.gz", "SEG.nii.gz"]
    assert cases[0].id.startswith("PETCT_01-03-23-2003")
    (again,) = listed(tmp_path / "FDG-PET-CT-Lesions" / "PETCT_20030323" / "NA-1")
    assert again.group == "PETCT_20030323"


def test_hectors_names_have_two_underscores_and_the_hospital(tmp_path) -> None:
    touch(tmp_path, "imagesTr/CHUM-001__CT.nii.gz", "imagesTr/CHUM-001__PT.nii.gz", "labelsTr/CHUM_001.nii.gz")
    touch(tmp_path, "imagesTr/MDA-002__CT.nii.gz", "imagesTr/MDA-002__PT.nii.gz", "labelsTr/MDA-002.nii.gz")
    touch(tmp_path, "imagesTs/USZ-003__CT.nii.gz", "imagesTs/USZ-003__PT.nii.gz")
    cases = listed(tmp_path)
    assert [(case.id, case.group, case.centre, case.split) for case in cases] == [
        ("CHUM-001", "CHUM-001", "CHUM", ""),
        ("MDA-002", "MDA-002", "MDA", ""),
        ("USZ-003", "USZ-003", "USZ", "test"),
    ]
    assert files(cases[0], tmp_path) == (
        "imagesTr/CHUM-001__PT.nii.gz",
        "imagesTr/CHUM-001__CT.nii.gz",
        "labelsTr/CHUM_001.nii.gz",
    )
    assert files(cases[2], tmp_path)[2] == ""


def test_later_hecktor_has_a_folder_a_patient_and_the_label_called_as_it(tmp_path) -> None:
    touch(tmp_path, *(f"CHUM-001/CHUM-001{end}.nii.gz" for end in ("__CT", "__PT", "")), "HECKTOR_2025.xlsx")
    (case,) = listed(tmp_path)
    assert (case.id, case.centre) == ("CHUM-001", "CHUM")
    assert files(case, tmp_path / "CHUM-001") == (
        "CHUM-001__PT.nii.gz",
        "CHUM-001__CT.nii.gz",
        "CHUM-001.nii.gz",
    )


def test_deep_psma_has_two_tracers_of_a_patient(tmp_path) -> None:
    for tracer in ("PSMA", "FDG"):
        touch(tmp_path, *(f"train_0001/{tracer}/{name}.nii.gz" for name in ("CT", "PET", "TTB")))
        touch(tmp_path, f"train_0001/{tracer}/threshold.json")
    cases = listed(tmp_path)
    assert [(case.id, case.group, case.tracer) for case in cases] == [
        ("train_0001-FDG", "train_0001", "FDG"),
        ("train_0001-PSMA", "train_0001", "PSMA"),
    ]
    assert files(cases[1], tmp_path / "train_0001" / "PSMA") == ("PET.nii.gz", "CT.nii.gz", "TTB.nii.gz")


@pytest.mark.parametrize("names", [None, {"0": "CT", "1": "PET"}, {"0": "CT", "1": "CT"}, {"0": "SUV", "1": "CT"}])
def test_nnu_net_channels_are_ct_and_pet_or_what_dataset_json_says(tmp_path, names) -> None:
    for name in ("fdg_0011f3deaf_03-23-2003-NA", "fdg_0011f3deaf_2004-01-02", "psma_95b833d65be26d9f_2018-04-16"):
        touch(tmp_path, f"imagesTr/{name}_0000.nii.gz", f"imagesTr/{name}_0001.nii.gz", f"labelsTr/{name}.nii.gz")
    if names:
        (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}))
    cases = listed(tmp_path)
    assert [(case.group, case.tracer) for case in cases] == [
        ("0011f3deaf", "FDG"),
        ("0011f3deaf", "FDG"),
        ("95b833d65be26d9f", "PSMA"),
    ]
    pet, ct = ("_0000", "_0001") if names and names["1"] == "CT" and names["0"] == "SUV" else ("_0001", "_0000")
    for case in cases:
        assert case.pet.endswith(f"{pet}.nii.gz")
        assert case.ct.endswith(f"{ct}.nii.gz")
        assert Path(case.label).name == f"{case.id}.nii.gz"


def test_a_damaged_dataset_json_is_named(tmp_path) -> None:
    touch(tmp_path, "imagesTr/a_0001.nii.gz")
    for text in ("{", '{"channel_names": 3}', '{"channel_names": {"x": "PET"}}', "[" * 100_000):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(BadInput, match=r"dataset\.json: channel_names"):
            listed(tmp_path)


def test_scans_of_a_patient_by_date_are_one_group(tmp_path) -> None:
    """The trap of contiguous folds over `{PatientID}_{StudyDate}`."""
    for name in ("P7_20200302", "P7_20210405", "P8_20200302"):
        touch(tmp_path, f"images/{name}_0000.nii.gz", f"images/{name}_0001.nii.gz", f"labels/{name}.nii.gz")
    cases = listed(tmp_path)
    assert [case.group for case in cases] == ["P7", "P7", "P8"]
    assert all(case.ct and case.label for case in cases)


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("P7", "P7"),
        ("sub-01_ses-2", "sub-01"),
        ("A_1_baseline", "A_1"),
        ("A-scan2", "A"),
        ("case_12345678", "case_12345678"),  # no date
        ("PETCT_20030323", "PETCT_20030323"),
        ("x_2020-03-02_WB", "x"),
    ],
)
def test_patients_in_names(name, patient) -> None:
    assert origin_of(name).patient == patient


def test_a_folder_of_files_named_by_kind(tmp_path) -> None:
    touch(tmp_path, "train/x_PET.nii.gz", "train/x_CT.nii.gz", "train/x_SEG.nii.gz", "train/notes.nii.gz")
    touch(tmp_path, "val/y-suv.nii", "val/y-PET.nii", "val/y-pet-mask.nii", "val/y-ct-mask.nii")
    touch(tmp_path, "test/p1/PET.nii.gz", "test/p1/CT.nii.gz", "test/p1/tumour.nii.gz", "test/p1/MR_T1_mask.nii.gz")
    cases = listed(tmp_path)
    assert [(case.split, case.id, *files(case, tmp_path)) for case in cases] == [
        ("test", "p1", "test/p1/PET.nii.gz", "test/p1/CT.nii.gz", "test/p1/tumour.nii.gz"),
        ("train", "x", "train/x_PET.nii.gz", "train/x_CT.nii.gz", "train/x_SEG.nii.gz"),
        ("val", "y", "val/y-suv.nii", "", "val/y-pet-mask.nii"),
    ]


def test_numbered_files_are_no_channels(tmp_path) -> None:
    touch(tmp_path, *(f"scan_{k:04d}.nii.gz" for k in range(4)))
    with pytest.raises(BadInput, match="expected DICOM studies with PET; NIfTI files of SUV"):
        listed(tmp_path)


def test_a_labelled_ct_without_its_pet_fails_by_name(tmp_path) -> None:
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz")
    cases = listed(tmp_path)
    assert [case.id for case in cases] == ["a", "b"]
    with pytest.raises(BadInput, match=r"a_PET\.nii\.gz: file: found No such file"):
        read_one(Path(cases[0].pet), Path(cases[0].ct), Path(cases[0].label))


def test_real_files_of_two_patients(shared_file) -> None:
    folder = shared_file("data/medical/sts_petctmr_nifti")
    cases = listed(folder)
    assert [files(case, folder) for case in cases] == [
        (f"{name}/PET.nii.gz", f"{name}/CT.nii.gz", f"{name}/PET_mask.nii.gz") for name in ("STS_001", "STS_002")
    ]
    for case, slices, positive in zip(cases, (59, 48), (31, 16), strict=True):
        study = read_one(Path(case.pet), Path(case.ct), Path(case.label))
        assert (study.pet.grid.shape[2], int(study.label.positive.sum())) == (slices, positive)
        assert study.ct.shape == study.pet.values.shape
        assert -1024 <= study.ct.min() < study.ct.max() < 3000


def test_files_on_the_command_line(tmp_path) -> None:
    touch(tmp_path, "x_PET.nii.gz", "x_CT.nii.gz", "x_SEG.nii.gz", "other.nii.gz")
    pet, ct, seg, other = (tmp_path / name for name in ("x_PET.nii.gz", "x_CT.nii.gz", "x_SEG.nii.gz", "other.nii.gz"))
    for inputs, expected in (
        ((pet,), (pet,)),
        ((pet, ct), (pet, ct)),
        ((pet, seg), (pet, seg)),
        ((pet, ct, seg), (pet, ct, seg)),
        ((other, ct), (other, ct)),
    ):
        (case,) = listed(*inputs)
        assert case.files == tuple(map(str, expected))
    (case,) = find_cases(str(pet), "", str(seg), config=ReadConfig())
    assert (case.ct, case.label) == ("", str(seg))
    with pytest.raises(BadInput, match="inputs: number: found 4"):
        listed(pet, ct, seg, other)


def test_a_table_names_files_patients_centres_and_tracers(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii.gz", "ct/b.nii.gz", "seg/b.nii.gz")
    table = tmp_path / "studies.csv"
    table.write_text(
        "pet,ct,label,patient,centre,tracer,split\n"
        "a.nii.gz,,,Ann,North,FDG,train\nb.nii.gz,ct/b.nii.gz,seg/b.nii.gz,ann,South,PSMA,train\n"
    )
    first, second = listed(table, ids="path")
    assert (first.group, first.centre, first.tracer, first.split) == ("Ann", "North", "FDG", "train")
    assert files(second, tmp_path) == ("b.nii.gz", "ct/b.nii.gz", "seg/b.nii.gz")
    first, second = listed(table)
    assert first.group == second.group
    assert first.group.startswith("patient-")
    table.write_text("pet\na.nii.gz\n")
    assert [case.id for case in listed(table)] == ["a"]
    table.write_text("pet,mask\na.nii.gz,b.nii.gz\n")
    with pytest.raises(BadInput, match="columns: found pet, mask"):
        listed(table)
    table.write_text("pet,ct\n,b.nii.gz\n")
    with pytest.raises(BadInput, match="line 2, pet: found nothing"):
        listed(table)


def test_a_table_of_dicom_studies(short_study, tmp_path) -> None:
    (tmp_path / "t.csv").write_text("pet,patient\nstudy,Ann\n")
    (case,) = listed(tmp_path / "t.csv")
    assert case.study
    assert case.person is None
    assert read_one(tmp_path / "t.csv").suv is not None


def test_dicom_studies_are_found_in_any_tree_with_their_centre_and_tracer(short_study, tmp_path) -> None:
    other = shutil.copytree(short_study, tmp_path / "deep" / "B" / "exam")
    for folder in (other / "pet", other / "ct"):
        edit(folder, with_elements(PatientID="B", PatientName="B", StudyInstanceUID="1.2.3.4", InstitutionName=None))
    shutil.copytree(short_study / "ct", tmp_path / "ct_alone")
    edit(tmp_path / "ct_alone", with_elements(StudyInstanceUID="1.2.3.5"))
    cases = sorted(listed(tmp_path), key=lambda case: case.pet)
    assert [case.pet for case in cases] == [str(other), str(short_study)]
    assert [case.centre for case in cases] == ["Transect", "Hospital 1"]
    assert all(case.tracer == "FDG" for case in cases)
    assert len({case.group for case in cases}) == 2
    assert "PHANTOM" not in str(cases)


def test_a_folder_without_pet_says_what_there_is(short_study) -> None:
    shutil.rmtree(short_study / "pet")
    with pytest.raises(BadInput, match="found 12 images of Modality CT, expected DICOM studies with PET"):
        listed(short_study)
