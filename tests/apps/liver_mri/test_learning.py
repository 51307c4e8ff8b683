"""The benchmark of learning: its upper bound of thresholds, its phantoms, and its table."""

import itertools
import json
import sys

import numpy as np
import pytest

from benchmarks import liver


def dice(mask, label):
    return 2 * (mask & label).sum() / (mask.sum() + label.sum())


def test_the_best_range_of_values_is_the_best_of_all():
    rng = np.random.default_rng(0)
    label = (rng.random((6, 7, 5)) < 0.3).astype(np.uint8)
    volume = np.round(rng.normal(4, 2, label.shape) + 2 * label).astype(np.int16)
    ranges = itertools.product(np.unique(volume), repeat=2)
    best = max(dice((volume >= low) & (volume <= high), label) for low, high in ranges if low <= high)
    found = liver.best_range(volume, label)
    assert dice(found, label) == best
    assert found.dtype == np.uint8


def test_no_range_of_values_reaches_dice_0_6_on_unseen_scans(tmp_path):
    cases, validation, unseen = liver.phantoms(tmp_path, 2)
    assert (len(cases), len(validation), len(unseen)) == (20, 4, 8)
    assert len({case.id for case in [*cases, *validation, *unseen]}) == 32
    result = liver.by_threshold(unseen)
    assert 0.2 < min(result["seeds"][0]["dice_by_case"]) < max(result["seeds"][0]["dice_by_case"]) < 0.6


@pytest.mark.parametrize("name", liver.ROWS)
def test_a_row_is_written_and_tabulated(name, tmp_path, monkeypatch, capsys):
    def few(folder, seed=0):
        liver.write_nnunet(folder, 3, seed, (64, 32, 32), unseen=1)
        found = liver.LiverMRI(liver.Config()).adapter.cases(str(folder))
        return found[:1], found[1:2], found[2:]

    monkeypatch.setattr(liver, "phantoms", few)
    monkeypatch.setattr(liver, "VALIDATIONS", 1)
    file = tmp_path / "row.json"
    arguments = ["liver", "--rows", name, "--minutes", "0.0001", "--seeds", "1", "--out", str(file)]
    monkeypatch.setattr(sys, "argv", arguments)
    liver.main()
    printed = capsys.readouterr().out.splitlines()
    (result,) = json.loads(file.read_text())
    (run,) = result["seeds"]
    assert (result["row"], run["steps"], len(run["curve"]), len(run["dice_by_case"])) == (name, 1, 1, 1)
    monkeypatch.setattr(sys, "argv", ["liver", "--table", str(file)])
    liver.main()
    assert capsys.readouterr().out.splitlines() == printed[1:]
