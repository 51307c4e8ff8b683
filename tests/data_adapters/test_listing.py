"""Folders, splits, tables and identifiers of cases."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import safe_name
from transect.data_adapters.listing import (
    SPLITS,
    contents,
    identifiers,
    phantom_splits,
    split_of,
    table_rows,
    walk,
    with_folders,
)


def build(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def walked(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for folder, _, files in walk(root) for path in (folder, *files)]


# Folders


def test_contents_are_sorted_and_visible(tmp_path: Path) -> None:
    build(tmp_path, "b.txt", "B/x", "a/x", "._b.txt", ".git/x", "A.txt")
    folders, files = contents(tmp_path)
    assert [path.name for path in folders] == ["B", "a"]
    assert [path.name for path in files] == ["A.txt", "b.txt"]


def test_links_that_lead_nowhere_are_files(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert [path.name for path in contents(tmp_path)[1]] == ["gone"]


def test_a_link_to_itself_is_skipped_with_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(tmp_path, "a")
    for name in ("self", "one"):
        (tmp_path / name).symlink_to(tmp_path / {"self": "self", "one": "two"}[name])
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert walked(tmp_path) == [".", "a"]
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"{tmp_path / name}: skipped, since it is a link to itself" for name in ("one", "self", "two")
    ]


@pytest.mark.parametrize(
    ("name", "reason"), [("gone", "no such file"), ("a", "not a directory"), ("a\0b", "null byte")]
)
def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, name: str, reason: str) -> None:
    build(tmp_path, "a")
    with pytest.raises(BadInput, match=f"folder: found .*{reason}.*, expected a folder that can be read"):
        contents(tmp_path / name)


def test_a_walk_is_depth_first_and_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    build(tmp_path, "in/b/z", "in/a/y", "in/x", "other/w")
    (tmp_path / "in" / "a" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "c").symlink_to(tmp_path / "other")
    assert walked(tmp_path / "in") == [".", "x", "a", "a/y", "b", "b/z", "c", "c/w"]


def test_folders_taken_out_of_a_walk_are_not_entered(tmp_path: Path) -> None:
    build(tmp_path, "a/x", "b/c/y")
    seen = []
    for folder, folders, _ in walk(tmp_path):
        seen.append(folder.name)
        folders[:] = [path for path in folders if path.name != "c"]
    assert seen == [tmp_path.name, "a", "b"]


def test_the_lowest_folder_below_the_root_gives_the_split() -> None:
    root = Path("train")
    places = {"": "", "Test": "test", "VALIDATION/x": "val", "train/a/testing": "test", "tests": ""}
    assert {place: split_of(root / place, root) for place in places} == places


@pytest.mark.parametrize(
    ("count", "counts"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (20, (14, 3, 3))]
)
def test_synthetic_cases_are_split_in_order(count: int, counts: tuple[int, int, int]) -> None:
    splits = phantom_splits(count)
    assert tuple(splits.count(split) for split in SPLITS) == counts
    assert splits == sorted(splits, key=SPLITS.index)


# Tables


def rows(tmp_path: Path, text: str) -> list[tuple[str, dict[str, str]]]:
    (tmp_path / "cases.csv").write_text(text, encoding="utf-8")
    return list(table_rows(tmp_path / "cases.csv", ("a", "b"), ("split", "c"), "a case", "see the manual"))


def test_rows_come_with_their_lines_and_stripped_cells(tmp_path: Path) -> None:
    text = '\ufeff A, b ,Split\n1, "2\n3" ,train\n\n 4 ,,\n'
    assert rows(tmp_path, text) == [
        ("line 3", {"a": "1", "b": "2\n3", "split": "train"}),
        ("line 5", {"a": "4", "b": "", "split": ""}),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns: found none, expected a and b, and any of split, c; see the manual"),
        ("a\n1\n", "columns: found a, expected"),
        ("a,b,d\n1,2,3\n", "columns: found a, b, d"),
        ("a,b,b\n1,2,3\n", "columns: found a, b, b"),
        ("a,b\n", "rows: found none, expected a case in each row"),
        ("a,b\n1\n", "line 2: found a wrong number of fields, expected 2 fields"),
        ("a,b\n1,2\n1,2,3\n", "line 3: found a wrong number of fields, expected 2 fields"),
        ("a,b,split\n1,2,Train\n", "line 2, split: found Train, expected train, val, test or nothing"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=rf"cases\.csv: {message}"):
        rows(tmp_path, text)


# Identifiers


def test_identifiers_in_other_scripts_are_readable_and_short_enough_for_a_folder(tmp_path: Path) -> None:
    names = ["流域", "流" * 200, "क्षेत्र"]
    ids = identifiers(names, names)
    assert (ids[0], ids[2]) == ("流域", "क्षेत्र")
    for one in ids:
        (tmp_path / f".{one}.partial").mkdir()


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    assert with_folders(["a", "A", "b", "a"], ["x/y", "", "z", "."]) == ["x_y-a", "A", "b", "a"]


def test_only_what_agrees_or_is_too_long_carries_a_hash() -> None:
    names = ["plain", "odd name", "odd_name", "A", "a", "x" * 121, "y" * 120]
    ids = identifiers(names, names)
    assert [name for name in ids if name in names] == ["plain", "y" * 120]
    assert ids[1].startswith("odd_name-")
    assert len({name.casefold() for name in ids}) == len(names)
    assert identifiers(["a", "a"], ["1", "2"]) == ["a-6b86b273", "a-d4735e3a"]


@given(st.lists(st.text(max_size=200), unique=True))
def test_identifiers_are_unique_safe_and_stable(names: list[str]) -> None:
    ids = identifiers(names, names)
    assert len({name.casefold() for name in ids}) == len(names)
    assert all(safe_name(name) == name and len(name.encode()) < 140 for name in ids)
    assert identifiers(names[::-1], names[::-1]) == ids[::-1]
