"""Settings of the pde app, free of torch so that the command line's help is quick."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from transect.apps.pde.models.config import LoraConfig, ModelConfig
from transect.data_adapters.pde.config import Field, Format, PhantomConfig, ReadConfig
from transect.data_adapters.settings import require, require_at_most

Normalize = Literal["training", "context", "none"]
Start = Literal["first", "last"]
Pictures = Literal["moving", "still", "none"]


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a quantity in the training data.

    Args:
        mean: Mean.
        std: Standard deviation, above 0.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        require(abs(self.mean) < math.inf, "mean", self.mean, "a finite number")
        require(0 < self.std < math.inf, "std", self.std, "a finite number above 0")


@dataclass(frozen=True)
class Config:
    """Settings of the pde app.

    Args:
        read: How simulations are read.
        phantom: What `transect phantom pde` writes.
        model: The model.
        lora: Low-rank adaptation of a pretrained model.
        context: Number of input frames.
        increment: Predict the change from the last frame; False predicts the next frame directly, as MORPH does.
        normalize: training scales each field by its mean and deviation in the training data; context by those of the
            input frames, which suits heterogeneous data sets and never uses future frames; none leaves the values.
        parameters: Names of the equation's parameters that condition the model.
        constants: Give the model the fields that vary in space but not in time.
        noise: Standard deviation of the noise added to the input frames in training, relative to that of the field: it
            makes rollouts robust to the model's own errors.
        unroll: Number of autoregressive steps in training, with the loss over all of them.
        steps_per_epoch: Training steps per epoch; 0 takes as many as one pass over all examples. Several data sets are
            sampled with equal probability and reshuffled when exhausted.
        start: first predicts from the first frames of a simulation, last from its last ones.
        steps: Frames to predict; 0 predicts as many as the simulation has after the context.
        format: File format of rollouts on grids.
        pictures: Pictures of each case. moving adds an animation. They take a few seconds per case: choose none for
            thousands of small cases.
    """

    read: ReadConfig = field(default_factory=ReadConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    context: int = 1
    increment: bool = True
    normalize: Normalize = "training"
    parameters: tuple[str, ...] = ()
    constants: bool = False
    noise: float = 0.0
    unroll: int = 1
    steps_per_epoch: int = 0
    start: Start = "first"
    steps: int = 0
    format: Format = "netcdf"
    pictures: Pictures = "moving"

    def __post_init__(self) -> None:
        for name, smallest in (("context", 1), ("unroll", 1), ("steps_per_epoch", 0), ("steps", 0)):
            require(getattr(self, name) >= smallest, name, getattr(self, name), f"{smallest} or more")
        require_at_most(self, context=4096, unroll=4096, steps_per_epoch=10**9, steps=10**7)
        require(0 <= self.noise < 1, "noise", self.noise, "a share in [0, 1)")
        require(
            len(set(self.parameters)) == len(self.parameters),
            "parameters",
            ", ".join(self.parameters),
            "each name once",
        )


@dataclass(frozen=True)
class State:
    """What training learns from data; new simulations are compared with it.

    Empty for a model of heterogeneous data or of published weights, which takes any fields.

    Args:
        fields: The fields that the model was trained on, in order.
        axes: Names of the spatial axes; of a mesh the first of x, y, z.
        time_step: Time between two frames, in the units of the time axis.
        time_units: Units of the time axis.
        scales: Mean and standard deviation of each field.
        changes: Standard deviation of the change of each field from frame to frame, relative to that of the field.
        parameter_scales: Mean and standard deviation of each of the equation's parameters.
        constant_scales: Mean and standard deviation of each constant in space.
        constant_names: Names of the constants in space.
    """

    fields: tuple[Field, ...] = ()
    axes: tuple[str, ...] = ()
    time_step: float = 0.0
    time_units: str = ""
    scales: tuple[Scale, ...] = ()
    changes: tuple[float, ...] = ()
    parameter_scales: tuple[Scale, ...] = ()
    constant_scales: tuple[Scale, ...] = ()
    constant_names: tuple[str, ...] = ()


def split_state(settings: dict[str, Any]) -> dict[str, Any]:
    """Move the state out of the settings of a model made before there was `state.json`."""
    moved = settings.pop("fitted", None)
    if not isinstance(moved, dict) or not moved:
        return {}
    return {**{key: value for key, value in moved.items() if key != "constants"}, "constant_names": moved["constants"]}
