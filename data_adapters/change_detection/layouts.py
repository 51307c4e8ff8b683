"""Every layout that change-detection data comes in, read as it is downloaded.

Nearly all are the same three folders under other names, so one table holds the names; rasters are paired by name,
never by order. What cannot be told as three folders has a function of its own: OSCD and the full rasters of WHU-CD.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from data_adapters.base import BadInput
from data_adapters.change_detection.bands import complete, listing, rasters_by_stem, scenes_in
from data_adapters.change_detection.dates import oscd_dates
from data_adapters.change_detection.labels import LabelCoding
from data_adapters.change_detection.pairs import Pair, named
from data_adapters.change_detection.tables import pair_of, pairs_in_table

DEEPEST = 3
"""How many folders below its root a data set may keep its images' folders."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Sides:
    """The folder names of one layout, case-folded; `labels` in order of preference, with what their values mean.

    `endings` are taken off file names before they are paired.
    """

    before: str
    after: str
    labels: dict[str, LabelCoding]
    endings: tuple[str, ...] = ()


LAYOUTS = (
    # LEVIR-CD, LEVIR-CD+, WHU-CD-256, DSIFN-256, RSIPAC; SVCD writes its labels to OUT.
    Sides("a", "b", {"label": LabelCoding.BINARY, "out": LabelCoding.BINARY}),
    # WHU-CD and CLCD as prepared for rschange; S2Looking, whose label1 and label2 are parts of its label.
    Sides("image1", "image2", {"label": LabelCoding.BINARY}),
    # SYSU-CD; CLCD as prepared for open-cd.
    Sides("time1", "time2", {"label": LabelCoding.BINARY}),
    # DSIFN.
    Sides("t1", "t2", {"mask": LabelCoding.BINARY}),
    # SECOND and Landsat-SCD: label1 and label2 hold the land cover where it changed, so either tells where.
    Sides("im1", "im2", {"label": LabelCoding.BINARY, "label1": LabelCoding.SEMANTIC}),
    # BRIGHT (DFC 2025, track 2).
    Sides(
        "pre-event",
        "post-event",
        {"target": LabelCoding.DAMAGE},
        endings=("_pre_disaster", "_post_disaster", "_building_damage"),
    ),
    # A user's own.
    Sides("before", "after", {"label": LabelCoding.BINARY}),
)

LISTS = {
    **{f"list/{split}.txt": split for split in ("train", "val", "test")},
    # BRIGHT: the hold-out is the labelled validation set, its folder `val` the test set without labels.
    "train_setlevel.txt": "train",
    "holdout_setlevel.txt": "val",
    "val_setlevel.txt": "test",
}
"""Files that give the split of each name, beside the images' folders or above the split folders."""

EXPECTED = (
    ", ".join(f"{sides.before}/ and {sides.after}/" for sides in LAYOUTS)
    + " in upper or lower case, the regions of OSCD, the whole_image folders of WHU-CD, or the band files of two"
    + " Landsat or Sentinel-2 scenes"
)


def find_pairs(*inputs: str) -> list[Pair]:
    """The pairs that `inputs` hold: a folder in any known layout, a CSV of pairs, or two inputs, before and after.

    Each of two inputs is a raster, a URL that GDAL reads, band files joined by commas, or a folder with one scene's
    band files. Pairs are sorted by split and name; one whose partner is missing is listed with an empty side.

    Raises:
        BadInput: names what was looked for where nothing was found, and what cannot be told apart.
    """
    if len(inputs) == 2:
        return named([pair_of(*inputs)])
    if len(inputs) != 1:
        raise BadInput("inputs", "number", len(inputs), "a folder, a CSV of pairs, or two rasters: before and after")
    path = Path(inputs[0])
    if path.suffix.lower() == ".csv":
        return named(pairs_in_table(path))
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise _hdf5(path)
    if path.is_file():
        raise BadInput(path, "input", "one file", "a folder, a CSV of pairs, or two rasters: before and after")
    return named(_in_folder(path))


def _in_folder(root: Path) -> list[Pair]:
    pairs = []
    by_base: dict[Path, list[Pair]] = {}
    known = False
    for folder, folders in _walk(root):
        if _is_oscd_region(folders):
            pairs.append(_oscd_region(folder, folders))
        elif _is_whu(folders):
            pairs.extend(_whu_whole_images(folders))
        elif sides := _sides_among(folders):
            split, base = _split_of(folder, root)
            by_base.setdefault(base, []).extend(_pair_up(folders, sides, split))
        known = known or bool(pairs or by_base)
    for base, found in by_base.items():
        prefix = "_".join(base.relative_to(root).parts) + "_" if len(by_base) > 1 and base != root else ""
        pairs.extend(replace(pair, id=prefix + pair.id) for pair in _with_splits(base, found))
    if pairs:
        return pairs
    if known:
        raise BadInput(root, "pairs", "no rasters in its folders", "rasters of the same names before and after")
    return [_two_scenes(root)]


def _walk(root: Path, depth: int = 0) -> Iterator[tuple[Path, dict[str, Path]]]:
    """The folders from `root` down, with their sub-folders; stops where a layout's own folders begin."""
    folders = listing(root)[0]
    yield root, folders
    here = _is_oscd_region(folders) or _is_whu(folders) or _sides_among(folders)
    if depth < DEEPEST and not here:
        for folder in folders.values():
            yield from _walk(folder, depth + 1)


def _is_oscd_region(folders: dict[str, Path]) -> bool:
    return "imgs_1_rect" in folders or "imgs_2_rect" in folders


def _is_whu(folders: dict[str, Path]) -> bool:
    return {"2012", "2016"} <= folders.keys() and (folders["2012"] / "whole_image").is_dir()


def _sides_among(folders: dict[str, Path]) -> Sides | None:
    return next((sides for sides in LAYOUTS if sides.before in folders and sides.after in folders), None)


def _split_of(folder: Path, root: Path) -> tuple[str, Path]:
    """The split that the path from `root` to `folder` names, and that path without it."""
    parts = folder.relative_to(root).parts
    splits = [SPLITS[part.casefold()] for part in parts if part.casefold() in SPLITS]
    base = root.joinpath(*(part for part in parts if part.casefold() not in SPLITS))
    return (splits[-1] if splits else ""), base


def _pair_up(folders: dict[str, Path], sides: Sides, split: str) -> list[Pair]:
    label = next((name for name in sides.labels if name in folders), None)
    before, after = (_by_name(folders[side], sides, split) for side in (sides.before, sides.after))
    labels = _by_name(folders[label], sides, split) if label else {}
    return [
        Pair(
            id=name,
            group="",
            split=name_split,
            before=_one(before.get((name_split, name))),
            after=_one(after.get((name_split, name))),
            label=labels.get((name_split, name), ""),
            coding=sides.labels[label] if label else LabelCoding.BINARY,
        )
        for name_split, name in sorted(before.keys() | after.keys() | labels.keys())
    ]


def _by_name(folder: Path, sides: Sides, split: str) -> dict[tuple[str, str], str]:
    """The rasters of one side by split and name; the folder may itself be divided into split folders."""
    places = [(split, folder), *((SPLITS[name], sub) for name, sub in listing(folder)[0].items() if name in SPLITS)]
    return {
        (place_split, _without(stem, sides.endings)): path
        for place_split, place in places
        for stem, path in rasters_by_stem(place).items()
    }


def _without(stem: str, endings: tuple[str, ...]) -> str:
    return next((stem.removesuffix(ending) for ending in endings if stem.endswith(ending)), stem)


def _one(path: str | None) -> tuple[str, ...]:
    return (path,) if path else ()


def _with_splits(base: Path, pairs: list[Pair]) -> list[Pair]:
    """`pairs` with the splits that list files give; or that every name begins with, as in `train_1`."""
    listed = _listed(base)
    if listed:
        known = {pair.id for pair in pairs}
        absent = [Pair(id=name, group="", split=split) for name, split in listed.items() if name not in known]
        return [replace(pair, split=listed.get(pair.id, pair.split)) for pair in pairs] + absent
    begins = [re.match(r"(train|val|test)_", pair.id) for pair in pairs]
    if all(begins) and not any(pair.split for pair in pairs):
        return [replace(pair, split=match[1]) for pair, match in zip(pairs, begins, strict=True) if match]
    return pairs


def _listed(base: Path) -> dict[str, str]:
    """The split of each name in the list files at `base`; names may have an extension or none."""
    listed: dict[str, str] = {}
    for place, split in LISTS.items():
        path = base / place
        if not path.is_file():
            continue
        for line in filter(None, map(str.strip, _text(path).splitlines())):
            entry = PurePosixPath(line.replace("\\", "/"))
            if entry.is_absolute() or ".." in entry.parts:
                raise BadInput(path, "name", line, "a name inside the data set's folder")
            name = re.sub(r"\.(tiff?|png|jpe?g|jp2|bmp)$", "", entry.name, flags=re.IGNORECASE)
            if listed.setdefault(name, split) != split:
                raise BadInput(path, "split", f"{name} in {listed[name]} and {split}", "each name in one split")
    return listed


def _oscd_region(region: Path, folders: dict[str, Path]) -> Pair:
    """One region of OSCD, in natural colour; its split is that of the labels' folder that holds it."""
    colours = []
    for side in ("imgs_1_rect", "imgs_2_rect"):
        scene = next(iter(scenes_in(folders[side])), None) if side in folders else None
        colours.append(scene.colour if scene and scene.complete else ())
    split, label = "", ""
    for name, folder in listing(region.absolute().parent.parent)[0].items():
        if (match := re.search(r"(train|test) labels$", name)) and (folder / region.name).is_dir():
            split = match[1]
            masks = rasters_by_stem(folder / region.name / "cm") if (folder / region.name / "cm").is_dir() else {}
            label = masks.get("cm") or next(iter(masks.values()), "")
    coding = LabelCoding.ONE_TWO if Path(label).suffix.lower() in (".tif", ".tiff") else LabelCoding.BINARY
    told = region / "dates.txt"
    dates = oscd_dates(_text(told)) if told.is_file() else (None, None)
    return Pair(
        id=region.name,
        group="",
        split=split,
        before=colours[0],
        after=colours[1],
        label=label,
        coding=coding,
        dates=dates,
    )


def _whu_whole_images(folders: dict[str, Path]) -> list[Pair]:
    """The full rasters of WHU-CD: 2012 and 2016, one pair for each split."""
    above = folders["2012"].parent
    wholes = {year: folders[year] / "whole_image" for year in ("2012", "2016")}
    splits = {name for whole in wholes.values() if whole.is_dir() for name in listing(whole)[0] if name in SPLITS}

    def raster(folder: Path) -> tuple[str, ...]:
        return tuple(rasters_by_stem(folder).values())[:1] if folder.is_dir() else ()

    pairs = []
    for split in sorted(splits):
        before, after = (raster(wholes[year] / split / "image") for year in ("2012", "2016"))
        labels = [*raster(above / "change_label" / split), *raster(above.parent / "change_label" / split)]
        label = labels[0] if labels else ""
        pairs.append(Pair(id="whole_image", group="", split=SPLITS[split], before=before, after=after, label=label))
    return pairs


def _two_scenes(folder: Path) -> Pair:
    scenes = scenes_in(folder)
    if not scenes:
        folders, files = listing(folder)
        hdf5 = next((path for path in files if path.suffix.lower() in (".h5", ".hdf5")), None)
        if hdf5:
            raise _hdf5(hdf5)
        found = [f"{name}/" for name in folders][:8] + [f"{len(files)} files"]
        raise BadInput(folder, "layout", ", ".join(found), EXPECTED)
    dates = [scene.date for scene in scenes]
    if len(scenes) != 2 or None in dates or dates[0] == dates[1]:
        found = ", ".join(f"{scene.name} ({scene.date or 'no date'})" for scene in scenes)
        raise BadInput(folder, "scenes", found, "two scenes of different dates", "or give two inputs, before and after")
    before, after = (complete(scene, folder) for scene in scenes)
    return Pair(
        id=f"{before.name}__{after.name}",
        group="",
        before=before.colour,
        after=after.colour,
        dates=(before.date, after.date),
    )


def _hdf5(path: Path) -> BadInput:
    advice = "ChaBuD keeps its bands last, which GDAL cannot read: write the images as GeoTIFFs and list them in a CSV"
    return BadInput(path, "format", "HDF5", "rasters that GDAL reads", advice)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "text", getattr(error, "strerror", None) or error, "a text in UTF-8") from error
