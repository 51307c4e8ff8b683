"""Training: resumed runs give the same result, runs are logged completely, and the test split is never read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch
import yaml
from mlflow import MlflowClient
from safetensors.torch import load_file

from transect.data_adapters.base import Case
from transect.pipelines.splits import summary, with_splits


@pytest.fixture
def client(workplace: Path) -> MlflowClient:
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    return MlflowClient()


def history(client: MlflowClient, run: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run, name)]


def test_a_run_logs_settings_data_metrics_and_pictures(trained, pairs, client):
    run = client.get_run(trained[0])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.encoder"] == "timm-mobilenetv3_small_minimal_100"
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["data.train_cases"] == str(len(list((pairs / "train" / "A").iterdir())))
    assert run.inputs.dataset_inputs[0].dataset.name == "pairs"
    assert len(run.inputs.dataset_inputs[0].dataset.digest) == 36
    assert "torch 2" in run.data.tags["transect.packages"]
    assert len(history(client, trained[0], "val/f1")) == 2
    steps = [step for step, _ in history(client, trained[0], "train/loss")]
    assert steps == list(range(len(steps)))
    images = [artifact.path for artifact in client.list_artifacts(trained[0], "images")]
    assert any("validation" in path for path in images)
    experiment = client.get_experiment(run.info.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_model_folder_is_settings_weights_and_a_card(trained):
    folder = trained[1]
    files = ["card.md", "config.yaml", "model.safetensors", "state.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    state = json.loads((folder / "state.json").read_text())
    assert settings["app"] == "change_detection"
    best = torch.load(folder.parent / "best.ckpt", weights_only=True)
    assert settings["threshold"] is best["app_config"]["threshold"] is None
    assert state["threshold"] == best["app_state"]["threshold"]
    weights = load_file(folder / "model.safetensors")
    for name, tensor in weights.items():
        assert torch.equal(tensor, best["state_dict"][f"model.{name}"])


def test_an_evaluation_is_linked_to_its_model_and_to_the_run_that_trained_it(
    trained, champion, pairs, client, transect, tmp_path
):
    done = transect("evaluate", champion, "--data", pairs, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    run = client.get_run(json.loads((tmp_path / "out" / "run.json").read_text())["run"])
    (trained_model,) = client.get_run(trained[0]).outputs.model_outputs
    assert [model.model_id for model in run.inputs.model_inputs] == [trained_model.model_id]
    assert run.data.tags["transect.training_run"] == trained[0]
    version = client.get_model_version_by_alias("tiny", "champion").version
    assert run.data.tags["transect.model_version"] == f"tiny/{version}"
    assert f"runs/{trained[0]})" in run.data.tags["mlflow.note.content"]


def test_a_killed_run_resumes_to_the_result_of_the_unbroken_one(trained, pairs, workplace, transect, client, tiny):
    """Killed after the first of its two epochs."""
    whole_run = trained[0]
    known = set(os.listdir(workplace / "checkpoints"))
    command = [sys.executable, "-m", "transect.pipelines.cli", "train", "change_detection", "--data", str(pairs), *tiny]
    process = subprocess.Popen(command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    broken_run = ""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        new = set(os.listdir(workplace / "checkpoints")) - known
        if new:
            broken_run = new.pop()
            if (workplace / "checkpoints" / broken_run / "last.ckpt").is_file():
                break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert client.get_run(broken_run).info.status == "RUNNING"

    resumed = transect("train", "change_detection", "--resume", broken_run)
    assert resumed.returncode == 0, resumed.stderr
    expected, actual = (
        load_file(workplace / "checkpoints" / run / "model" / "model.safetensors") for run in (whole_run, broken_run)
    )
    assert expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    for name in ("train/loss", "val/f1", "train/epoch_loss"):
        assert history(client, broken_run, name) == history(client, whole_run, name)


def test_a_terminated_run_says_how_to_resume(pairs, workplace, client, tiny):
    known = set(os.listdir(workplace / "checkpoints"))
    command = [sys.executable, "-m", "transect.pipelines.cli", "train", "change_detection", "--data", str(pairs), *tiny]
    process = subprocess.Popen(
        [*command, "--train.epochs", "500"], cwd=workplace, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while not (new := set(os.listdir(workplace / "checkpoints")) - known) or not list(
        (workplace / "checkpoints" / next(iter(new))).glob("last.ckpt")
    ):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.terminate()
    _, log = process.communicate(timeout=60)
    run = new.pop()
    assert process.returncode == 143
    assert f"--resume {run}" in log
    assert client.get_run(run).info.status == "KILLED"


def test_the_test_split_is_never_opened(pairs, tmp_path, transect, tiny):
    data = tmp_path / "pairs"
    shutil.copytree(pairs, data)
    for image in (data / "test").rglob("*.png"):
        image.write_bytes(b"not an image")
    done = transect("train", "change_detection", "--data", data, *tiny, "--train.epochs", "1")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "0" * 32], "run 00000000000000000000000000000000: not found"),
        (["--data", "nowhere"], "nowhere"),
        ([], "--data"),
    ],
)
def test_what_cannot_be_trained_is_reported_on_one_line(transect, arguments, message):
    done = transect("train", "change_detection", *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def case(name: str, split: str = "") -> Case:
    return Case(name, name.partition("-")[0], (), split)


def test_splits_never_cut_a_group():
    cases = with_splits([case(f"{group}-{tile}") for group in "abcdefghij" for tile in range(4)], 0.2, 0)
    splits = {group: {c.split for c in cases if c.group == group} for group in "abcdefghij"}
    assert all(len(names) == 1 for names in splits.values())
    assert sum(names == {"val"} for names in splits.values()) == 2


def test_splits_of_the_data_set_stand():
    given = [case("a", "train"), case("b", "val"), case("c", "test")]
    assert with_splits(given, 0.5, 0) == given


def test_a_missing_validation_split_is_taken_from_training_alone():
    given = [case(name, "train") for name in "abcdef"] + [case("t", "test")]
    cases = with_splits(given, 0.34, 1)
    assert [c.split for c in cases if c.id == "t"] == ["test"]
    assert sum(c.split == "val" for c in cases) == 2
    more = with_splits([*given, case("z", "train")], 0.34, 1)
    assert {c.id for c in more if c.split == "val"} & {c.id for c in cases if c.split == "val"}


def test_folds_hold_out_every_group_once():
    given = [case(f"{group}-{tile}") for group in "abcdefg" for tile in range(2)]
    folds = [{each.group for each in with_splits(given, 0.3, 0, fold) if each.split == "val"} for fold in range(4)]
    assert [len(fold) for fold in folds] == [2, 2, 2, 1]
    assert set.union(*folds) == set("abcdefg")
    with pytest.raises(ValueError, match=r"train\.fold: found 4, expected less than 4"):
        with_splits(given, 0.3, 0, 4)
    with pytest.raises(ValueError, match=r"train\.fold: found 1, expected 0: the data set names its validation split"):
        with_splits([case("a", "train"), case("b", "val")], 0.3, 0, 1)


def test_a_summary_counts_splits_groups_and_files_and_says_where_splits_come_from(tmp_path):
    (tmp_path / "a.png").touch()
    files = (str(tmp_path / "a.png"), str(tmp_path / "b.PNG"), "s3://bucket/c.png")
    named = [Case("a", "g", files, "train"), Case("b", "g", files, "val"), case("c", "test"), case("d", "test")]
    assert summary(named, with_splits(named, 0.2, 0), "pairs").splitlines() == [
        "1 training, 1 validation, 2 test pairs, from names",
        "groups: 3, 1 of them in more than one split",
        "files: 2 .png, 1 of them missing",
    ]
    one = [case("a", "train")]
    assert summary([case("a")], one, "studies").startswith("1 training study, no splits named")
    (tmp_path / "v1.0-mini").mkdir()
    folders = [Case(name, name, (str(tmp_path / "v1.0-mini"), str(tmp_path)), "train") for name in "ab"]
    assert summary(folders, folders).splitlines()[2] == "files: 2 folders"
    drawn = "validation drawn from the training groups by train.validation_share"
    for listed, source in (([case(name) for name in "abc"], drawn), (named[:1] + named[2:], f"from names, {drawn}")):
        extra = [case("e", "train")] if listed[0].split else []
        first = summary([*listed, *extra], with_splits([*listed, *extra], 0.2, 0)).splitlines()[0]
        assert first.endswith(f" cases, {source}")
