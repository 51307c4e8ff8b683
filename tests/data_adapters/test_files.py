"""Atomic writes of files and folders, hashes and names."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.files import safe_name, sha256, whole_folder, write_json, write_whole, writing

ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from transect.data_adapters.files import whole_folder
with whole_folder(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_its_block_ends(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "case") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text("a")
        assert not (tmp_path / "case").exists()
    assert (tmp_path / "case" / "deep" / "a.txt").read_text() == "a"
    assert names(tmp_path) == ["case"]


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("model")

    with pytest.raises(RuntimeError, match="model"), whole_folder(tmp_path / "case") as folder:
        fail(folder)
    assert names(tmp_path) == []


def test_a_kill_leaves_no_folder_and_the_next_attempt_starts_clean(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "case")], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "case").exists()
    assert len(names(tmp_path)) == 1
    with whole_folder(tmp_path / "case") as folder:
        assert names(folder) == []
        (folder / "whole.txt").write_text("whole")
    assert names(tmp_path) == ["case"]
    assert names(tmp_path / "case") == ["whole.txt"]


def test_an_earlier_folder_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "case"):
        raise RuntimeError
    assert names(tmp_path / "case") == ["old.txt"]
    with whole_folder(tmp_path / "case") as folder:
        (folder / "new.txt").write_text("new")
        assert names(tmp_path / "case") == ["old.txt"]
    assert names(tmp_path / "case") == ["new.txt"]
    assert names(tmp_path) == ["case"]


def test_a_text_is_replaced_whole_or_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"name": "Ärmel", "n": 1})
    assert path.read_text(encoding="utf-8") == '{\n "name": "Ärmel",\n "n": 1\n}\n'

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "half")
    assert '"n": 1' in path.read_text(encoding="utf-8")
    assert names(tmp_path) == ["run.json"]


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (OSError(28, "No space\nleft"), True),
        (RuntimeError("No space left"), True),
        (KeyError("No space left"), True),
        (ValueError("No space left"), False),
    ],
)
def test_what_goes_wrong_in_writing_names_the_file_in_one_line(tmp_path: Path, raised: Exception, caught: bool) -> None:
    with (
        pytest.raises(OSError if caught else ValueError, match="No space left") as error,
        writing(tmp_path / "a.tif", KeyError),
    ):
        raise raised
    if caught:
        assert str(error.value).startswith(f"{tmp_path / 'a.tif'}: could not be written whole: ")
        assert str(error.value).endswith(" bytes are free there)")


@given(st.text())
def test_a_safe_name_is_one_visible_part_of_a_path(text: str) -> None:
    name = safe_name(text)
    assert name
    assert name.isascii()
    assert Path(name).parts == (name,)
    assert not name.startswith(".")
    assert safe_name(name) == name


def test_a_folder_is_identified_by_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = sha256(tmp_path)
    assert sha256(tmp_path / "a" / "x") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = sha256(tmp_path)
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, sha256(tmp_path)}) == 3
