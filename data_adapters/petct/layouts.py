"""Find the PET/CT studies of a data set, as downloaded, as a hospital exports them, or listed in a table."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.listing import contents, identifiers, split_of, table_rows, walk, with_folders
from transect.data_adapters.petct.config import ReadConfig
from transect.data_adapters.petct.dicom_cases import dicom_cases
from transect.data_adapters.petct.file_names import (
    Named,
    Origin,
    channels_of,
    named,
    origin_of,
    origin_of_folder,
)
from transect.data_adapters.petct.patients import of_patient, with_patients
from transect.data_adapters.petct.study import StudyCase
from transect.data_adapters.volume.layouts import is_nifti, nifti_stem
from transect.data_adapters.volume.studies import nothing_in

EXPECTED = (
    "DICOM studies with PET; NIfTI files of SUV (PETCT_x/STUDY/SUV.nii.gz, imagesTr/ with NAME_0001 or NAME__PT, "
    "NAME_PET next to NAME_CT and NAME_SEG); or a CSV with the column pet"
)

COLUMNS = ("ct", "label", "patient", "centre", "tracer", "split", "id")
"""Optional columns of a table."""

LABELS_OF = {
    "imagestr": ("labelstr",),
    "imagests": ("labelsts",),
    "images": ("labels", "masks", "segmentations"),
}
"""Folders of images, and those next to them that hold their labels; in lower case."""


def find_cases(*inputs: str, config: ReadConfig) -> list[StudyCase]:
    """List the studies of a data set.

    Args:
        inputs: A folder in any known layout; a CSV; or a PET, its CT and its label, of which the last two may be left
            out or "". The CT of a DICOM study is in the study, so that its label may come second.
        config: Settings.

    Returns:
        The cases sorted by split and name, with the patients of `config.patients`.

    Raises:
        BadInput: there is nothing, or the inputs are not what they should be.
    """
    if not 1 <= len(inputs) <= 3:
        raise BadInput("inputs", "number", len(inputs), "a folder, a table, or a PET, its CT and its label")
    root = Path(inputs[0])
    if root.suffix.lower() == ".csv" and not root.is_dir():
        cases = _in_table(root, config)
    elif any(inputs[1:]) or (is_nifti(root) and not root.is_dir()):
        cases = [_of_files(*inputs, config=config)]
    else:
        cases = _in_folder(root, config)
    if not cases:
        raise nothing_in(root, config.ids, EXPECTED)
    return with_patients(cases, config)


def _of_files(pet: str, *others: str, config: ReadConfig) -> StudyCase:
    """The case of a PET with its CT and label."""
    ct, label = (*others, "", "")[:2]
    if is_nifti(Path(pet)) and not Path(pet).is_dir():
        if ct and not label and named(Path(ct)).kind == "label":
            ct, label = "", ct
        file = named(Path(pet))
        return _case(origin_of(file.base) if file.base else origin_of_folder(file.path.parent), pet, ct, label)
    cases = dicom_cases(Path(pet), config)
    if len(cases) != 1:
        raise BadInput(pet, "studies with PET", len(cases), "one study, which the label belongs to")
    return replace(cases[0], label=label or ct or cases[0].label)


def _case(origin: Origin, pet: str | Path, ct: str | Path = "", label: str | Path = "", split: str = "") -> StudyCase:
    return StudyCase(
        id=origin.name,
        group=origin.patient,
        split=split,
        pet=str(pet),
        ct=str(ct),
        label=str(label),
        tracer=origin.tracer,
        centre=origin.centre,
    )


def _in_table(path: Path, config: ReadConfig) -> list[StudyCase]:
    """The studies of a CSV; paths are relative to it."""
    cases = []
    for line, cells in table_rows(path, ("pet",), COLUMNS, "a study", "name the columns in the first line"):
        if not cells["pet"]:
            raise BadInput(path, f"{line}, pet", "nothing", "a NIfTI file or the folder of a DICOM study")
        files = [str(path.parent / cells[name]) if cells.get(name) else "" for name in ("pet", "ct", "label")]
        case = _of_files(*files, config=config)
        patient = cells.get("patient", "")
        case = replace(
            case,
            id=cells.get("id") or case.id,
            split=cells.get("split", ""),
            centre=cells.get("centre") or case.centre,
            tracer=cells.get("tracer") or case.tracer,
        )
        cases.append(of_patient(case, patient, config) if patient else case)
    return _named(cases, path.parent)


def _in_folder(root: Path, config: ReadConfig) -> list[StudyCase]:
    cases: list[StudyCase] = []
    niftis: list[Path] = []
    holders = {name for names in LABELS_OF.values() for name in names}
    for folder, _, files in [] if root.is_file() else walk(root):
        here = [path for path in files if is_nifti(path)]
        niftis += here
        if here and folder.name.casefold() not in holders:
            cases += _of_folder(root, folder, here)
    used = {file for case in cases for file in case.files}
    labels = [path for path in niftis if str(path) not in used and _may_be_of_a_pet(named(path))]
    return _named(cases, root) + dicom_cases(root, config, frozenset(niftis), labels)


def _may_be_of_a_pet(file: Named) -> bool:
    """Whether a file is a label, and not by its name one of an MR image."""
    return file.kind == "label" and not re.match(r"mr(?![a-z])", file.base, re.I)


def _named(cases: Iterable[StudyCase], root: Path) -> list[StudyCase]:
    """The cases in order, with unique identifiers."""
    ordered = sorted(cases, key=lambda case: (case.split, case.id, case.pet))
    folders = [Path(case.pet).parent for case in ordered]
    relative = [folder.relative_to(root).as_posix() if folder.is_relative_to(root) else "" for folder in folders]
    names = with_folders([case.id for case in ordered], relative)
    ids = identifiers(names, [case.pet for case in ordered])
    return [replace(case, id=new) for case, new in zip(ordered, ids, strict=True)]


def _of_folder(root: Path, folder: Path, files: list[Path]) -> list[StudyCase]:
    """The studies of one folder of NIfTI files: that which the folder is named after, or several by their names."""
    groups: dict[str, list[Named]] = defaultdict(list)
    for file in _by_name(folder, files):
        groups[file.base].append(file)
    labels = _labels_of(folder)
    split = "test" if folder.name.casefold() == "imagests" else split_of(folder, root)
    cases = []
    for base, group in groups.items():
        pet, ct = _best(group, "pet"), _best(group, "ct")
        label = _best(group, "label") or (_best(group, "") if base else None) or labels.get(_key(base))
        if pet is None and ct is not None and label is not None:
            pet = folder / (f"{base}_PET.nii.gz" if base else "SUV.nii.gz")  # not there, so that the case fails by name
        if pet is not None:
            origin = origin_of(base) if base else origin_of_folder(folder)
            cases.append(_case(origin, pet, ct or "", label or "", split))
    return cases


def _by_name(folder: Path, files: Sequence[Path]) -> list[Named]:
    """The files of a folder by their names; `NAME_0001` is a channel where `NAME` has no others than known ones."""
    channels = channels_of(folder.parent / "dataset.json")
    plain = [named(path) for path in files]
    with_channels = [named(path, channels) for path in files]
    unknown = Counter(re.sub(r"_\d{4}$", "", file.base) for file in with_channels if re.search(r"_\d{4}$", file.base))
    return [
        one if file.base in unknown and file.rank == 2 else file for one, file in zip(plain, with_channels, strict=True)
    ]


def _best(files: Iterable[Named], kind: str) -> Path | None:
    """The file of a kind; one of no kind is called as the study alone, as labels are (HECKTOR 2025)."""
    ranked = sorted((file.rank, file.path) for file in files if file.kind == kind)
    return ranked[0][1] if ranked else None


def _labels_of(folder: Path) -> dict[str, Path]:
    """The labels in the folder next to one of images, by name; hyphens may be underscores (HECKTOR 2022)."""
    wanted = LABELS_OF.get(folder.name.casefold(), ())
    sides = contents(folder.parent)[0] if wanted else []
    files = [path for side in sides if side.name.casefold() in wanted for path in contents(side)[1] if is_nifti(path)]
    return {_key(named(path).base if named(path).kind == "label" else nifti_stem(path)): path for path in files}


def _key(name: str) -> str:
    return re.sub("[-_]+", "-", name).casefold()
