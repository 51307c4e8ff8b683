"""Pictures in a tracking store: attention maps, validation pictures and animations."""

import sys
from pathlib import Path

import lightning.pytorch as lightning
import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image, ImageSequence
from torch import nn

from transect.core.attention import AxialAttention
from transect.core.inspect import attention_pictures, record
from transect.data_adapters.base import Case
from transect.pipelines import config
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class
from transect.pipelines.pictures import save_pictures
from transect.pipelines.store import use_experiment
from transect.pipelines.task import Task
from transect.pipelines.track import Tracker, fingerprint, log_pictures, tracked
from transect.pipelines.train import show_attention


def test_attention_pictures_stand_in_the_run_as_they_were_drawn(workplace, tmp_path):
    run = MlflowClient(f"sqlite:///{workplace}/mlflow.db").create_run(use_experiment("inspection")).info.run_id
    model = nn.ModuleDict({"blocks": nn.Sequential(AxialAttention(8, 2))})
    with record(model) as maps:
        model["blocks"](torch.randn(1, 4, 6, 8))
    pictures = attention_pictures(maps)
    log_pictures(run, pictures)
    folder = mlflow.artifacts.download_artifacts(run_id=run, dst_path=str(tmp_path))
    assert "attention/01.blocks.0/query.png" in pictures
    for path, picture in pictures.items():
        assert np.array_equal(np.asarray(Image.open(f"{folder}/{path}").convert("RGB")), picture.numpy())


def test_training_shows_what_a_model_attends_to_in_one_example(workplace, tmp_path):
    app = app_class("change_detection")(config.load("change_detection", None, ["--model.name", "cdmaskformer"]))
    app.adapter.phantom(tmp_path / "pairs", 1, 0)
    run = MlflowClient(f"sqlite:///{workplace}/mlflow.db").create_run(use_experiment("attention")).info.run_id
    show_attention(app, app.model(), app.adapter.cases(str(tmp_path / "pairs")), run)
    folder = mlflow.artifacts.download_artifacts(run_id=run, dst_path=str(tmp_path / "run"))
    pictures = sorted(path.name for path in Path(folder, "attention").glob("*/query.png"))
    assert len(pictures) > 8
    assert Image.open(f"{folder}/attention/entropy.png").size[1] > 8


def test_a_run_that_is_not_there_is_named(workplace):
    with pytest.raises(UsageError, match="run nowhere: not found"):
        log_pictures("nowhere", {})


def animation() -> np.ndarray:
    """Five frames of 6 x 8 pixels, each of a constant grey."""
    return np.full((5, 6, 8, 3), 20, np.uint8) * np.arange(1, 6, dtype=np.uint8)[:, None, None, None]


def test_moving_pictures_are_files_of_all_their_frames(workplace, tmp_path):
    tracker = Tracker("animation")
    still = np.full((6, 8, 3), 7, np.uint8)
    tracker.pictures("validation/case", {"still": still, "film": animation()}, step=3)
    tracker.finish("FINISHED")
    (tmp_path / "out").mkdir()
    assert save_pictures({"still": still, "film": animation()}, tmp_path / "out") == ["still", "film"]
    logged = mlflow.artifacts.download_artifacts(run_id=tracker.run_id, dst_path=str(tmp_path / "run"))
    (gif,) = Path(logged).rglob("*.gif")
    assert gif.name == "film_0003.gif"
    for path in (gif, tmp_path / "out" / "film.png"):
        with Image.open(path) as film:
            greys = [np.asarray(frame.convert("RGB"))[0, 0, 0] for frame in ImageSequence.Iterator(film)]
        assert greys == [20, 40, 60, 80, 100]
    shown = [np.asarray(Image.open(path).convert("RGB")) for path in Path(logged).rglob("*.png")]
    assert any(np.array_equal(picture, still) for picture in shown)


def test_epochs_are_pictured_ever_more_rarely_and_the_last_one_is():
    app = app_class("change_detection")(config.load("change_detection", None, []))
    settings = config.TrainConfig(epochs=20)
    task = Task(app, nn.Identity(), settings, [], tracker=None)
    task.trainer = trainer = lightning.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    pictured = []
    for epoch in range(20):
        trainer.fit_loop.epoch_progress.current.completed = epoch
        if task._logs_pictures:
            pictured.append(epoch + 1)
    assert pictured == [1, 2, 4, 8, 16, 20]


class Patient(Case):
    """A case that hides the part `MRN-00471` of paths and messages."""

    def shown(self, text):
        return text.replace("MRN-00471", "patient-1")


def test_a_run_names_its_data_and_command_as_the_cases_show_them(workplace, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["transect", "train", "--data", "/scans/MRN-00471"])
    with tracked("liver_mri", name="run") as tracker:
        tracker.describe({"a": 1}, [Patient("1", "1", ())], "/scans/MRN-00471", "training", "trained")
    run = tracker.client.get_run(tracker.run_id)
    assert run.data.tags["transect.command"] == "train --data /scans/patient-1"
    assert "on `/scans/patient-1`" in run.data.tags["mlflow.note.content"]
    assert run.inputs.dataset_inputs[0].dataset.name == "patient-1"
    assert b"MRN-00471" not in Path(workplace, "mlflow.db").read_bytes()


def test_the_fingerprint_of_data_changes_with_any_file_of_a_folder(tmp_path):
    study = tmp_path / "study"
    (study / "series").mkdir(parents=True)
    (study / "series" / "1.dcm").write_bytes(b"12")
    case = Case("a", "a", (str(study),))
    first = fingerprint([case])
    assert fingerprint([case]) == first
    (study / "series" / "2.dcm").write_bytes(b"34")
    second = fingerprint([case])
    (study / "series" / "2.dcm").write_bytes(b"345")
    third = fingerprint([case])
    assert len({first, second, third}) == 3
    moved = study.rename(tmp_path / "moved")
    assert fingerprint([Case("a", "a", (str(moved),))]) == third, "it depends on where the data lie"
