"""The contract that every app fulfils: what a model of its domain is trained on, scored by and used for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Dataset, DistributedSampler, Sampler

from transect.data_adapters.base import Adapter, BadInput, Case

Sample = TypeVar("Sample")
Prediction = TypeVar("Prediction")


class App(ABC, Generic[Sample, Prediction]):
    """One domain's task, built from its configuration, a dataclass that needs no torch.

    Validation, the choice of a checkpoint and evaluation all go through `predict`, `measure` and `summary`: the
    number that picks a model is the number that is reported.
    """

    adapter: Adapter[Any, Sample, Prediction]
    goal: str  # the key of `summary` that picks the checkpoint; larger is better

    def __init__(self, config: Any) -> None:
        self.config = config

    def divided(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The cases as training and evaluation take them: parts of those that a split may go through, no group cut."""
        return cases

    def fitted(self, cases: Sequence[Case]) -> Self:
        """This app with whatever it takes from the training cases before a model is made, such as their statistics."""
        return self

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model in training mode."""

    def started_from(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """A model in training mode that starts from the weights of another of this app.

        Raises:
            RuntimeError: they do not fit.
        """
        model = self.model()
        model.load_state_dict(dict(weights))
        return model

    @abstractmethod
    def examples(self, cases: Sequence[Case]) -> Dataset[Any]:
        """What one training step sees of `cases`: tiles, slices or windows, read lazily and without chance."""

    def batches(self, examples: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """The indices of each step's examples: all of them once an epoch, in a new order, by default.

        The order follows from `seed` and the epoch, which `set_epoch` of its `sampler` tells.
        """
        order: DistributedSampler[Any] = DistributedSampler(examples, num_replicas=1, rank=0, seed=seed)
        return BatchSampler(order, size, drop_last=len(order) > size)

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The scalar loss of a collated batch of examples; random augmentation happens here, from torch's generator."""

    @abstractmethod
    def predict(self, model: nn.Module, sample: Sample) -> Prediction:
        """The prediction for a whole sample: windows, blending and thresholds included.

        It may be lazy, to be drained once, and have `progress`, the finished share, for display.
        """

    @abstractmethod
    def measure(self, prediction: Prediction, sample: Sample) -> dict[str, Any]:
        """What one case adds to the score, as plain numbers or lists; drains a lazy `prediction`."""

    @abstractmethod
    def summary(self, measures: Sequence[dict[str, Any]]) -> dict[str, float]:
        """The field's metrics over many cases, with their units in the names where they have any."""

    def calibrate(self, measures: Sequence[dict[str, Any]]) -> Self:
        """This app with whatever is chosen on validation, such as a threshold, set to its best."""
        return self

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser, with their own `lr` or `weight_decay` where they differ."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def figures(self, prediction: Prediction, sample: Sample) -> dict[str, NDArray[np.uint8]]:
        """Pictures of a drained prediction by name, uint8 (height, width, 3), all of one size, the input first.

        One with a fourth axis in front, (frames, height, width, 3), moves.
        """
        return {}

    def charts(self, measures: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.uint8]]:
        """Pictures of what many cases measured, by name, uint8 (height, width, 3), of any sizes."""
        return {}

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model that a published checkpoint of this app's reference implementation holds.

        Raises:
            BadInput: no checkpoints are published for this app, or `file` is not one of them.
        """
        raise BadInput(file, "weights", "a checkpoint for an app without published weights", "a trained model")
