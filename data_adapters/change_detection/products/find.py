"""Find the products in a folder, a zip or a list of files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.folders import rasters_by_stem
from transect.data_adapters.change_detection.products import landsat, planetscope, sentinel2
from transect.data_adapters.change_detection.products.found import Found, Side, chosen, side_of
from transect.data_adapters.change_detection.products.tree import folder_tree, zip_tree
from transect.data_adapters.listing import contents

EXPECTED = "the band files of one Landsat or Sentinel-2 scene, a PlanetScope image, a .SAFE folder, or its zip"


def products_in(folder: Path) -> list[Found]:
    """The products in a folder, or in the folders in it, or the folder itself if it is a `.SAFE` folder, by date.

    Raises:
        BadInput: a folder cannot be listed, or one of the products is damaged.
    """
    if sentinel2.is_safe(folder):
        return [sentinel2.found_safe(folder_tree(folder))]
    folders, files = contents(folder)
    products = [sentinel2.found_safe(folder_tree(path)) for path in folders if sentinel2.is_safe(path)]
    products += _of_files(folder, files)
    if not products:
        products = [product for path in folders for product in _of_files(path, contents(path)[1])]
    return sorted(products, key=lambda product: (product.date or "", product.name))


def _of_files(folder: Path, files: Sequence[Path]) -> list[Found]:
    """The products whose zips or band files are `files`, those of a folder."""
    products: list[Found] = []
    trees = [zip_tree(path) for path in files if path.suffix.lower() == ".zip"]
    products += [sentinel2.found_safe(tree) for tree in trees if sentinel2.holds_safe(tree)]
    landsat_scenes: dict[str, list[str]] = {}
    sentinel_scenes: dict[str, list[str]] = {}
    for path in rasters_by_stem(folder).values():
        if planetscope.scene_of(path):
            products.append(planetscope.found_image(path))
        elif scene := landsat.scene_of(path):
            landsat_scenes.setdefault(scene, []).append(path)
        elif (tile := sentinel2.scene_of(path)) is not None:
            sentinel_scenes.setdefault(tile, []).append(path)
    products += map(landsat.found_scene, landsat_scenes.values())
    products += map(sentinel2.found_scene, sentinel_scenes.values())
    return products


def side_of_folder(folder: Path, config: ReadConfig) -> Side:
    """The channels of the one product in a folder.

    Raises:
        BadInput: there are none or several, or a band is missing.
    """
    products = products_in(folder)
    if len(products) != 1:
        found = ", ".join(product.name for product in products) or "no band files"
        raise BadInput(folder, "scene", found, EXPECTED)
    return chosen(products[0], config, folder)


def side_of_zip(path: Path, config: ReadConfig) -> Side:
    """The channels of the product in a zip."""
    return chosen(sentinel2.found_safe(zip_tree(path)), config, path)


def side_of_files(files: Sequence[str], config: ReadConfig) -> Side | None:
    """The channels of files that a user named, if their names are those of one product, else None.

    Numbers count the given files, or the bands of a single file.

    Raises:
        BadInput: a band is missing, or the files next to them cannot be used.
    """
    if (found := _found_files(files, config)) is None:
        return None
    if config.names:
        return chosen(found, config, files[0])
    named = {(band.file, band.number): (name, band) for name, band in found.bands.items()}
    if len(files) == len(named) == 1:  # of one band, which numbers may repeat; their limit is checked at opening
        ((name, band),) = named.values()
        channels = [(name, replace(band, number=number)) for number in config.numbers]
    else:
        places = [(files[0], number) if len(files) == 1 else (_nth(files, number), 1) for number in config.numbers]
        channels = [named[place] for place in places if place in named]
    if len(channels) < len(config.numbers):
        return None
    return side_of(found, [name for name, _ in channels], [band for _, band in channels])


def _nth(files: Sequence[str], number: int) -> str:
    return files[number - 1] if number <= len(files) else ""


def _found_files(files: Sequence[str], config: ReadConfig) -> Found | None:
    if len(files) == 1 and planetscope.scene_of(files[0]):
        return planetscope.found_image(files[0])
    for family in (landsat, sentinel2):
        scenes = {family.scene_of(file) for file in files}
        scene = scenes.pop() if len(scenes) == 1 else None
        if scene or (scene is not None and config.names):  # where numbers are asked for, B04.tif may be of any sensor
            return family.found_scene(list(files))
    return None
