"""BadInput: a one-line message, also after pickling."""

import pickle

from transect.data_adapters.base import BadInput


def test_the_message_is_one_line_with_both_sides_and_the_advice() -> None:
    error = BadInput("a.tif", "band 2", "truncated\n  data", "512 rows", "copy it again")
    assert str(error) == "a.tif: band 2: found truncated data, expected 512 rows; copy it again"


def test_without_advice_nothing_trails() -> None:
    assert str(BadInput("a.tif", "CRS", None, "EPSG:32633")) == "a.tif: CRS: found None, expected EPSG:32633"


def test_it_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BadInput("a.tif", "bands", 3, 4, "choose bands")))
    assert type(error) is BadInput
    assert (error.file, error.field, error.found, error.expected, error.advice) == (
        "a.tif",
        "bands",
        3,
        4,
        "choose bands",
    )
    assert str(error) == "a.tif: bands: found 3, expected 4; choose bands"
