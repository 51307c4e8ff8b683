"""Pairs given explicitly: the rows of a CSV, or two inputs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection.layouts import find_pairs
from transect.data_adapters.change_detection.pairs import missing_partners


def table(root: Path, text: str) -> str:
    path = root / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_table_in_full(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "\ufeffBefore, after,label,before_date,after_date,split,id\n"
        "old/n_20000309.tif,new/n.tif,masks/n.png,,2010-12-18,train,north\n"
        '"b3.tif,b2.tif",/data/south.tif,,,,test,\n'
        "https://host/a.tif?x=1,/vsicurl/https://host/b.tif,,,,,\n",
    )
    plain, south, north = find_pairs(path)
    assert (north.id, north.split, north.dates) == ("train_north", "train", ("2000-03-09", "2010-12-18"))
    assert north.files == tuple(str(tmp_path / name) for name in ("old/n_20000309.tif", "new/n.tif", "masks/n.png"))
    assert south.before == (str(tmp_path / "b3.tif"), str(tmp_path / "b2.tif"))
    assert south.after == ("/data/south.tif",)
    assert plain.files == ("https://host/a.tif?x=1", "/vsicurl/https://host/b.tif")
    assert (plain.id, plain.split) == ("a__b", "")


def test_rows_of_one_short_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    rows = "".join(f"{site}/before.tif,{site}/after.tif\n" for site in ("south", "north"))
    ids = [pair.id for pair in find_pairs(table(tmp_path, "before,after\n" + rows))]
    assert ids == ["north_before.tif__north_after.tif", "south_before.tif__south_after.tif"]
    with pytest.raises(BadInput, match="more than once"):
        find_pairs(table(tmp_path, "before,after\na.tif,b.tif\na.tif,b.tif\n"))


def test_an_empty_cell_is_a_missing_partner(tmp_path: Path) -> None:
    pairs = find_pairs(table(tmp_path, "before,after,label\na.tif,,m.png\nb.tif,c.tif,m.png\n"))
    assert missing_partners(pairs) == ["a: no after"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns: found none, expected before and after"),
        ("old,new\na,b\n", "columns: found old, new, expected before and after, and any of label"),
        ("before,after,lable\na,b,c\n", "columns: found before, after, lable"),
        ("before,before,after\na,b,c\n", "columns: found before, before, after"),
        ("before,after\n", "rows: found none"),
        ("before,after\na,b,c\n", "line 2: found a wrong number of fields, expected 2 fields"),
        ("before,after\na,b\nc\n", "line 3: found a wrong number of fields"),
        ("before,after,split\na,b,holdout\n", "line 2, split: found holdout, expected train, val, test or nothing"),
        ("before,after,after_date\na,b,18.12.2010\n", "line 2, after_date: found 18.12.2010, expected a day such as"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=rf"pairs\.csv: {message}"):
        find_pairs(table(tmp_path, text))


@given(st.binary(max_size=60))
def test_no_table_is_too_strange(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("table") / "pairs.csv"
    path.write_bytes(b"before,after\n" + content)
    try:
        pairs = find_pairs(str(path))
    except BadInput:
        return
    assert pairs


def test_two_inputs(tmp_path: Path) -> None:
    (pair,) = find_pairs("a/x_20000101.tif", "b/x_20100101.tif")
    assert pair.files == ("a/x_20000101.tif", "b/x_20100101.tif")
    assert (pair.id, pair.split, pair.dates) == ("x_20000101__x_20100101", "", ("2000-01-01", "2010-01-01"))
    assert find_pairs("a/x.tif", "b/x.tif")[0].id == "x"
    (bands,) = find_pairs("r.tif, g.tif,b.tif", "https://host/r.tif?a=1,2,https://host/g.tif")
    assert bands.before == ("r.tif", "g.tif", "b.tif")
    assert bands.after == ("https://host/r.tif?a=1,2", "https://host/g.tif")
    (scenes,) = find_pairs("old/foo_B1.tif,old/foo_B2.tif", "new/B3.tif,new/B2.tif")
    assert (scenes.id, scenes.products) == ("foo__new", (None, None))
    (tmp_path / "a,b.tif").touch()
    assert find_pairs(str(tmp_path / "a,b.tif"), "c.tif")[0].before == (str(tmp_path / "a,b.tif"),)
