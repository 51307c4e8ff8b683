"""What the names of NIfTI files and folders say: PET, CT or label, and whose."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.volume.layouts import nifti_stem

BASE = r"(?:(?P<base>.+?)[_-]+)?"
PET = re.compile(BASE + r"(?P<word>suvbw|suv|pet|pt)", re.I)
CT = re.compile(BASE + r"(?P<word>ctres|ct)", re.I)
LABEL = re.compile(BASE + r"(?:seg|d?seg|segmentation|mask|labels?|gtv[a-z]?|tumou?r|ttb|lesions?)", re.I)
CHANNEL = re.compile(r"(?P<base>.+)_(?P<number>\d{4})")

RANKS = {"suvbw": 0, "suv": 0, "pet": 1, "pt": 1, "ctres": 0, "ct": 1}
"""What is taken first of several: SUV before PET, the CT on the grid of the PET before the CT."""

CHANNELS = {0: "ct", 1: "pet"}
"""The channels of PET/CT data in nnU-Net's form."""

TRACERS = ("FDG", "PSMA", "DOTATATE", "DOTATOC", "FAPI", "FET")

DATE = r"(?:(?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d|(?:19|20)\d\d-\d\d-\d\d|\d\d-\d\d-(?:19|20)\d\d)"
VISIT = r"(?:ses-?\w+|baseline|interim|follow-?up\d*|(?:scan|visit|study|tp)[_-]?\d+)"
OF_A_STUDY = re.compile(rf"(?P<patient>.+?)[_-](?:{DATE}(?![0-9]).*|{VISIT})", re.I)
STUDY = re.compile(rf"{DATE}(?![0-9]).*|{VISIT}", re.I)
TRACER_FIRST = re.compile(rf"(?P<tracer>{'|'.join(TRACERS)})_(?P<patient>[^_]+)_.+", re.I)
"""autoPET III: `fdg_0011f3deaf_03-23-2003-NA-PET-CT`."""

CENTRE = re.compile(r"(CHUM|CHUP|CHUS|CHUV|CHB|HGJ|HMR|MDA|USZ)[-_]?\d+", re.I)
"""The hospital in the names of HECKTOR."""


class Named(NamedTuple):
    """A file by its name.

    Args:
        base: What files of one study share; "" where the name only says the kind.
        kind: "pet", "ct", "label" or "".
        rank: The file with the smallest is taken.
        path: The file.
    """

    base: str
    kind: str
    rank: int
    path: Path


class Origin(NamedTuple):
    """Whose a study is; the tracer and the centre are "" where a name does not say them."""

    name: str
    patient: str
    tracer: str
    centre: str


def named(path: Path, channels: dict[int, str] | None = None) -> Named:
    """The meaning of a file's name; `channels` are those that the name may end in."""
    stem = nifti_stem(path)
    for kind, pattern in (("pet", PET), ("ct", CT)):
        if match := pattern.fullmatch(stem):
            return Named(match["base"] or "", kind, RANKS[match["word"].casefold()], path)
    if match := LABEL.fullmatch(stem):  # rank: masks of the PET, then unspecified ones, then masks of the CT
        of = named(path.with_name(match["base"] or "x"))
        rank = {"pet": 0, "ct": 2}.get(of.kind, 1)
        return Named(of.base if of.kind else match["base"] or "", "label", rank, path)
    if channels and (match := CHANNEL.fullmatch(stem)) and int(match["number"]) in channels:
        return Named(match["base"], channels[int(match["number"])], 2, path)
    return Named(stem, "", 0, path)


def channels_of(description: Path) -> dict[int, str]:
    """The channels in a dataset.json (nnU-Net, Decathlon); `CHANNELS` where there is no such file.

    Both may be called CT, since nnU-Net takes the normalization from the name.

    Raises:
        BadInput: the file cannot be read.
    """
    if not description.is_file():
        return CHANNELS
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        names = dict(content.get("channel_names") or content.get("modality") or {})
        kinds = {int(number): _kind(str(name)) for number, name in names.items()}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        expected = 'names of channels, such as {"0": "CT", "1": "PET"}'
        raise BadInput(description, "channel_names", reason(error), expected) from error
    if not kinds or set(kinds.values()) == {"ct"}:
        return CHANNELS
    return {number: kind for number, kind in kinds.items() if kind}


def _kind(name: str) -> str:
    if re.search(r"pet|suv|\bpt\b|fdg|psma", name, re.I):
        return "pet"
    return "ct" if re.search(r"\bct", name, re.I) else ""


def origin_of(name: str) -> Origin:
    """Whose the study of this name is, such as `CHUM-001`, `fdg_0011_2003-03-23` or `P7_20200302`."""
    if match := TRACER_FIRST.fullmatch(name):
        return Origin(name, match["patient"], match["tracer"].upper(), "")
    if name.startswith("PETCT_"):  # FDG-PET-CT-Lesions
        return Origin(name, name, "FDG", "")
    match = OF_A_STUDY.fullmatch(name)
    centre = CENTRE.match(name)
    return Origin(name, match["patient"] if match else name, "", centre[1].upper() if centre else "")


def origin_of_folder(folder: Path) -> Origin:
    """Whose the study in a folder is: `PETCT_0011/2003-03-23` is of PETCT_0011, `train_0001/PSMA` of train_0001."""
    names, tracer = [folder.resolve().name], ""
    for parent in folder.resolve().parents:
        is_tracer = names[0].upper() in TRACERS
        tracer = names[0].upper() if is_tracer else tracer
        if not (is_tracer or STUDY.fullmatch(names[0]) or parent.name.startswith("PETCT_")):
            break
        names.insert(0, parent.name)
    origin = origin_of(names[0])
    return Origin("-".join(names), origin.patient, tracer or origin.tracer, origin.centre)
