"""Synthetic pairs: reproducible, exactly labelled, with nuisance variation that must not count as change."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from transect.data_adapters.change_detection.labels import label_rule
from transect.data_adapters.change_detection.layouts import find_pairs
from transect.data_adapters.change_detection.pairs import Pair, missing_partners
from transect.data_adapters.change_detection.phantom import (
    _shift,
    draw_hard_pair,
    draw_pair,
    draw_scene,
    write_phantom,
)

COUNT = 20


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    root = tmp_path_factory.mktemp("phantom")
    write_phantom(root, COUNT, seed=5)
    return find_pairs(str(root))


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_it_is_read_like_levir_cd(pairs: list[Pair]) -> None:
    assert [sum(pair.split == split for pair in pairs) for split in ("train", "val", "test")] == [14, 3, 3]
    assert len({pair.id for pair in pairs}) == len({pair.group for pair in pairs}) == COUNT
    assert missing_partners(pairs) == []
    for pair in pairs:
        for image in (pixels(pair.before[0]), pixels(pair.after[0])):
            assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
        label = pixels(pair.label)
        assert (label.shape, label.dtype) == ((256, 256), np.uint8)
        assert set(np.unique(label)) <= {0, 255}
        assert np.array_equal(label_rule(pair.label).apply(label), label // 255)


@pytest.mark.parametrize(("count", "splits"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (7, (5, 1, 1))])
def test_splits(tmp_path: Path, count: int, splits: tuple[int, ...]) -> None:
    write_phantom(tmp_path, count, seed=0)
    found = [pair.split for pair in find_pairs(str(tmp_path))]
    assert tuple(found.count(split) for split in ("train", "val", "test")) == splits


def test_the_seed_decides_every_pixel(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_phantom(tmp_path / name, 3, seed)
    content = {
        name: {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in "abc"
    }
    assert content["a"] == content["b"]
    assert content["a"].keys() == content["c"].keys()
    images = [path for path in content["a"] if path.parts[1] != "label"]
    assert all(content["a"][path] != content["c"][path] for path in images)


def test_a_pair_does_not_depend_on_how_many_there_are() -> None:
    first, again = (draw_pair(np.random.default_rng((3, 4)), 4) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_the_label_is_where_the_noiseless_scenes_differ(seed: int) -> None:
    scene = draw_scene(np.random.default_rng((seed, 0)), changes=True)
    label = draw_pair(np.random.default_rng((seed, 0)), 0)[2]
    differ = np.abs(scene.before - scene.after).max(axis=-1) > 0
    assert differ.any()
    assert np.array_equal(label, differ * np.uint8(255))


@pytest.mark.parametrize("seed", range(4))
def test_every_change_can_be_seen(seed: int) -> None:
    """Changes differ in luminance from what they replace, so that a single band suffices."""
    scene = draw_scene(np.random.default_rng((seed, 0)), changes=True)
    brightness = abs((scene.after - scene.before) @ np.array([0.30, 0.59, 0.11]))
    regions, count = ndimage.label(scene.label)
    means = ndimage.mean(brightness, regions, range(1, count + 1))
    sizes = ndimage.sum(scene.label, regions, range(1, count + 1))
    assert (means[sizes >= 16] > 0.08).all()


def test_without_change_the_scenes_are_one_but_the_images_are_not() -> None:
    for index in (3, 11, 15):
        scene = draw_scene(np.random.default_rng((0, index)), changes=False)
        assert np.array_equal(scene.before, scene.after)
        before, after, label = draw_pair(np.random.default_rng((0, index)), index)
        assert not label.any()
        assert np.abs(before.astype(int) - after).mean() > 1


def test_shares_of_the_kinds_of_pairs() -> None:
    drawn = [draw_pair(np.random.default_rng((0, index)), index) for index in range(48)]
    unchanged = [not label.any() for _, _, label in drawn]
    assert sum(unchanged) == 12
    identical = [np.array_equal(before, after) for before, after, _ in drawn]
    assert [index for index, same in enumerate(identical) if same] == [7, 23, 39]
    assert all(unchanged[index] for index in (7, 23, 39))
    grey = [bool((before == before[..., :1]).all() and (after == after[..., :1]).all()) for before, after, _ in drawn]
    assert 0.05 < np.mean(grey) < 0.4
    assert 0.01 < np.mean([label > 0 for _, _, label in drawn]) < 0.1


def test_objects_come_in_all_sizes() -> None:
    sizes = []
    for index in range(24):
        label = draw_scene(np.random.default_rng((1, index)), changes=True).label
        boxes = ndimage.find_objects(ndimage.label(label)[0])
        sizes += [max(side.stop - side.start for side in box) for box in boxes]
    assert np.percentile(sizes, 20) <= 10
    assert np.percentile(sizes, 95) >= 35


def test_the_hard_set_has_no_validation_split(tmp_path: Path) -> None:
    write_phantom(tmp_path, 18, 0, hard=True)
    found = [pair.split for pair in find_pairs(str(tmp_path))]
    assert [found.count(split) for split in ("train", "val", "test")] == [12, 0, 6]


def test_hard_pairs_differ_more_where_nothing_changed_and_their_changes_are_small() -> None:
    rngs = [np.random.default_rng((2, index)) for index in range(6)]
    hard = [draw_hard_pair(rng) for rng in rngs]
    easy = [draw_pair(np.random.default_rng((2, index)), 0) for index in range(6)]

    def unchanged(pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([abs(a.astype(int) - b)[label == 0].mean() for a, b, label in pairs]))

    assert unchanged(hard) > 1.5 * unchanged(easy)
    for _, _, label in hard:
        objects = ndimage.label(label)[0]
        assert objects.max() >= 20
        assert np.median(np.bincount(objects.ravel())[1:]) < 200
        assert 0.03 < label.mean() / 255 < 0.15


def test_the_dates_of_hard_pairs_are_shifted_by_one_pixel() -> None:
    for seed in range(8):
        assert np.hypot(*_shift(np.random.default_rng(seed), 1.0)) == pytest.approx(1)
