"""Quality bands: values that USGS, ESA and Planet publish with their meaning."""

from collections.abc import Sequence

import numpy as np
import pytest

from transect.data_adapters.change_detection.product import QualityKind
from transect.data_adapters.change_detection.quality import FILL, classes_of, decoded, unusable

EVERY = ("clouds", "shadows", "cirrus", "snow", "water")

PUBLISHED: list[tuple[QualityKind, int, set[str]]] = [
    # Collection 2, Landsat 8-9: the values in the product guide.
    ("qa_pixel", 1, {FILL}),
    ("qa_pixel", 21824, set()),
    ("qa_pixel", 21826, {"clouds"}),  # dilated
    ("qa_pixel", 21952, {"water"}),
    ("qa_pixel", 22280, {"clouds"}),
    ("qa_pixel", 23888, {"shadows"}),
    ("qa_pixel", 30048, {"snow"}),
    ("qa_pixel", 54596, {"cirrus"}),
    ("qa_pixel", 55052, {"clouds", "cirrus"}),
    # Collection 2, Landsat 4-7.
    ("qa_pixel", 5440, set()),
    ("qa_pixel", 5896, {"clouds"}),
    ("qa_pixel", 7440, {"shadows"}),
    ("qa_pixel", 13664, {"snow"}),
    # Collection 1, Landsat 8.
    ("bqa", 1, {FILL}),
    ("bqa", 2720, set()),
    ("bqa", 2722, set()),  # terrain occlusion
    ("bqa", 2800, {"clouds"}),
    ("bqa", 2976, {"shadows"}),
    ("bqa", 3744, {"snow"}),
    ("bqa", 6816, {"cirrus"}),
    # Collection 1, Landsat 4-7.
    ("bqa", 672, set()),
    ("bqa", 674, {FILL}),  # dropped pixel
    ("bqa", 752, {"clouds"}),
    ("bqa", 928, {"shadows"}),
    ("bqa", 1696, {"snow"}),
    # Sentinel-2 scene classification.
    *[("scl", value, {name} if name else set()) for value, name in enumerate(
        (FILL, "", "", "shadows", "", "", "water", "", "clouds", "clouds", "cirrus", "snow")
    )],
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "expected"), PUBLISHED)
def test_published_values_have_their_meaning(kind: QualityKind, value: int, expected: set[str]) -> None:
    values = np.full((1, 2, 2), value, np.uint16)
    marked = {name for name, mask in decoded(values, kind, EVERY).items() if mask.all()}
    assert marked == expected
    for name in EVERY:
        assert unusable(values, kind, [name]).all() == bool({name, FILL} & expected)
    assert unusable(values, kind, []).all() == (FILL in expected)


def udm2(**bands: int) -> np.ndarray:
    names = ("clear", "snow", "shadow", "light_haze", "heavy_haze", "cloud", "confidence", "udm")
    return np.array([bands.get(name, 0) for name in names], np.uint8)[:, None, None]


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ({"clear": 1, "confidence": 90}, []),
        ({"cloud": 1}, ["clouds"]),
        ({"shadow": 1}, ["shadows"]),
        ({"light_haze": 1}, ["cirrus"]),
        ({"heavy_haze": 1}, ["cirrus"]),
        ({"snow": 1}, ["snow"]),
        ({"udm": 1}, list(EVERY)),  # black fill
        ({"udm": 2, "clear": 1}, []),  # the older cloud mask in bit 1
    ],
)
def test_bands_of_udm2_have_their_meaning(bands: dict[str, int], expected: Sequence[str]) -> None:
    assert [name for name in EVERY if unusable(udm2(**bands), "udm2", [name]).all()] == list(expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("scl", 12), ("scl", 255), ("scl", -1), ("scl", 3.5), ("scl", np.nan), ("bqa", 20480), ("bqa", 65535),
     ("bqa", 70000), ("qa_pixel", 2048), ("qa_pixel", 21825 + 65536), ("qa_pixel", -1)],
)  # fmt: skip
def test_values_outside_the_coding_are_refused(kind: QualityKind, value: float) -> None:
    good = {"scl": 4, "bqa": 2720, "qa_pixel": 21824}[kind]
    values = np.array([[[good, value]]])
    with pytest.raises(ValueError, match=f"value {value:g}"):
        unusable(values, kind, ["clouds"])


def test_of_udm2_only_flags_and_percentages_are_in_the_coding() -> None:
    for bands in ({"snow": 2}, {"cloud": 255}, {"confidence": 101}):
        with pytest.raises(ValueError, match="value 0 "):
            unusable(udm2(**bands), "udm2", [])


def test_classes_that_a_coding_lacks_mark_nothing() -> None:
    assert classes_of("bqa") == ("clouds", "shadows", "cirrus", "snow")
    assert set(classes_of("qa_pixel")) == set(classes_of("scl")) == set(EVERY)
    assert set(classes_of("udm2")) == set(EVERY) - {"water"}
    assert not unusable(np.array([[[2720]]]), "bqa", ["water"]).any()
