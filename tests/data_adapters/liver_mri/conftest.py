"""The pipelines on the liver adapter, with a threshold in place of a network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from transect.apps.base import App
from transect.data_adapters.liver_mri.adapter import LiverAdapter
from transect.data_adapters.liver_mri.config import WriteConfig
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.volume.config import VolumeConfig
from transect.pipelines import check as checking
from transect.pipelines.check import Checked
from transect.pipelines.model_folder import Model
from transect.pipelines.predict import predict_cases
from transect.pipelines.results import Outcome


class Threshold(App[Any, Any]):
    """Liver is what is brighter than the mean in the middle of the volume."""

    def __init__(self, **read: Any) -> None:
        super().__init__(WriteConfig(rtstruct=True), WriteConfig())
        self.adapter = LiverAdapter(VolumeConfig(**read), self.config)

    def predict(self, model, sample):
        values = sample.volume.values
        middle = tuple(slice(n // 3, n - n // 3) for n in values.shape)
        bright = np.zeros(values.shape, np.float32)
        bright[middle] = values[middle] > values.mean()
        return Segmentation(sample.volume, iter([Slab(0, bright, bright, bright)]))

    def model(self):
        return nn.Linear(1, 1)

    def dataset(self, cases):
        raise NotImplementedError

    loss = dataset


Threshold.__module__ = "transect.apps.liver_mri.threshold"


@pytest.fixture
def predicted():
    """Predicts all cases of `inputs` into a folder."""

    def run(out: Path, *inputs: Path, **read: Any) -> list[Outcome]:
        app = Threshold(**read)
        model = Model("threshold", Path(), "0" * 64, app, app.model())
        return predict_cases(model, list(map(str, inputs)), out)

    return run


@pytest.fixture
def checked(monkeypatch):
    """Checks all cases of `inputs`; returns what was read of them, and the summary."""

    def run(out: Path | None, *inputs: Path, **read: Any) -> tuple[list[Checked], str]:
        monkeypatch.setattr(checking, "_app", lambda *_: Threshold(**read))
        return checking.check("liver_mri", list(map(str, inputs)), out)

    return run
