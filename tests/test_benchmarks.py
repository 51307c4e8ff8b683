"""Benchmarks take their input files as arguments, and the documentation lists the command of each."""

import argparse
import importlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.inputs import require_distinct, require_unseen
from transect.data_adapters.bev.config import PhantomConfig
from transect.data_adapters.bev.phantom import write_phantom

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


def test_test_examples_must_not_be_training_examples(capsys):
    parser = argparse.ArgumentParser()
    training = torch.arange(12.0).view(4, 3)
    require_unseen(parser, "data", training, training + 1)
    with pytest.raises(SystemExit):
        require_unseen(parser, "data", training, torch.stack([training[2], training[2] + 1]))
    assert "data: found 1 of 2 test examples in the training set" in capsys.readouterr().err


def _same_frames(folder: Path) -> list[str]:
    shutil.copy(_write(folder / "first.tif"), folder / "second.tif")
    return ["model", "--frames", str(folder / "first.tif"), str(folder / "second.tif")]


def _coarse_copy_that_is_the_frame(folder: Path) -> list[str]:
    files = [_write(folder / "first.tif", "1"), _write(folder / "second.tif", "2"), _write(folder / "coarse.tif", "1")]
    return ["model", "--frames", *map(str, files[:2]), "--coarse", str(files[2])]


def _same_spectra_and_candidates(folder: Path) -> list[str]:
    return [str(_write(folder / "spectra.mgf")), str(_write(folder / "candidates.mgf"))]


def _same_darcy_files(folder: Path) -> list[str]:
    for name in ("train_16", "test_16", "test_32"):
        _write(folder / f"darcy_{name}.pt")
    return [str(folder)]


def _darcy_test_examples_from_training(folder: Path) -> list[str]:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(6, 32, 32, generator=generator) for _ in range(2))
    for name, examples, step in (
        ("train_16", slice(None), 2),
        ("test_16", slice(4, 6), 2),
        ("test_32", slice(4, 6), 1),
    ):
        part = (examples, slice(None, None, step), slice(None, None, step))
        torch.save({"x": (x[part] > 0.5).float(), "y": y[part].clone()}, folder / f"darcy_{name}.pt")
    return [str(folder)]


def _apebench_test_trajectories_from_training(folder: Path) -> list[str]:
    states = np.random.default_rng(0).random((3, 5, 1, 16), np.float32)
    np.savez(folder / "apebench_1d_diff_burgers.npz", train=states, test=states)
    return ["--data", str(folder), "--equations", "burgers", "--steps", "1"]


def _same_drives(folder: Path) -> list[str]:
    write_phantom(folder / "known", 3, 0, PhantomConfig(height=48, width=84, samples=1))
    shutil.copytree(folder / "known", folder / "unseen")
    return ["--folder", str(folder)]


def _write(path: Path, content: str = "content") -> Path:
    path.write_text(content)
    return path


COMPARISONS = [
    ("bev", _same_drives, "found 3 of 3 test examples in the training set"),
    ("quality", _same_frames, "found the same content"),
    ("quality", _coarse_copy_that_is_the_frame, "found the same content"),
    ("rerank", _same_spectra_and_candidates, "found the same content"),
    ("darcy", _same_darcy_files, "found the same content"),
    ("darcy", _darcy_test_examples_from_training, "found 2 of 2 test examples in the training set"),
    ("apebench", _apebench_test_trajectories_from_training, "found 3 of 3 test examples in the training set"),
]


@pytest.mark.parametrize(("name", "write", "message"), COMPARISONS)
def test_a_comparison_of_an_input_with_itself_is_refused(name, write, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, *write(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_every_benchmark_that_guards_its_inputs_is_tried():
    guarded = {
        name for name in RUNNABLE if "benchmarks.inputs" in (ROOT / "benchmarks" / f"{name}.py").read_text("utf-8")
    }
    assert guarded == {name for name, _, _ in COMPARISONS}


def test_the_scan_is_compared_with_loops_that_give_the_same(capsys):
    from benchmarks import scan

    scan.scans(512, rounds=1)
    scan.window((32, 24, 16), rounds=1)
    printed = capsys.readouterr().out
    for name in (scan.FALLBACK, scan.FAST_LOOP, "associative_scan", scan.OURS, "four at once", "a token at L=512"):
        assert name in printed
    with pytest.raises(AssertionError, match="case: other differs from first by 1"):
        scan.compare("case", {"first": lambda: [torch.ones(2)], "other": lambda: [torch.zeros(2)]}, 1, memory=False)


def test_a_large_volume_is_segmented_by_ours_and_by_monai(tmp_path):
    from benchmarks import volumes

    volumes.write_volume(tmp_path / "volume.nii.gz", (96, 96, 60))
    rows = []
    for number, way in enumerate((volumes.OURS, volumes.MONAI)):
        (tmp_path / str(number)).mkdir()
        rows.append(volumes.run(way, tmp_path / "volume.nii.gz", tmp_path / str(number)))
    assert rows[0]["voxels"] > 10_000
    assert volumes.dice(tmp_path) > 0.9  # edges, which both treat differently, weigh more than in a large volume
