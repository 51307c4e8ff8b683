"""The change detection app: tiled prediction blended into a change map, one confusion matrix per split."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from transect.apps.base import App, Contribution, Picture, View
from transect.apps.change_detection.augment import augment
from transect.apps.change_detection.calibration import by_level, mean_probabilities
from transect.apps.change_detection.charts import reliability_chart, transition_chart
from transect.apps.change_detection.config import Config, State
from transect.apps.change_detection.dataset import TrainingTiles, trainable
from transect.apps.change_detection.faults import misregistered
from transect.apps.change_detection.figures import MapPreview
from transect.apps.change_detection.inference import Tiling, average, score_rows
from transect.apps.change_detection.losses import change_loss
from transect.apps.change_detection.map_view import map_view
from transect.apps.change_detection.metrics import ChangeMetric, totals
from transect.apps.change_detection.models.build import build, statistical
from transect.apps.change_detection.models.config import ModelConfig
from transect.apps.change_detection.models.detector import ChangeDetector
from transect.apps.change_detection.models.statistical import StatisticalDetector
from transect.apps.change_detection.prepare import network_input, normalise, value_limits
from transect.apps.change_detection.training_data import dark, described, differences
from transect.core.precision import autocast
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.change_detection.adapter import ChangeAdapter
from transect.data_adapters.change_detection.maps import ChangeMap, ScoredStrip
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.overlap import prefetch
from transect.data_adapters.settings import require

NAMED = ("dtypes", "sensors", "bands", "units")
"""Fields of the state that list what occurs in the training data."""

log = logging.getLogger("transect")

OPENED = 256
"""Number of training pairs whose geometry is read."""


class ChangeDetection(App[Scene, ChangeMap]):
    """Detects the pixels that changed between two co-registered images of different dates."""

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        self.threshold = self.state.threshold if config.threshold is None else config.threshold
        self.adapter: ChangeAdapter = ChangeAdapter(config.read, config.phantom, config.polygons)
        self.metric: ChangeMetric = ChangeMetric(self.threshold, self.state)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published CDMaskFormer checkpoint, with the paper's settings."""
        from transect.apps.change_detection.weights import config_from_reference, from_reference, load_reference

        state = load_reference(file)
        config = Config(
            model=ModelConfig(name="cdmaskformer", cdmaskformer=config_from_reference(state, source=file)),
            stretch="none",
        )
        return cls(config), from_reference(state)

    def fit(self, cases: Sequence[Case]) -> State:
        """What the training pairs are like; at most OPENED of them are opened."""
        if statistical(self.config.model):
            advice = "it needs no training: transect predict change_detection BEFORE AFTER --out DIR --model.name "
            name = self.config.model.name
            raise BadInput("settings", "model.name", name, "a model that learns", advice + name)
        pairs = trainable(cases)
        chosen = [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, OPENED).astype(int))]
        scenes = [self.adapter.read(pair) for pair in chosen]
        if self.config.stretch == "none":
            for line in dark(scenes[0]):
                log.warning("training pair %s: %s", chosen[0].id, line)
        return described(self.state, scenes)

    def compare(self, sample: Scene) -> list[str]:
        """How a pair differs from the training pairs, and whether its values suit the stretch."""
        return differences(self.state, sample, self.config.stretch)

    def model(self) -> nn.Module:
        return statistical(self.config.model) or build(self.config.model, channels=len(self.config.read.bands))

    def dataset(self, cases: Sequence[Case]) -> TrainingTiles:
        config = self.config
        return TrainingTiles(trainable(cases), config.tile, self._limits, self.adapter.read, config.tiles_per_epoch)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        before, after, label = batch["before"], batch["after"], batch["label"]
        if model.training:
            before, after, label = augment(before, after, label, self.config.augment)
        return change_loss(model(normalise(before), normalise(after)), label)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """CDMaskFormer's recipe: its backbone learns 5 times as fast with a fifth of the decay; biases never decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                key = (name.startswith("backbone."), parameter.ndim < 2 or "bias" in name)
                groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": parameters,
                "learning_rate_scale": 5.0 if backbone else 1.0,
                "weight_decay_scale": 0.0 if undecayed else 0.2 if backbone else 1.0,
            }
            for (backbone, undecayed), parameters in groups.items()
        ]

    def predict(self, model: nn.Module, sample: Scene) -> ChangeMap:
        sample = misregistered(sample, self.config.faults.shift)
        if isinstance(model, StatisticalDetector):
            return self._detect(model, sample)
        limits = self._limits(sample)
        tiling = Tiling(self.config.tile, self.config.overlap)

        def score(before: np.ndarray, after: np.ndarray, valid: np.ndarray) -> np.ndarray:
            scores = self._score(model, before, after, valid, limits)
            if not np.isfinite(scores).all() and not np.isfinite(scores[valid]).all():
                advice = "set precision fp32, or train the model again"
                raise BadInput(sample.before[0], "prediction", "scores that are not finite", "numbers", advice)
            return scores

        def blocks() -> Iterator[ScoredStrip]:
            grid = sample.grid
            pairs = prefetch(sample.strips())
            for strip, levels in score_rows(pairs, grid.height, grid.width, tiling, score, self.config.tiles_per_batch):
                prediction.progress = (strip.row + len(levels)) / grid.height
                yield ScoredStrip(strip.row, levels, pixels=strip)

        prediction = self._map(sample, blocks())
        return prediction

    def _detect(self, model: StatisticalDetector, sample: Scene) -> ChangeMap:
        """The map of a model that needs no training; the scene is read here, and once more with the blocks."""
        fitted = model.fit(sample)
        log.info("%s: %s: %s", sample.after[0], self.config.model.name, fitted.note)

        def blocks() -> Iterator[ScoredStrip]:
            for strip, levels in model.levels(sample, fitted):
                prediction.progress = (strip.row + len(levels)) / sample.grid.height
                yield ScoredStrip(strip.row, levels, pixels=strip)

        prediction = self._map(sample, blocks())
        prediction.facts["no_change"] = prediction.tags["no_change"] = fitted.note
        return prediction

    def _map(self, sample: Scene, blocks: Iterator[ScoredStrip]) -> ChangeMap:
        return ChangeMap(
            grid=sample.grid,
            blocks=blocks,
            threshold=self.threshold,
            dates=sample.dates,
            write_score=self.config.write_score,
            probabilities=by_level(self.state.probabilities),
            tags={"subpixel_offset": "{:.3f} {:.3f}".format(*sample.offset)},
            warnings=sample.notes,  # before the blocks are read, so that undeclared fill is left out
        )

    def _limits(self, sample: Scene) -> np.ndarray:
        return value_limits(sample, self.config.stretch, self.state.limits)

    def _score(
        self, model: nn.Module, before: np.ndarray, after: np.ndarray, valid: np.ndarray, limits: np.ndarray
    ) -> np.ndarray:
        device = next(model.parameters()).device
        images = [
            network_input(values, valid, of_date).to(device)
            for values, of_date in zip((before, after), limits, strict=True)
        ]
        with torch.inference_mode(), autocast(self.config.precision, device):
            scores = cast(ChangeDetector, model).score(*images)
        return scores.float().cpu().numpy()

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble: the mean of the members' thresholds, and what the training data of all of them are like."""
        states = [member.state for member in members]
        sizes = [size for state in states for size in state.pixel_sizes]
        state = State(
            threshold=float(np.mean([member.threshold for member in members])),
            pixel_sizes=(min(sizes), max(sizes)) if sizes else (),
            **{name: tuple(sorted({each for state in states for each in getattr(state, name)})) for name in NAMED},
            probabilities=mean_probabilities([state.probabilities for state in states]),
        )
        return cls(replace(members[0].config, threshold=None), state)

    def average(self, predictions: Sequence[ChangeMap]) -> ChangeMap:
        first = predictions[0]
        grids = [prediction.grid for prediction in predictions]
        require(grids.count(grids[0]) == len(grids), "grid", grids, "the same for each member of the ensemble")

        def blocks() -> Iterator[ScoredStrip]:
            for strip in average([prediction.blocks for prediction in predictions]):
                mean.progress = first.progress
                yield strip

        mean = replace(first, blocks=blocks(), threshold=self.threshold, write_spread=True)
        mean.probabilities = by_level(self.state.probabilities)
        return mean

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        """The reliability of the probabilities over all labelled pixels, and the recall by transition of land cover."""
        by_transition = transition_chart(self.metric.recall_by_transition(contributions))
        return reliability_chart(*totals(contributions), self.metric.probabilities) | by_transition

    def preview(self, prediction: ChangeMap, sample: Scene, labels: bool) -> MapPreview:
        return MapPreview(sample, prediction.threshold_level, labels)

    def views(self, prediction: ChangeMap, sample: Scene, folder: Path) -> list[View]:
        # An evaluation pictures predictions that it does not write.
        return [map_view(prediction, folder)] if (folder / "changes.gpkg").is_file() else []
