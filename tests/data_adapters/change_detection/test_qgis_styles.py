"""QGIS styles: well-formed XML in the colours of the rasters, one for each file."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio

from tests.data_adapters.change_detection.test_write import change_map
from transect.data_adapters.change_detection.qgis_styles import write_styles
from transect.data_adapters.change_detection.write import write_change_map


def styles(folder: Path, **options: object) -> dict[str, ElementTree.Element]:
    write_change_map(change_map(np.full((40, 50), 150, np.uint8), **options), folder)
    write_styles(folder)
    return {path.stem: ElementTree.parse(path).getroot() for path in folder.glob("*.qml")}


def test_every_file_has_a_style(tmp_path: Path) -> None:
    assert set(styles(tmp_path)) == {"mask", "changes"}
    (tmp_path / "scored").mkdir()
    found = styles(tmp_path / "scored", write_score=True)
    assert set(found) == {"mask", "score", "changes"}
    assert {root.tag for root in found.values()} == {"qgis"}


def test_the_mask_has_the_colours_of_its_table(tmp_path: Path) -> None:
    renderer = styles(tmp_path)["mask"].find("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band")) == ("paletted", "1")
    entries = {int(entry.get("value")): entry for entry in renderer.iter("paletteEntry")}
    with rasterio.open(tmp_path / "mask.tif") as mask:
        table = mask.colormap(1)
    for value, entry in entries.items():
        colour = (*bytes.fromhex(entry.get("color")[1:]), int(entry.get("alpha")))
        assert colour == table[value]
    assert {value: entry.get("label") for value, entry in entries.items()} == {
        0: "unchanged",
        1: "changed",
        255: "nodata",
    }


def test_the_score_is_a_ramp_over_the_values_of_the_band(tmp_path: Path) -> None:
    ramp = styles(tmp_path, write_score=True)["score"].find("pipe/rasterrenderer/rastershader/colorrampshader")
    assert [float(item.get("value")) for item in ramp] == [0, 0.25, 0.5, 0.75, 1]
    assert ramp[0].get("color") == "#000004"
    with rasterio.open(tmp_path / "score.tif") as score:
        assert score.read(1).max() * score.scales[0] == 0.75


def test_polygons_have_the_colour_of_change(tmp_path: Path) -> None:
    root = styles(tmp_path)["changes"]
    options = {entry.get("name"): entry.get("value") for entry in root.iter("Option") if entry.get("name")}
    assert root.find("renderer-v2/symbols/symbol/layer").get("class") == "SimpleFill"
    assert (options["color"], options["outline_color"]) == ("215,48,39,77", "215,48,39,255")
