"""Pictures of attention in a real store."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from torch import nn

from core.attention import AxialAttention
from core.inspect import attention_pictures, record
from pipelines import config
from pipelines.find import UsageError, app_class
from pipelines.track import log_pictures, use_experiment
from pipelines.train import show_attention


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
