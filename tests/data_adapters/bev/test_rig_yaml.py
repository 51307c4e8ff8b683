"""YAML of which nothing is trusted."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.data_adapters.bev.rigs import camera, frames, write_rig
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.rig.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        ("-.5", -0.5),
        ("010", 10),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        ("true", True),
        ("'7'", "7"),
        (".inf", float("inf")),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: Any) -> None:
    (tmp_path / "a.yaml").write_text(f"key: {text}\n")
    found = read_yaml(tmp_path / "a.yaml")
    assert found == {"key": value}
    assert isinstance(found, dict)
    assert type(found["key"]) is type(value) or isinstance(value, int)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
BOMB = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise(LETTERS))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "a: !!python/object/apply:os.system ['touch ran']",
            "the tag 'tag:yaml.org,2002:python/object/apply",
        ),
        ("!!python/name:os.system", "the tag"),
        ("a: !mine 1", "the tag '!mine'"),
        ("a: !!set {x}", "the tag"),
        ("a: !!binary aGVsbG8=", "the tag"),
        ("a: !!timestamp 2020-01-01", "the tag"),
        ("a: 1\nb: 2\na: 3", "the key 'a' again in line 3"),
        ("? [1]\n: 2", "unhashable"),
        ("a: [1", "in line"),
        ("\ta: 1", "in line 1"),
        ("a: *b", "undefined alias"),
        ("a: 1\n---\nb: 2", "another document"),
        ("[" * 2000, "recursion"),
        ("a: " + "9" * 5000, "limit"),
        ("a: !!int ''", "found"),
        ("!!merge : 1", "the tag"),
    ],
)
def test_other_yaml_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"rig.yaml: yaml: .*{words}"):
        read_yaml(path)
    assert not os.path.exists("ran")


@pytest.mark.parametrize("text", ["", "7", "[]", "cameras: 7", "cameras: []", "cameras: [1]", "cameras: &a [*a]", BOMB])
def test_yaml_that_is_no_rig_is_refused_in_a_short_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rig.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"rig.yaml") as caught:
        frames(path)
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe\0", "UTF-8"), (b"a" * ((1 << 18) + 1), "more than 262144 bytes"), (b"a: \0", "yaml")],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "rig.yaml").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_yaml(tmp_path / "rig.yaml")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rig.yaml")
    with pytest.raises(BadInput, match="a pipe"):
        read_yaml(tmp_path / "rig.yaml")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = write_rig(tmp_path, camera())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(frames(path)) == 1
