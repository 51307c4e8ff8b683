"""Bird's-eye-view maps of vehicles, road and lanes from the cameras of any rig."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from transect.apps.base import App, Contribution, Export, Picture, View
from transect.apps.bev.augment import augment
from transect.apps.bev.charts import charts
from transect.apps.bev.config import Config, State
from transect.apps.bev.dataset import TrainingSamples
from transect.apps.bev.export import export as network_export
from transect.apps.bev.faults import faulty
from transect.apps.bev.figures import MapPreview
from transect.apps.bev.film import join_drive
from transect.apps.bev.inference import class_probabilities
from transect.apps.bev.losses import map_loss
from transect.apps.bev.metrics import BevMetric
from transect.apps.bev.models.build import build
from transect.apps.bev.rig_facts import compared, learned, merged
from transect.apps.bev.weights import from_reference, load_reference
from transect.data_adapters.base import Case
from transect.data_adapters.bev.adapter import BevAdapter
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Frame, FrameCase
from transect.data_adapters.settings import require, require_same

OPENED = 64
"""Number of training samples whose rig is read."""


class BirdsEyeView(App[Frame, BevMap]):
    """Maps of vehicles, road and lanes around a vehicle from the images of its calibrated cameras."""

    joined = "drives"

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        trained = len(self.state.thresholds) in (0, len(config.classes))
        require(trained, "classes", config.classes, f"{len(self.state.thresholds)}, as the model was trained")
        self.adapter: BevAdapter = BevAdapter(config.read, config.write, config.phantom)
        self.metric: BevMetric = BevMetric(config.classes, self.thresholds, self.state)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Probability from which a pixel is of each class."""
        if self.config.thresholds is not None:
            return self.config.thresholds
        return self.state.thresholds or (0.5,) * len(self.config.classes)

    def fit(self, cases: Sequence[Case]) -> State:
        """The cameras of the training rigs; at most OPENED samples are read."""
        frames = _frames(cases)
        chosen = np.unique(np.linspace(0, len(frames) - 1, OPENED).astype(int))
        return learned(self.adapter.read(frames[index]) for index in chosen)

    def compare(self, sample: Frame) -> list[str]:
        """Another number, height, tilt, field of view or arrangement of cameras than in the training data."""
        return compared(sample, self.state)

    def model(self) -> nn.Module:
        model = build(self.config.model, self.config.read, channels=len(self.config.outputs))
        return model.to(memory_format=torch.channels_last)  # as a loaded model, so that both give the same bits

    def dataset(self, cases: Sequence[Case]) -> TrainingSamples:
        return TrainingSamples(_frames(cases), self.adapter.read, self.config)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        views = int(batch["present"].any(dim=0).sum())  # the views of a sample come before its padding
        names = ("images", "intrinsics", "camera_to_ego", "present")
        batch = batch | {name: batch[name][:, :views] for name in names}
        batch["images"] = batch["images"].float() / 255
        batch["known"] = torch.ones_like(batch["visibility"], dtype=torch.bool)
        if model.training:
            batch = augment(batch, self.config.augment)
        logits = model(*(batch[name] for name in names))
        masks, center, visibility, known = (batch[name] for name in ("masks", "center", "visibility", "known"))
        return map_loss(logits, masks, center, visibility, known, self.config.classes)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Biases and normalization have no weight decay."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return [
            {"params": [parameter for parameter in parameters if parameter.ndim >= 2]},
            {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay_scale": 0.0},
        ]

    def predict(self, model: nn.Module, sample: Frame) -> BevMap:
        sample = faulty(sample, self.config.faults)
        probability = class_probabilities(model, sample, self.config)
        return BevMap(sample, self.config.classes, probability, np.array(self.thresholds))

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble: the mean of the members' thresholds, and the rigs of the training data of all."""
        require_same([member.config for member in members], "classes")
        require_same([member.config.read for member in members], "grid")
        thresholds = np.mean([member.thresholds for member in members], axis=0).round(2)
        state = merged([member.state for member in members], tuple(map(float, thresholds)))
        return cls(replace(members[0].config, thresholds=None), state)

    def average(self, predictions: Sequence[BevMap]) -> BevMap:
        """The mean of the members' probabilities, with their standard deviation."""
        grids = [prediction.frame.grid for prediction in predictions]
        require(grids.count(grids[0]) == len(grids), "read.grid", grids, "the same for each member of the ensemble")
        every = np.stack([prediction.probability for prediction in predictions])
        spread = every.std(axis=0, ddof=1) if len(predictions) > 1 else None
        return replace(
            predictions[0], probability=every.mean(axis=0), threshold=np.array(self.thresholds), spread=spread
        )

    def preview(self, prediction: BevMap, sample: Frame, labels: bool) -> MapPreview:
        return MapPreview(prediction, labels)

    def join(self, group: str, folders: Sequence[Path], folder: Path) -> list[View]:
        return join_drive(group, folders, folder)

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        return charts(self.metric.totals(contributions), self.thresholds, self.config.read.grid)

    def export(self) -> Export:
        return network_export(self.config, self.thresholds)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        config, model = from_reference(load_reference(file), source=file)
        return cls(config), model


def _frames(cases: Sequence[Case]) -> list[FrameCase]:
    return [case for case in cases if isinstance(case, FrameCase)]
