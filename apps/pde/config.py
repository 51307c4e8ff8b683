"""Settings of the pde app, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Any, Literal

from transect.apps.pde.models.config import LoraConfig, ModelConfig
from transect.data_adapters.pde.config import Field, Format, PhantomConfig, ReadConfig
from transect.data_adapters.settings import require

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


@dataclass(frozen=True)
class Config:
    """Settings of the pde app.

    Args:
        read: How simulations are read.
        phantom: What `transect phantom pde` writes.
        model: The model.
        lora: Low-rank adaptation of a model that training starts from.
        context: Frames that a prediction is computed from.
        increment: Predict the change from the last frame; False predicts the next frame itself, as MORPH was trained.
        normalize: training scales each field by its mean and deviation in the training data; context by those of the
            input frames alone, which suits data sets of many kinds and never sees the future; none leaves the values.
        parameters: Names of the equation's parameters that the model is told.
        constants: Tell the model what varies in space and not in time.
        noise: Standard deviation of the noise added to the input frames in training, as a share of a field's own: it
            teaches a model to mend its own errors.
        unroll: Frames that training predicts in a row, each from the ones before, with the loss over all of them.
        steps_per_epoch: Steps that make an epoch; 0 takes as many as it takes to see each example once. Of several data
            sets each is as likely as the others in every step, however large, and starts anew when it is used up.
        start: first predicts from the first frames of a simulation, last from its last ones.
        steps: Frames to predict; 0 predicts as many as the simulation has after the context.
        format: What rollouts on grids are written as.
        pictures: Pictures of each case. moving adds an animation; they take a few seconds a case, which thousands of
            small cases are quicker without.
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

    Empty for a model of several kinds of data, or of published weights: that takes any fields.

    Args:
        fields: The fields that the model was trained on, in order.
        axes: Names of the spatial axes; of a mesh x, y, z as far as it has them.
        time_step: Time between two frames, in the units of the time axis.
        time_units: Units of the time axis.
        scales: Mean and standard deviation of each field.
        changes: Standard deviation of the change of each field from frame to frame, as a share of its own.
        parameter_scales: Of each of the equation's parameters that the model is told.
        constant_scales: Of each constant in space.
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
    moved: dict[str, Any] = settings.pop("fitted", {})
    names = moved.pop("constants", ())
    return {**moved, "constant_names": names}
