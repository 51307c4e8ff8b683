"""Atomic writes of files and folders, hashes and names."""

import os
import signal
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transect.data_adapters.files import (
    clear_leftovers,
    reserved,
    safe_name,
    sha256,
    whole_folder,
    write_json,
    write_whole,
    writing,
)

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
    assert all(char in "._-" or char.isalnum() or unicodedata.category(char)[0] in "MN" for char in name)
    assert name == unicodedata.normalize("NFC", name)
    assert Path(name).parts == (name,)
    assert not name.startswith(".")
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("流域", "流域"),
        ("हिन्दी 2020", "हिन्दी_2020"),
        ("Zu\u0308rich", "Z\u00fcrich"),
        ("العراق/1", "العراق_1"),
        ("a__b c", "a__b_c"),
        ("\u202ea\ud800\u200b", "a"),
        ("☃", "unnamed"),
    ],
)
def test_a_safe_name_stays_readable_in_any_script(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_a_folder_is_identified_by_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = sha256(tmp_path)
    assert sha256(tmp_path / "a" / "x") == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = sha256(tmp_path)
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, sha256(tmp_path)}) == 3


def test_writers_of_one_folder_each_write_it_whole(tmp_path: Path) -> None:
    def write(number: int) -> None:
        with whole_folder(tmp_path / "model") as folder:
            for part in range(20):
                (folder / f"{number}-{part}").write_text("x")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(24)))
    assert names(tmp_path) == ["model"]
    assert len(names(tmp_path / "model")) == 20


def test_writers_of_one_file_each_write_it_whole(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: write_whole(tmp_path / "run.json", str(number) * 999), range(10, 60)))
    assert names(tmp_path) == ["run.json"]
    assert len({*(tmp_path / "run.json").read_text()}) <= 2


def test_a_name_is_reserved_for_one_writer_and_its_attempt_is_not_cleared(tmp_path: Path) -> None:
    with reserved(tmp_path / "case") as attempts, whole_folder(tmp_path / "case", attempts=attempts) as folder:
        (folder / "half.txt").write_text("half")
        with reserved(tmp_path / "case", wait=False) as other:
            assert other is None
        with whole_folder(tmp_path / "case.1"), reserved(tmp_path / "cas", wait=False) as free:
            assert free is not None
        clear_leftovers(tmp_path)
        assert names(folder) == ["half.txt"]
    assert names(tmp_path) == ["case", "case.1"]


def test_a_folder_that_appears_meanwhile_is_checked_and_a_file_stays(tmp_path: Path) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(folder)

    def mine(folder: Path) -> None:
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")

    with pytest.raises(PermissionError), whole_folder(tmp_path / "case", refuse):
        mine(tmp_path / "case")
    with pytest.raises(FileExistsError, match="found a file"), whole_folder(tmp_path / "file"):
        (tmp_path / "file").write_text("mine")
    assert names(tmp_path) == ["case", "file"]
    assert names(tmp_path / "case") == ["mine.txt"]


def test_a_folder_that_a_killed_process_was_replacing_is_restored(tmp_path: Path) -> None:
    (tmp_path / ".case.partial" / "7-0123abcd.old").mkdir(parents=True)
    (tmp_path / ".case.partial" / "7-0123abcd.old" / "old.txt").write_text("old")
    (tmp_path / ".case.partial" / "7-0123abcd").mkdir()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == ["case"]
    assert names(tmp_path / "case") == ["old.txt"]
