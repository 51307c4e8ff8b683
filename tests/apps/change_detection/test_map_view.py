"""The data of the interactive map: polygons in pixels, attributes, scale, and what is left out."""

import json
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from transect.apps.change_detection import map_view as module
from transect.data_adapters.change_detection.maps import ChangeMap, Grid, ScoredStrip
from transect.data_adapters.change_detection.write import write_change_map

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def content(folder: Path, levels: np.ndarray, crs: int | None = 32633, transform: Affine = UTM) -> dict:
    grid = Grid(levels.shape[1], len(levels), transform, CRS.from_epsg(crs) if crs else None)
    change_map = ChangeMap(grid, [ScoredStrip(0, levels)], 0.5, ("2000-03-09", None))
    write_change_map(change_map, folder)
    (folder / "preview").mkdir()
    for name in ("before", "after", "score", "other"):
        (folder / "preview" / f"{name}.png").touch()
    view = module.map_view(change_map, folder)
    assert (view.kind, view.files) == (
        "map",
        ("views/map.json", *(f"preview/{n}.png" for n in ("before", "after", "score"))),
    )
    return json.loads((folder / "views" / "map.json").read_text())


def outline(feature: dict) -> list[list[float]]:
    return json.loads(feature["geometry"])["coordinates"][0]


def squares() -> np.ndarray:
    levels = np.zeros((1100, 2100), np.uint8)
    levels[3:5, 7:10] = 120
    levels[800:900, 1000:1200] = 160
    return levels


def test_polygons_are_in_pixels_the_largest_first(tmp_path: Path) -> None:
    found = content(tmp_path, squares())
    large, small = found["features"]
    assert sorted(map(tuple, outline(large)[:4])) == [
        (1000, 800),
        (1000, 900),
        (1200, 800),
        (1200, 900),
    ]
    assert sorted(map(tuple, outline(small)[:4])) == [(7, 3), (7, 5), (10, 3), (10, 5)]
    expected = {"id": 1, "pixels": 6, "mean_score": 0.6, "date_before": "2000-03-09", "date_after": None}
    assert {name: value for name, value in small["properties"].items() if name != "area_m2"} == expected
    assert small["properties"]["area_m2"] == pytest.approx(600 / 0.9996**2, rel=1e-4)
    assert (found["size"], found["extent"], found["total"]) == ([2100, 1100], [2100, 1101], 2)
    assert found["metres_per_pixel"] == pytest.approx(10 / 0.9996, rel=1e-4)
    assert found["ramp"]["mark"] == 0.5


def test_the_scale_is_along_a_row_in_degrees(tmp_path: Path) -> None:
    found = content(tmp_path, squares(), 4326, Affine(0.001, 0, 10, 0, -0.001, 60.55))
    assert found["metres_per_pixel"] == pytest.approx(111.32 / 2, rel=0.005)


def test_a_map_without_a_crs_has_no_scale(tmp_path: Path) -> None:
    found = content(tmp_path, squares(), None, Affine.identity())
    assert found["metres_per_pixel"] is None
    assert found["features"][0]["properties"]["area_m2"] is None


def test_the_smallest_polygons_are_left_out_and_details_simplified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_POLYGONS", 1)
    monkeypatch.setattr(module, "MOST_VERTICES", 10)
    levels = squares()
    for row in range(800, 900):
        levels[row, 1200 : 1200 + row % 2] = 160  # a jagged side of half a pixel on either side
    found = content(tmp_path, levels)
    assert (found["total"], len(found["features"])) == (2, 1)
    assert len(outline(found["features"][0])) < 12


def test_a_map_without_change_has_no_polygons(tmp_path: Path) -> None:
    found = content(tmp_path, np.zeros((40, 50), np.uint8))
    assert (found["features"], found["total"]) == ([], 0)
