"""Find image pairs in the folder layouts of public change-detection data sets, as downloaded.

Nearly all are the same three folders under different names, so one table holds the names; rasters are paired by file
name, never by order. Layouts with another structure are in `special_layouts`. torchgeo has one class for each of a few
of these data sets; a table covers all of them, and a user's own folders.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.folders import (
    RASTERS,
    VECTORS,
    by_name,
    rasters_by_stem,
    subfolders,
)
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.change_detection.pairs import Pair, named
from transect.data_adapters.change_detection.products.find import products_in
from transect.data_adapters.change_detection.products.found import chosen
from transect.data_adapters.change_detection.special_layouts import (
    is_oscd_region,
    is_whu,
    oscd_region,
    whu_whole_images,
)
from transect.data_adapters.change_detection.split_lists import with_splits
from transect.data_adapters.change_detection.tables import pair_of, pair_of_sides, pairs_in_table
from transect.data_adapters.listing import SPLIT_FOLDERS, contents, split_of, walk

DEEPEST = 3
"""Maximum depth, below the root of a data set, of the folder that holds the image folders."""


@dataclass(frozen=True)
class Sides:
    """Folder names of one layout, case-folded.

    Args:
        before: Folder of the first date.
        after: Folder of the second date.
        labels: Label folders in order of preference, with the coding of their values.
        endings: Suffixes that are removed from file stems before they are paired.
        cover: Folders of the land cover before and after, where they exist.
    """

    before: str
    after: str
    labels: dict[str, LabelCoding]
    endings: tuple[str, ...] = ()
    cover: tuple[str, ...] = ()


LAYOUTS = (
    # LEVIR-CD, LEVIR-CD+, WHU-CD-256, DSIFN-256, RSIPAC; SVCD writes its labels to OUT.
    Sides("a", "b", {"label": LabelCoding.BINARY, "out": LabelCoding.BINARY}),
    # WHU-CD and CLCD as prepared for rschange; S2Looking, whose label1 and label2 are parts of its label.
    Sides("image1", "image2", {"label": LabelCoding.BINARY}),
    # SYSU-CD; CLCD as prepared for open-cd.
    Sides("time1", "time2", {"label": LabelCoding.BINARY}),
    # DSIFN.
    Sides("t1", "t2", {"mask": LabelCoding.BINARY}),
    # SECOND and Landsat-SCD: label1 and label2 hold the land cover where it changed, so either one locates change.
    Sides("im1", "im2", {"label": LabelCoding.BINARY, "label1": LabelCoding.SEMANTIC}, cover=("label1", "label2")),
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

_IMAGES = {name for sides in LAYOUTS for name in (sides.before, sides.after, *sides.labels, "label2")}

EXPECTED = (
    ", ".join(f"{sides.before}/ and {sides.after}/" for sides in LAYOUTS)
    + " in upper or lower case, the regions of OSCD, the whole_image folders of WHU-CD, or the band files of two"
    + " Landsat or Sentinel-2 scenes, two PlanetScope images, or two .SAFE folders or zips"
)


def find_pairs(*inputs: str, config: ReadConfig | None = None) -> list[Pair]:
    """List the image pairs of a data set.

    Args:
        inputs: A folder in any known layout, a CSV of pairs, or two inputs, before and after. Each of two inputs is a
            raster, a URL that GDAL reads, band files joined by commas, or a product: a folder, a zip or a STAC item.
        config: Settings of raster reading, which choose the bands of products; by default natural colour.

    Returns:
        The pairs sorted by split and name. A pair without its partner is listed with an empty side.

    Raises:
        BadInput: nothing was found (the known layouts are listed), names are ambiguous, or a product lacks a band.
    """
    config = config or ReadConfig()
    if len(inputs) == 2:
        return named([pair_of(*inputs, config)])
    if len(inputs) != 1:
        raise BadInput("inputs", "number", len(inputs), "a folder, a CSV of pairs, or two rasters: before and after")
    path = Path(inputs[0])
    if path.suffix.lower() == ".csv":
        return named(pairs_in_table(path, config))
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise _hdf5(path)
    if path.is_file():
        raise BadInput(path, "input", "one file", "a folder, a CSV of pairs, or two rasters: before and after")
    return named(_in_folder(path, config))


def _in_folder(root: Path, config: ReadConfig) -> list[Pair]:
    special: list[Pair] = []
    by_base: dict[Path, list[Pair]] = {}
    for folder, below, _ in walk(root):
        folders, parts = by_name(below), folder.relative_to(root).parts
        if is_oscd_region(folders):
            special.append(oscd_region(folder, folders, config))
        elif is_whu(folders):
            special.extend(whu_whole_images(folders))
        elif sides := _sides_among(folders):
            base = root.joinpath(*(name for name in parts if name.casefold() not in SPLIT_FOLDERS))
            by_base.setdefault(base, []).extend(_pair_up(folders, sides, split_of(folder, root)))
        elif len(parts) < DEEPEST:
            continue
        below.clear()  # do not descend into the folders of a layout
    pairs = _in_one_set(special, lambda label: label)
    for base, base_pairs in by_base.items():
        prefix = "_".join(base.relative_to(root).parts) + "_" if len(by_base) > 1 and base != root else ""
        of_base = _in_one_set(with_splits(base, base_pairs, _IMAGES), lambda label: str(Path(label).parent))
        pairs.extend(replace(pair, id=prefix + pair.id) for pair in of_base)
    if pairs:
        return pairs
    if by_base:
        advice = "give folders of satellite products as two inputs, before and after"
        raise BadInput(root, "pairs", "no rasters in its folders", "rasters of the same names before and after", advice)
    return [_two_scenes(root, config)]


def _in_one_set(pairs: list[Pair], place: Callable[[str], str]) -> list[Pair]:
    """`pairs` whose labels share a coding; `place` maps a label to itself, or to its folder where these are few."""
    places = {(pair.coding, place(pair.label)) for pair in pairs if pair.label}
    sets = {coding: tuple(sorted(there for other, there in places if other is coding)) for coding, _ in places}
    return [replace(pair, label_set=sets.get(pair.coding, ())) for pair in pairs]


def _sides_among(folders: dict[str, Path]) -> Sides | None:
    return next((sides for sides in LAYOUTS if sides.before in folders and sides.after in folders), None)


def _pair_up(folders: dict[str, Path], sides: Sides, split: str) -> list[Pair]:
    label = next((name for name in sides.labels if name in folders), None)
    before, after = (_by_name(folders[side], sides, split) for side in (sides.before, sides.after))
    labels = _by_name(folders[label], sides, split, RASTERS | VECTORS) if label else {}
    cover = [_by_name(folders[name], sides, split) for name in sides.cover if name in folders]
    return [
        Pair(
            id=name,
            group="",
            split=name_split,
            before=_one(before.get((name_split, name))),
            after=_one(after.get((name_split, name))),
            label=labels.get((name_split, name), ""),
            coding=sides.labels[label] if label else LabelCoding.BINARY,
            cover=_two([side.get((name_split, name)) for side in cover]),
        )
        for name_split, name in sorted(before.keys() | after.keys() | labels.keys())
    ]


def _by_name(folder: Path, sides: Sides, split: str, suffixes: frozenset[str] = RASTERS) -> dict[tuple[str, str], str]:
    """The files of one side by split and name; the folder may itself contain split folders."""
    split_folders = [
        (SPLIT_FOLDERS[name], below) for name, below in subfolders(folder).items() if name in SPLIT_FOLDERS
    ]
    return {
        (folder_split, _without(stem, sides.endings)): path
        for folder_split, split_folder in [(split, folder), *split_folders]
        for stem, path in rasters_by_stem(split_folder, suffixes).items()
    }


def _without(stem: str, endings: tuple[str, ...]) -> str:
    return next((stem.removesuffix(ending) for ending in endings if stem.endswith(ending)), stem)


def _two(paths: list[str | None]) -> tuple[str, str]:
    first, second = (*paths, None, None)[:2]
    return (first, second) if first and second else ("", "")


def _one(path: str | None) -> tuple[str, ...]:
    return (path,) if path else ()


def _two_scenes(folder: Path, config: ReadConfig) -> Pair:
    scenes = products_in(folder)
    if not scenes:
        folders, files = contents(folder)
        hdf5 = next((path for path in files if path.suffix.lower() in (".h5", ".hdf5")), None)
        if hdf5:
            raise _hdf5(hdf5)
        there = ", ".join([*[f"{name}/" for name in by_name(folders)][:8], f"{len(files)} files"])
        raise BadInput(folder, "layout", there, EXPECTED)
    dates = [scene.date for scene in scenes]
    if len(scenes) != 2 or None in dates or dates[0] == dates[1]:
        found = ", ".join(f"{scene.name} ({scene.date or 'no date'})" for scene in scenes)
        raise BadInput(folder, "scenes", found, "two scenes of different dates", "or give two inputs, before and after")
    return pair_of_sides(*(chosen(scene, config, folder) for scene in scenes))


def _hdf5(path: Path) -> BadInput:
    advice = "ChaBuD keeps its bands last, which GDAL cannot read: write the images as GeoTIFFs and list them in a CSV"
    return BadInput(path, "format", "HDF5", "rasters that GDAL reads", advice)
