"""Land cover before and after: SECOND's colours, indices with and without a palette, and the shares of transitions."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.config import ReadConfig
from transect.data_adapters.change_detection.land_cover import transitions
from transect.data_adapters.change_detection.scene import Scene

ADAPTER = ChangeAdapter(ReadConfig())
SECOND = np.array(
    [(255, 255, 255), (0, 0, 255), (128, 128, 128), (0, 128, 0), (0, 255, 0), (128, 0, 0), (255, 0, 0)], np.uint8
)
"""No change, water, ground, low vegetation, tree, building, playground."""


def pair(root: Path, before: np.ndarray, after: np.ndarray, palette: np.ndarray | None = SECOND) -> Path:
    """A pair in the layout of SECOND, with labels of these indices as colours, or as indices without a palette."""
    for side in ("im1", "im2"):
        (root / "test" / side).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(1, 255, (*before.shape, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "test" / side / "1.png")
    for name, indices in (("label1", before), ("label2", after)):
        (root / "test" / name).mkdir(exist_ok=True)
        values = indices.astype(np.uint8) if palette is None else palette[indices]
        Image.fromarray(values).save(root / "test" / name / "1.png")
    return root


def opened(root: Path) -> Scene:
    (case,) = ADAPTER.cases(str(root))
    return ADAPTER.read(case)


def counts(scene: Scene) -> dict[str, int]:
    found = transitions(*scene.land_cover_at(0, 10), scene.land_cover.classes)
    return {name: int(where.sum()) for name, where in found.items()}


BEFORE = np.zeros((10, 10), int)
BEFORE[:4, :5], BEFORE[4:6] = 3, 2
AFTER = np.zeros((10, 10), int)
AFTER[:4, :5], AFTER[4:5], AFTER[5:6] = 5, 5, 1


def test_transitions_of_second(tmp_path: Path) -> None:
    scene = opened(pair(tmp_path, BEFORE, AFTER))
    assert scene.land_cover.classes == ("building", "ground", "low vegetation", "water")
    expected = {"low vegetation to building": 20, "ground to building": 10, "ground to water": 10}
    assert counts(scene) == expected
    before, after = scene.land_cover_at(3, 3)
    assert before[:, 0].tolist() == [2, 1, 1]
    assert after[:, 0].tolist() == [0, 0, 3]
    assert before[0, 5] == after[0, 5] == 255
    assert np.array_equal(scene.labels(0, 10), BEFORE > 0)
    (case,) = ADAPTER.cases(str(tmp_path))
    facts = ADAPTER.check(case, scene, None)
    assert facts["label"] == "40 % changed, 0 % unknown"
    assert facts["from_to"] == "low vegetation to building 50 %; ground to building 25 %; ground to water 25 %"


def test_indices_are_classes_and_0_is_no_change(tmp_path: Path) -> None:
    scene = opened(pair(tmp_path, BEFORE, AFTER, palette=None))
    assert scene.land_cover.classes == ("class 1", "class 2", "class 3", "class 5")
    assert counts(scene) == {"class 3 to class 5": 20, "class 2 to class 5": 10, "class 2 to class 1": 10}


def test_a_palette_gives_the_names(tmp_path: Path) -> None:
    pair(tmp_path, BEFORE, AFTER)
    for name, indices in (("label1", BEFORE), ("label2", AFTER)):
        image = Image.fromarray(indices.astype(np.uint8), "P")
        image.putpalette(SECOND.ravel().tolist())
        image.save(tmp_path / "test" / name / "1.png")
    scene = opened(tmp_path)
    assert scene.land_cover.classes == ("building", "ground", "low vegetation", "water")
    assert counts(scene)["low vegetation to building"] == 20
    assert np.array_equal(scene.labels(0, 10), BEFORE > 0)


def test_other_colours_are_named_by_their_values(tmp_path: Path) -> None:
    palette = SECOND.copy()
    palette[3] = 1, 2, 3
    assert "colour 1 2 3" in opened(pair(tmp_path, BEFORE, AFTER, palette)).land_cover.classes


def test_pictures_are_no_land_cover(tmp_path: Path) -> None:
    pair(tmp_path, BEFORE, AFTER)
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(tmp_path / "test/label2/1.png")
    with pytest.raises(BadInput, match=r"label2/1\.png: label values: found more than 64 values, expected a map of"):
        counts(opened(tmp_path))


def test_nothing_changed(tmp_path: Path) -> None:
    scene = opened(pair(tmp_path, BEFORE * 0, AFTER * 0))
    assert counts(scene) == {}
    (case,) = ADAPTER.cases(str(tmp_path))
    assert ADAPTER.check(case, scene, None)["from_to"] == "nothing"


def test_one_of_two_labels_is_no_transition(tmp_path: Path) -> None:
    pair(tmp_path, BEFORE, AFTER)
    (tmp_path / "test/label2/1.png").unlink()
    (case,) = ADAPTER.cases(str(tmp_path))
    assert case.cover == ("", "")
    assert "from_to" not in ADAPTER.check(case, ADAPTER.read(case), None)


def test_a_georeferenced_label_on_another_grid_is_placed(tmp_path: Path) -> None:
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    fine = {"crs": "EPSG:32632", "transform": rasterio.Affine(5, 0, 5e5 - 50, 0, -5, 5e6 + 50)}

    def write(name: str, values: np.ndarray, **profile: object) -> None:
        path = tmp_path / name / "1.tif"
        path.parent.mkdir(parents=True)
        with rasterio.open(
            path, "w", driver="GTiff", width=values.shape[1], height=len(values), count=1, dtype="uint8", **profile
        ) as raster:
            raster.write(values.astype(np.uint8), 1)

    for name in ("im1", "im2"):
        write(name, np.arange(1, 101).reshape(10, 10), **place)
    for name, indices in (("label1", BEFORE), ("label2", AFTER)):
        write(name, np.pad(np.kron(indices, np.ones((2, 2), int)), 10), **fine)
    adapter = ChangeAdapter(ReadConfig(bands=[1]))
    (case,) = adapter.cases(str(tmp_path))
    scene = adapter.read(case)
    assert scene.land_cover.classes == ("class 1", "class 2", "class 3", "class 5")
    assert counts(scene) == {"class 3 to class 5": 20, "class 2 to class 5": 10, "class 2 to class 1": 10}
