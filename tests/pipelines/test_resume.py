"""Resumed, extended and repaired runs give the result of an uninterrupted one, and what cannot be resumed is named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.test_new_app import folder  # noqa: F401

WALK = """
import contextlib, hashlib, io, json, logging, pathlib
from transect.pipelines.cli import main

def transect(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words.split())
        except SystemExit as ended:
            status = ended.code
    words = out.getvalue().split()
    return {"status": status, "run": words[1] if words[:1] == ["run"] else None, "log": err.getvalue()}

def train(settings):
    common = "--train.learning_rate 0.2 --train.batch_size 2 --train.precision fp32"
    return transect(f"train line --data data {common} {settings}")

def resume(run, settings=""):
    return transect(f"train line --resume {run} {settings}")

def truncate(run, *names):
    for name in names:
        file = pathlib.Path("checkpoints", run, name)
        file.write_bytes(file.read_bytes()[:1000])

def state(run):
    run_data = client.get_run(run)
    weights = pathlib.Path("checkpoints", run, "model", "model.safetensors").read_bytes()
    history = {
        name: [(point.step, point.value) for point in client.get_metric_history(run, name)]
        for name in ("train/loss", "train/learning_rate", "val/negative_error")
    }
    return {
        "weights": hashlib.sha256(weights).hexdigest(),
        "history": history,
        "models": len(run_data.outputs.model_outputs),
        "name": run_data.info.run_name,
        "tags": run_data.data.tags,
    }

transect("phantom line --out data --count 12")
report = {"whole": train("--train.decay_power 0 --train.epochs 6")}
from mlflow import MlflowClient
from transect.pipelines import model_folder
client = MlflowClient()
report["whole_state"] = state(whole := report["whole"]["run"])

report["short"] = train("--train.decay_power 0 --train.epochs 2")
extended = report["short"]["run"]
report["short_state"] = state(extended)
report["extension"] = resume(extended, "--train.epochs 6")
report["extended_state"] = state(extended)
logged = model_folder.find(f"runs:/{extended}/model") / "model.safetensors"
report["logged_weights"] = hashlib.sha256(logged.read_bytes()).hexdigest()
report["again"] = resume(extended)
report["again_state"] = state(extended)
report["fewer"] = resume(extended, "--train.epochs 3")

repaired = train("--train.decay_power 0 --train.epochs 2")["run"]
truncate(repaired, "last.ckpt")
report["repair"] = resume(repaired, "--train.epochs 6")
report["repaired_state"] = state(repaired)
truncate(repaired, "best.ckpt")
report["beyond_repair"] = resume(repaired)

decaying = train("--train.decay_power 0.5 --train.epochs 2")["run"]
report["decaying_state"] = state(decaying)
report["decaying"] = resume(decaying, "--train.epochs 6")
client.delete_run(decaying)
report["deleted"] = resume(decaying)

stopped = train("--train.decay_power 0 --train.epochs 9 --train.patience 1")["run"]
report["stopped_state"] = state(stopped)
report["stopped"] = resume(stopped, "--train.epochs 12")
report["resumed_state"] = state(stopped)

experiment = client.get_run(whole).info.experiment_id
report["other_app"] = resume(client.create_run(experiment, tags={"transect.app": "pde"}).info.run_id)
evaluation = client.create_run(experiment, tags={"transect.app": "line", "transect.kind": "evaluation"})
report["evaluation"] = resume(evaluation.info.run_id)
pathlib.Path("checkpoints", extended, "training.yaml").write_text("data: [")
report["settings"] = resume(extended)

pathlib.Path("other").mkdir()
pathlib.Path("data/test").rename("other/test")
def extent():
    return len(client.search_runs([experiment])), len(list(pathlib.Path("checkpoints").iterdir()))

before = extent()
report["no_training"] = transect("train line --data other")
report["nothing_new"] = extent() == before
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:  # noqa: F811
    """What each step of the walk printed and left in the store; it is one process, which imports everything once."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(folder)
    done = subprocess.run([sys.executable, "-c", WALK], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_extended_run_equals_one_that_was_asked_for_as_many_epochs_at_first(report):
    whole, short, extended = (report[f"{name}_state"] for name in ("whole", "short", "extended"))
    assert short["weights"] != whole["weights"]
    assert extended["weights"] == whole["weights"]
    assert extended["history"] == whole["history"]
    assert len(whole["history"]["train/learning_rate"]) == 6
    assert extended["tags"]["transect.epochs"] == "6"
    assert "epoch 3 of 6" in report["extension"]["log"]
    assert "epoch 2 of 6" not in report["extension"]["log"], "what was trained is not trained again"


def test_a_model_is_logged_once_and_not_by_every_attempt(report):
    models = [report[f"{name}_state"]["models"] for name in ("whole", "short", "extended", "again")]
    assert models == [1, 1, 2, 2]
    assert report["logged_weights"] == report["extended_state"]["weights"]


def test_a_run_goes_on_from_its_best_epoch_where_the_last_checkpoint_is_damaged(report):
    assert report["repaired_state"]["weights"] == report["whole_state"]["weights"]
    assert report["repaired_state"]["history"] == report["whole_state"]["history"]
    assert "last.ckpt: found a file that cannot be read" in report["repair"]["log"]
    assert "continuing from epoch 1 in" in report["repair"]["log"]


def test_a_run_that_had_stopped_early_is_not_trained_further(report):
    for key in ("weights", "history", "models"):
        assert report["resumed_state"][key] == report["stopped_state"][key]
    assert "without improvement (train.patience)" in report["stopped"]["log"]


def test_the_logged_learning_rate_is_the_one_of_its_epoch(report):
    assert report["decaying_state"]["history"]["train/learning_rate"] == [[0, 0.2], [1, pytest.approx(0.2 * 0.5**0.5)]]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("fewer", "train.epochs: found 3, expected at least the 6 of the run"),
        ("decaying", "its learning rate decays to zero over them (train.decay_power 0.5)"),
        ("beyond_repair", "best.ckpt: found a file that cannot be read"),
        ("deleted", "found it deleted"),
        ("other_app", "found a run of pde, expected one of line"),
        ("evaluation", "found an evaluation, expected a training"),
        ("settings", "training.yaml: "),
        ("no_training", "found 0 training and 0 validation cases"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(report, step, message):
    assert (report[step]["status"], report[step]["run"]) == (2, None)
    assert message in report[step]["log"]
    assert len(report[step]["log"].splitlines()) == 1


def test_a_run_is_opened_when_the_data_are_there_and_named_at_once(report):
    assert report["nothing_new"]
    lines = [line.split(maxsplit=1)[1] for line in report["whole"]["log"].splitlines()[:5]]
    assert lines[:3] == ["4 training, 4 validation, 4 test cases, from names", "groups: 12", "files: 12 .csv"]
    assert lines[3] == f"run {report['whole']['run']}, {report['whole_state']['name']}"
    assert lines[4].startswith("epoch 1 of 6")
    stem, _, number = report["whole_state"]["name"].rpartition("-")
    assert stem.startswith("line-20")
    assert report["short_state"]["name"] == f"{stem}-{int(number) + 1}"
