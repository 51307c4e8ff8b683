"""An app's name in the place of a model, for models that need no training."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rasterio

import transect
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_names
from transect.pipelines.predict import predict


def pair(pairs: Path, number: int) -> list[str]:
    return [str(next(pairs.glob(f"*/{side}/*_{number}.png"))) for side in "AB"]


@pytest.mark.parametrize("name", ["irmad", "cva"])
def test_a_model_without_parameters_predicts_from_the_command_line(name, pairs, command, tmp_path):
    out = tmp_path / "change_detection"
    words = ["--out", out, "--model.name", name, "--write_score", "true"]
    status, printed, error = command("predict", "change_detection", *pair(pairs, 1), *words)
    assert status == 0, error
    assert "1 done, 0 failed" in printed
    (done,) = out.glob("*/done.json")
    facts = json.loads(done.read_text())["facts"]
    assert "iterations; correlations" in facts["no_change"]
    assert 0 < facts["changed_percent"] < 50
    with rasterio.open(done.parent / "mask.tif") as mask, rasterio.open(done.parent / "score.tif") as score:
        assert mask.tags()["no_change"] == facts["no_change"]
        assert ((score.read() >= 100) == (mask.read() == 1)).all()
    again = command("predict", "change_detection", *pair(pairs, 1), *words)
    assert "1 of 1 cases are already done" in again[2]
    other = command("predict", "change_detection", *pair(pairs, 1), *words, "--model.statistical.noise", "40")
    assert other[0] == 2
    assert "found results of another run" in other[2]


def test_two_sentinel_2_products_are_predicted_at_10_m(shared_file, command, tmp_path):
    script = shared_file("cases/change_detection/05_safe_folder.py")
    subprocess.run([sys.executable, script, tmp_path / "products"], check=True)
    words = ["--out", tmp_path / "out", "--model.name", "cva", "--read.bands", "red,nir,swir1", "--pictures", "none"]
    products = sorted((tmp_path / "products").glob("*.SAFE"))
    status, printed, error = command("predict", "change_detection", *products, *words)
    assert status == 0, error
    assert "1 done, 0 failed" in printed
    (mask,) = (tmp_path / "out").glob("*/mask.tif")
    with rasterio.open(mask) as dataset:
        assert (dataset.shape, dataset.res) == ((256, 256), (10, 10))


def test_it_is_evaluated_as_a_trained_one_is(pairs, command, tmp_path):
    words = ["--data", pairs, "--out", tmp_path / "out", "--model.name", "cva", "--pictures", "none"]
    status, printed, error = command("evaluate", "change_detection", *words)
    assert status == 0, error
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0 < metrics["summary"]["f1"] < 1
    assert f"{metrics['summary']['f1']:.4f}" in printed


def test_worker_processes_build_it_from_its_settings(pairs, tmp_path):
    inputs = tmp_path / "pairs.csv"
    with inputs.open("w", newline="") as file:
        csv.writer(file).writerows([["before", "after"], pair(pairs, 1), pair(pairs, 2)])
    overrides = ["--model.name", "cva", "--model.statistical.noise", "5"]
    alone = predict("change_detection", [str(inputs)], tmp_path / "alone", overrides)
    shared = predict("change_detection", [str(inputs)], tmp_path / "shared", overrides, workers=2)
    assert [outcome.status for outcome in alone + shared] == ["done"] * 4, shared
    for path in (tmp_path / "alone").glob("*/mask.tif"):
        other = tmp_path / "shared" / path.relative_to(tmp_path / "alone")
        assert path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("name", app_names())
def test_an_app_whose_model_learns_is_refused_with_what_to_do(name):
    with pytest.raises(UsageError, match=f"has to be trained, .* transect train {name} --data DIR"):
        model_folder.load(name)


def test_a_model_folder_named_as_an_app_is_that_model(untrained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink(untrained, tmp_path / "change_detection")
    assert model_folder.load("change_detection").folder == Path("change_detection")


def test_the_python_interface_takes_it_too():
    model = transect.load("change_detection", {"model.name": "cva"})
    assert model.model.app.config.model.name == "cva"
    assert model.model.device.type == "cpu"


def test_training_it_is_refused_before_a_run_is_opened(pairs, command, workplace):
    status, _, error = command("train", "change_detection", "--data", pairs, "--model.name", "irmad")
    assert status == 1
    assert "model.name: found irmad, expected a model that learns; it needs no training: transect predict" in error
