"""Tables of any size are read a window at a time."""

import json

import pytest

from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.nuscenes import records
from transect.data_adapters.bev.nuscenes.records import by_token, read_records

ROWS = [
    {"token": f"t{number}", "text": 'a],[{"' * (number % 5), "list": [[number], {"x": 1.5}]} for number in range(40)
]


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"separators": (" ,\r\n\t", ":")}])
@pytest.mark.parametrize("chunk", [1, 7, 100, 1 << 20])
def test_windows_change_nothing(tmp_path, monkeypatch, layout, chunk) -> None:
    monkeypatch.setattr(records, "CHUNK", chunk)
    monkeypatch.setattr(records, "LONGEST", 300)
    path = tmp_path / "table.json"
    path.write_text(" \n" + json.dumps(ROWS, **layout) + "\n\n")
    found = list(read_records(path, ("list", "other")))
    assert [record.token for record in found] == [row["token"] for row in ROWS]
    assert [record.fields for record in found] == [{"list": row["list"]} for row in ROWS]
    assert list(by_token(read_records(path, (), lambda row: row["token"] == "t7"))) == ["t7"]


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]\n"])
def test_an_empty_table_has_no_records(tmp_path, text) -> None:
    (tmp_path / "table.json").write_text(text)
    assert list(read_records(tmp_path / "table.json", ())) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}",
        "3",
        "]",
        "[]]",
        "[],",
        "[{}",
        '[{"token": "a"},]',
        '[{"token": "a"} {"token": "b"}]',
        "[,]",
        "[NaN",
    ],
)
def test_what_is_no_list_is_refused(tmp_path, text) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(BadInput, match=r"table\.json: "):
        list(read_records(tmp_path / "table.json", ()))


def test_a_record_without_end_is_refused_before_the_file_is_read_whole(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(records, "CHUNK", 64)
    monkeypatch.setattr(records, "LONGEST", 256)
    (tmp_path / "table.json").write_text('[{"token": "a", "text": "' + 10_000 * "x" + '"}]')
    with pytest.raises(BadInput, match="JSON: found Unterminated string"):
        list(read_records(tmp_path / "table.json", ()))


def test_nesting_without_end_is_refused(tmp_path) -> None:
    (tmp_path / "table.json").write_text(200_000 * "[")
    with pytest.raises(BadInput, match="JSON: found maximum recursion depth exceeded"):
        list(read_records(tmp_path / "table.json", ()))
