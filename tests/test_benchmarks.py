"""Benchmarks take their input files as arguments, and the documentation lists the command of each."""

import argparse
import re
from pathlib import Path

import pytest

from benchmarks.inputs import require_distinct

ROOT = Path(__file__).resolve().parents[1]
COMMAND = re.compile(r"python -m benchmarks\.(\w+)")
DOCUMENTED = {
    name for document in (ROOT / "docs").glob("*.md") for name in COMMAND.findall(document.read_text(encoding="utf-8"))
}
RUNNABLE = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}


def test_every_benchmark_is_documented():
    assert DOCUMENTED == RUNNABLE


@pytest.mark.parametrize("name", sorted(RUNNABLE))
def test_a_benchmark_states_its_usage_and_opens_no_file_of_its_own(name):
    source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
    assert f"`python -m benchmarks.{name}" in source.partition("\n")[0]
    assert "shared/" not in source
    assert "__file__" not in source


def test_files_to_compare_must_exist_and_differ(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    for name, content in (("a", "1"), ("b", "2"), ("copy", "1")):
        (tmp_path / name).write_text(content)
    require_distinct(parser, tmp_path / "a", tmp_path / "b")
    for other, message in (("a", "found the same content"), ("copy", "found the same content"), ("c", "no such file")):
        with pytest.raises(SystemExit):
            require_distinct(parser, tmp_path / "a", tmp_path / "b", tmp_path / other)
        assert message in capsys.readouterr().err
