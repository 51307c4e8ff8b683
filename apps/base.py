"""The contract that every app implements: the task of one domain, from training examples to pictures of predictions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import BatchSampler, Dataset, DistributedSampler, Sampler

from transect.data_adapters.base import Adapter, BadInput, Case

Sample = TypeVar("Sample")
Prediction = TypeVar("Prediction")
Contribution = dict[str, NDArray[Any]]
"""What one case adds to the metrics: arrays by name."""
Picture = NDArray[np.uint8]
"""uint8 `(height, width, 3)`; `(frames, height, width, 3)` if it moves."""


class Metric(ABC, Generic[Sample, Prediction]):
    """The metrics of a domain. A bootstrap of them only draws weights.

    Attributes:
        monitor: the key of `summary` that selects the checkpoint; larger is better.
    """

    monitor: str

    @abstractmethod
    def contribution(self, prediction: Prediction, sample: Sample) -> Contribution:
        """What one case adds to the metrics; drains the blocks of a lazy prediction.

        Raises:
            BadInput: the sample has nothing to score by.
        """

    @abstractmethod
    def summary(
        self, contributions: Sequence[Contribution], weights: NDArray[np.float64] | None = None
    ) -> dict[str, float]:
        """The metrics over many cases, with units in their names where they have any; NaN where undefined.

        Args:
            contributions: one a case.
            weights: float64 `(cases,)`, how often each case counts; once by default.
        """

    def calibrate(self, contributions: Sequence[Contribution]) -> Any:
        """The app's state with what is chosen on the validation split, such as a threshold; None if nothing is."""
        return None


class Preview(Protocol):
    """Collects what pictures need from the blocks of a prediction, in bounded memory."""

    def add(self, block: Any) -> None:
        """Take in the next block that the writer or the metric drains."""
        ...

    def pictures(self) -> dict[str, Picture]:
        """Pictures by name, the input first; still ones have one size. Called when all blocks are drained."""
        ...


@dataclass(frozen=True)
class View:
    """An interactive picture in a page of its own.

    Args:
        kind: `film` plays the frames of an animated picture, or several pictures of one size. `volume` shows an image
            and a mask on the same grid in three planes (NIfTI, the first two files), and where there are any the mask's
            surface (PLY, in RAS mm) and statistics of it (JSON). `map` lays pictures of one size over each other, with
            polygons on top: the first file has these (JSON, documented in `pipelines/views/page.py`), the others are
            the pictures.
        files: names of the files that it shows, below the folder of the case.
        legend: one line that says what is seen.
        milliseconds: of a frame of a film.
    """

    kind: Literal["film", "map", "volume"]
    files: tuple[str, ...]
    legend: str
    milliseconds: int = 100


@dataclass(frozen=True)
class Export:
    """How the network of a model is called in another runtime, for a file in the ONNX format.

    Args:
        inputs: an example of each argument of the network, by its name and in order.
        output: what the network returns, one tensor.
        axes: the axes of the inputs that may have other lengths, by input: the name of each by its index.
        lengths: the smallest and the largest length of each named axis.
        facts: what else a user of the file needs, by name; they are stored in it.
    """

    inputs: Mapping[str, Tensor]
    output: str
    axes: Mapping[str, Mapping[int, str]]
    lengths: Mapping[str, tuple[int, int]]
    facts: Mapping[str, str]


class App(ABC, Generic[Sample, Prediction]):
    """The task of one domain.

    Validation, the choice of a checkpoint and evaluation all use `predict` and `metric`: the number that selects a
    model is the number that is reported.

    Args:
        config: what a person chose: the dataclass `Config` of the app's `config.py`.
        state: what training learned from data: the frozen dataclass `State` of the same module. A setting of `config`
            that training can also find is None there to take it from the state.
    """

    adapter: Adapter[Any, Sample, Prediction]
    metric: Metric[Sample, Prediction]
    joined: str = ""
    """What `join` makes of a group of cases, in the plural, such as "drives"; the name of their folder."""

    def __init__(self, config: Any, state: Any) -> None:
        self.config, self.state = config, state

    def split_units(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The units that training and evaluation split: cases, or parts of them that do not cut a group."""
        return cases

    def fit(self, cases: Sequence[Case]) -> Any:
        """The state after learning what a model needs of the training cases, such as their statistics."""
        return self.state

    @abstractmethod
    def model(self) -> nn.Module:
        """A freshly initialised model in training mode.

        On the meta device, where a model is built to be given weights, nothing may be read or fetched.
        """

    def warm_start(self, weights: Mapping[str, Tensor]) -> nn.Module:
        """A model in training mode that starts from the weights of another model of this app.

        Raises:
            RuntimeError: they do not fit.
        """
        with torch.device("meta"):
            model = self.model()
        model.load_state_dict(dict(weights), assign=True)
        return model

    @abstractmethod
    def dataset(self, cases: Sequence[Case]) -> Dataset[Any]:
        """The training examples of `cases`, such as tiles, slices or windows; lazy and deterministic."""

    def batch_sampler(self, dataset: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """The indices of each batch; by default a new permutation of all examples in every epoch.

        The order follows from `seed` and from the epoch, which is given to `set_epoch` of its `sampler`.
        """
        order: DistributedSampler[Any] = DistributedSampler(dataset, num_replicas=1, rank=0, seed=seed)
        return BatchSampler(order, size, drop_last=len(order) > size)

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The scalar loss of a collated batch; random augmentation happens here, from torch's global generator."""

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser, with `learning_rate_scale` or `weight_decay_scale` where they differ."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def compare(self, sample: Sample) -> list[str]:
        """How a sample differs from the training data, as far as `state` knows them, in a line each.

        Raises:
            BadInput: a model of this state cannot predict the sample.
        """
        return []

    @abstractmethod
    def predict(self, model: nn.Module, sample: Sample) -> Prediction:
        """The prediction for a whole sample: windows, blending, rollout and thresholds included.

        A lazy prediction has an iterator `blocks`, to be drained once, and `progress`, the finished share.
        """

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """The app of an ensemble: the settings of the first member, and a state made of those of all members.

        Raises:
            ValueError: the members differ where they must agree, or models of this app cannot be averaged.
        """
        raise ValueError(
            "app: found one whose predictions cannot be averaged, expected one with `ensemble` and `average`"
        )

    def average(self, predictions: Sequence[Prediction]) -> Prediction:
        """The mean of the members' predictions for one case, with their spread: the sample standard deviation.

        Lazy predictions are drained in lockstep.
        """
        raise NotImplementedError

    def preview(self, prediction: Prediction, sample: Sample, labels: bool) -> Preview | None:
        """The preview that is given the prediction's blocks; None for no pictures.

        Args:
            prediction: not yet drained.
            sample: what it was made from.
            labels: whether to compare with the labels of the sample, as an evaluation does.
        """
        return None

    def views(self, prediction: Prediction, sample: Sample, folder: Path) -> list[View]:
        """Interactive pictures of a drained prediction, of files in `folder`, where it was written and pictured."""
        return []

    def join(self, group: str, folders: Sequence[Path], folder: Path) -> list[View]:
        """Write what joins the results of a group of cases; called by predictions of apps with `joined`.

        Args:
            group: its name.
            folders: where its finished cases were written, two or more, in the order in which they were listed.
            folder: an empty folder.

        Returns:
            Interactive pictures of files in `folder`.
        """
        return []

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        """Pictures of the metrics over many cases, by name, of any sizes."""
        return {}

    def export(self) -> Export:
        """How the network is called in another runtime.

        Raises:
            ValueError: networks of this app cannot be exported.
        """
        raise ValueError("app: found one whose networks cannot be exported, expected one with `export`")

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a checkpoint that this app's reference implementation published.

        Raises:
            BadInput: no checkpoints are published for this app, or `file` is not one of them.
        """
        raise BadInput(file, "weights", "a checkpoint for an app without published weights", "a trained model")
