"""Identifiers and groups of pairs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.pairs import Pair, named, scene_of
from transect.data_adapters.files import safe_name


@pytest.mark.parametrize(
    ("name", "scene"),
    [
        ("train_1_0_256", "train_1"),
        ("train_1", "train_1"),
        ("test_2_0000_0512", "test_2"),
        ("paris-r3-c14", "paris"),
        ("paris_y0_x256", "paris"),
        ("whucd_01125", "whucd_01125"),
        ("0_256", "0_256"),
        ("bata-explosion_00000049", "bata-explosion_00000049"),
        ("LT05_L1TP_167055_20000309_20161214_01_T1", "LT05_L1TP_167055_20000309_20161214_01_T1"),
    ],
)
def test_scene_of_a_tile(name: str, scene: str) -> None:
    assert scene_of(name) == scene


@given(st.lists(st.tuples(st.sampled_from(["", "train", "test"]), st.text(min_size=1, max_size=200)), unique=True))
def test_identifiers_are_unique_and_safe(names: list[tuple[str, str]]) -> None:
    unnamed = [Pair(id=name, group="", split=split) for split, name in names if not split or not name.startswith(split)]
    ids = [pair.id for pair in named(unnamed)]
    assert len(set(ids)) == len(ids) == len(unnamed)
    assert all(safe_name(name) == name and len(name) < 140 for name in ids)
    assert [pair.id for pair in named(reversed(unnamed))] == ids


def test_two_pairs_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="found a more than once"):
        named([Pair(id="a", group="", before=("x.tif",)), Pair(id="a", group="", before=("y.tif",))])
