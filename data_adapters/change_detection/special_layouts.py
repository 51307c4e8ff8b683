"""Layouts other than before, after and label folders: OSCD regions and the full rasters of WHU-CD."""

import re
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.dates import oscd_dates
from transect.data_adapters.change_detection.folders import rasters_by_stem, read_text, subfolders
from transect.data_adapters.change_detection.labels import LabelCoding
from transect.data_adapters.change_detection.pairs import Pair
from transect.data_adapters.change_detection.products.find import products_in
from transect.data_adapters.change_detection.products.found import Side, chosen
from transect.data_adapters.listing import SPLITS


def is_oscd_region(folders: dict[str, Path]) -> bool:
    """Whether a folder with these sub-folders is a region of OSCD: `imgs_1_rect` and `imgs_2_rect`."""
    return "imgs_1_rect" in folders or "imgs_2_rect" in folders


def is_whu(folders: dict[str, Path]) -> bool:
    """Whether a folder with these sub-folders holds WHU-CD's full rasters: `2012` and `2016`."""
    return {"2012", "2016"} <= folders.keys() and (folders["2012"] / "whole_image").is_dir()


def oscd_region(region: Path, folders: dict[str, Path], config: ReadConfig) -> Pair:
    """One region of OSCD; its split is that of the label folder that contains the region. It has Sentinel-2's bands."""
    sides = [_oscd_side(folders.get(side), config) for side in ("imgs_1_rect", "imgs_2_rect")]
    split, label = "", ""
    for name, folder in subfolders(region.absolute().parent.parent).items():
        if (match := re.search(r"(train|test) labels$", name)) and (folder / region.name).is_dir():
            split = match[1]
            masks = rasters_by_stem(folder / region.name / "cm") if (folder / region.name / "cm").is_dir() else {}
            label = masks.get("cm") or next(iter(masks.values()), "")
    coding = LabelCoding.ONE_TWO if Path(label).suffix.lower() in (".tif", ".tiff") else LabelCoding.BINARY
    dates_file = region / "dates.txt"
    dates = oscd_dates(read_text(dates_file)) if dates_file.is_file() else (None, None)
    return Pair(
        id=region.name,
        group="",
        split=split,
        before=sides[0].files,
        after=sides[1].files,
        label=label,
        coding=coding,
        dates=dates,
        products=(sides[0].product, sides[1].product),
    )


def _oscd_side(folder: Path | None, config: ReadConfig) -> Side:
    """One date; empty if the folder or a band is missing. All dates are older than the baselines with an offset."""
    scene = next(iter(products_in(folder)), None) if folder else None
    try:
        return chosen(replace(scene, note=""), config, folder) if scene else Side()
    except BadInput:
        return Side()


def whu_whole_images(folders: dict[str, Path]) -> list[Pair]:
    """The full rasters of WHU-CD: 2012 and 2016, one pair for each split."""
    above = folders["2012"].parent
    wholes = {year: folders[year] / "whole_image" for year in ("2012", "2016")}
    splits = {name for whole in wholes.values() if whole.is_dir() for name in subfolders(whole) if name in SPLITS}

    def raster(folder: Path) -> tuple[str, ...]:
        return tuple(rasters_by_stem(folder).values())[:1] if folder.is_dir() else ()

    pairs = []
    for split in sorted(splits):
        before, after = (raster(wholes[year] / split / "image") for year in ("2012", "2016"))
        labels = [*raster(above / "change_label" / split), *raster(above.parent / "change_label" / split)]
        label = labels[0] if labels else ""
        pairs.append(Pair(id="whole_image", group="", split=split, before=before, after=after, label=label))
    return pairs
