"""Find the volumes of a data set, as downloaded or as a hospital exports them, and their labels."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.listing import contents, identifiers, split_of, walk, with_folders
from transect.data_adapters.volume.cases import VolumeCase
from transect.data_adapters.volume.config import VolumeConfig
from transect.data_adapters.volume.studies import nothing_in, studies

NIFTI = (".nii.gz", ".nii")

PAIRS = re.compile(r"(?:(?P<split>[a-z]+)[_-])?(?P<side>images?|imgs?|masks?|labels?|segmentations?)")
"""Folder names of images and labels: `train_images` and `train_masks` (CirrMRI600+), `images` and `labels`."""

LABEL = re.compile(r"[_-](seg|mask|label|labels|dseg|segmentation)$", re.I)
"""The end of the name of a label that lies next to its image."""

NO_IMAGE = re.compile(r"[_-](bval|bvec|probseg|T1map|fieldmap|phasediff)$", re.I)

EXPECTED = (
    "NIfTI files (alone, nnU-Net raw, BIDS, train_images/ and train_masks/ as CirrMRI600+, images/ and labels/), or "
    "the DICOM files of a study"
)


def find_volumes(*inputs: str, config: VolumeConfig) -> list[VolumeCase]:
    """List the volumes of a data set.

    Args:
        inputs: A folder in any known layout, a NIfTI or DICOM file, or an image and its label.
        config: Settings.

    Returns:
        The cases sorted by split and name.

    Raises:
        BadInput: there is nothing, or the inputs are not what they should be.
    """
    if len(inputs) == 2 and not is_nifti(Path(inputs[0])):
        cases = _studies(Path(inputs[0]), config)
        if len(cases) != 1:
            raise BadInput(inputs[0], "studies", len(cases), "one study, which the label belongs to")
        return [replace(cases[0], label=inputs[1])]
    if len(inputs) == 2:
        return _named(
            [VolumeCase(nifti_stem(Path(inputs[0])), "", image=inputs[0], label=inputs[1])], Path(inputs[0]).parent
        )
    if len(inputs) != 1:
        raise BadInput("inputs", "number", len(inputs), "a folder, a volume, or a volume and its label")
    root = Path(inputs[0])
    if is_nifti(root) and not root.is_dir():
        return _named([VolumeCase(nifti_stem(root), "", image=str(root))], root.parent)
    cases = [] if root.is_file() else _in_folder(root, config)
    found = _named(cases, root) + _studies(root, config, skip=frozenset(Path(file) for c in cases for file in c.files))
    if not found:
        raise nothing_in(root, config.ids, EXPECTED)
    return found


def _studies(root: Path, config: VolumeConfig, skip: frozenset[Path] = frozenset()) -> list[VolumeCase]:
    return [
        VolumeCase(
            found.id, found.patient, split=found.split, image=str(found.place), study=found.uid, identity=found.identity
        )
        for found in studies(root, config.ids, skip)
    ]


def is_nifti(path: Path) -> bool:
    """Whether a file is called like NIfTI."""
    return path.name.lower().endswith(NIFTI)


def nifti_stem(path: Path) -> str:
    """The name of a NIfTI file without its suffix."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.I)


def _in_folder(root: Path, config: VolumeConfig) -> list[VolumeCase]:
    cases: list[VolumeCase] = []
    for folder, below, files in walk(root):
        by_name = {path.name: path for path in below}
        if "imagesTr" in by_name or "imagesTs" in by_name:
            cases += _nnunet(folder, by_name, config)
            below.clear()
        elif sides := _sides(by_name):
            for split, images, labels in sides:
                cases += _paired(images, labels, split or split_of(folder, root))
                below[:] = [path for path in below if path not in (images, labels)]
        elif "derivatives" in by_name or any(name.startswith("sub-") for name in by_name):
            cases += _bids(folder)
            below[:] = [path for path in below if path.name != "derivatives" and not path.name.startswith("sub-")]
        else:
            cases += _flat(folder, files, split_of(folder, root))
    return cases


def _niftis(folder: Path) -> dict[str, Path]:
    return {nifti_stem(path): path for path in contents(folder)[1] if is_nifti(path)}


def _flat(folder: Path, files: list[Path], split: str) -> list[VolumeCase]:
    """A folder of images, each perhaps with `NAME_seg.nii.gz` next to it."""
    by_stem = {nifti_stem(path): path for path in files if is_nifti(path)}
    labels = {LABEL.sub("", stem): path for stem, path in by_stem.items() if LABEL.search(stem)}
    images = {stem: path for stem, path in by_stem.items() if not LABEL.search(stem) and not NO_IMAGE.search(stem)}
    return [
        VolumeCase(stem, "", split=split, image=str(path), label=str(labels.get(stem, "")))
        for stem, path in images.items()
    ]


def _sides(by_name: dict[str, Path]) -> list[tuple[str, Path, Path | None]]:
    """Pairs of folders of images and labels, with the split in their names."""
    found: dict[str, dict[str, Path]] = {}
    for name, path in by_name.items():
        if match := PAIRS.fullmatch(name.casefold()):
            kind = "images" if match["side"].startswith("im") else "labels"
            found.setdefault(match["split"] or "", {}).setdefault(kind, path)
    return [
        (split_of(Path(split), Path()) if split else "", sides["images"], sides.get("labels"))
        for split, sides in found.items()
        if "images" in sides and (not split or split_of(Path(split), Path()))
    ]


def _paired(images: Path, labels: Path | None, split: str) -> list[VolumeCase]:
    masks = {LABEL.sub("", stem): path for stem, path in (_niftis(labels) if labels else {}).items()}
    found = _niftis(images)
    return [
        VolumeCase(stem, _patient(stem), split=split, image=str(path), label=str(masks.get(stem, "")))
        for stem, path in (found | _missing(masks, found, images, "")).items()
    ]


def _nnunet(folder: Path, by_name: dict[str, Path], config: VolumeConfig) -> list[VolumeCase]:
    """nnU-Net raw, and the Medical Segmentation Decathlon, whose images have no number of the channel."""
    names = _label_names(folder / "dataset.json")
    cases = []
    for split, images, labels in (("", "imagesTr", "labelsTr"), ("test", "imagesTs", "labelsTs")):
        if images not in by_name:
            continue
        masks = _niftis(by_name[labels]) if labels in by_name else {}
        found = _niftis(by_name[images])
        channel = f"_{config.channel:04d}" if any(re.search(r"_\d{4}$", stem) for stem in found) else ""
        for stem, path in (found | _missing(masks, found, by_name[images], channel)).items():
            match = re.fullmatch(r"(.+)_(\d{4})", stem)
            name = match[1] if match and stem not in masks else stem
            if name == stem or (match and int(match[2]) == config.channel):
                label = str(masks.get(name, ""))
                patient = _patient(name)
                cases.append(VolumeCase(name, patient, split=split, image=str(path), label=label, names=names))
    return cases


def _missing(labels: Collection[str], images: Collection[str], folder: Path, channel: str) -> dict[str, Path]:
    """The images that labels belong to and that are not there, so that these cases fail by name when they are read."""
    stems = [f"{stem}{channel}" for stem in labels if stem not in images]
    return {stem: folder / f"{stem}.nii.gz" for stem in stems if stem not in images}


def _label_names(path: Path) -> tuple[tuple[int, str], ...]:
    """Labels by number in a dataset.json; nnU-Net maps names to numbers, the Decathlon numbers to names."""
    if not path.is_file():
        return ()
    try:
        labels = json.loads(path.read_text(encoding="utf-8")).get("labels", {})
        pairs = [(key, value) if str(key).isdigit() else (value, key) for key, value in dict(labels).items()]
        return tuple((int(number), str(name)) for number, name in pairs if not isinstance(number, list))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BadInput(
            path, "labels", reason(error), 'names and numbers, such as {"background": 0, "liver": 1}'
        ) from error


def _bids(folder: Path) -> list[VolumeCase]:
    """BIDS: `sub-01/anat/sub-01_T2w.nii.gz`, and masks in derivatives with the same entities first."""
    folders, _ = contents(folder)
    images = [path for sub in folders if sub.name.startswith("sub-") for path in _below(sub) if _is_bids_image(path)]
    masks = [
        path
        for derivatives in folders
        if derivatives.name == "derivatives"
        for path in _below(derivatives)
        if re.search(r"_(mask|dseg)$", nifti_stem(path))
    ]
    cases = []
    for path in images:
        entities = nifti_stem(path).rpartition("_")[0]
        own = [mask for mask in masks if re.match(rf"{re.escape(entities)}(_|$)", nifti_stem(mask))]
        own = [mask for mask in own if "liver" in mask.name.lower()] or own
        label = str(own[0]) if len(own) == 1 else ""
        cases.append(VolumeCase(nifti_stem(path), path.name.partition("_")[0], image=str(path), label=label))
    return cases


def _is_bids_image(path: Path) -> bool:
    return (
        path.parent.name in ("anat", "pet", "ct")
        and not LABEL.search(nifti_stem(path))
        and not NO_IMAGE.search(nifti_stem(path))
    )


def _below(folder: Path) -> Iterator[Path]:
    for _, _, files in walk(folder):
        yield from (path for path in files if is_nifti(path))


def _named(cases: list[VolumeCase], root: Path) -> list[VolumeCase]:
    """Unique, safe identifiers; the group is the patient where the layout says so.

    Else it is what the name says, or the folder where several folders have a file of that name, as `01/T1.nii.gz`.
    """
    ordered = sorted(cases, key=lambda case: (case.split, case.id, case.image))
    folders = [Path(case.image).parent.relative_to(root) for case in ordered]
    names = with_folders([case.id for case in ordered], [folder.as_posix() for folder in folders])
    ids = identifiers(names, [case.image for case in ordered])
    counts = Counter(case.id for case in ordered)
    return [
        replace(case, id=new, group=case.group or (folder.name if counts[case.id] > 1 else "") or _patient(case.id))
        for case, new, folder in zip(ordered, ids, folders, strict=True)
    ]


def _patient(name: str) -> str:
    """The patient in a name such as `12_T1`, `12_T2` or `sub-12_ses-1`: what stands before the sequence."""
    return re.sub(r"[_-](t1w?|t2w?|ses-?\w+|in|out|pre|post|art|pv|hbp)$", "", name, flags=re.I)
