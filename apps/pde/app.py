"""The pde app: training on windows of frames, autoregressive rollouts, metrics against persistence."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from transect.apps.base import App, Contribution, Picture, View
from transect.apps.pde.build import build, has_mask, warm_start
from transect.apps.pde.charts import charts
from transect.apps.pde.config import Config, State
from transect.apps.pde.dataset import Windows, check_frames, valid_cells
from transect.apps.pde.figures import RolloutPictures
from transect.apps.pde.fitting import fit
from transect.apps.pde.inference import average, roll
from transect.apps.pde.kinds import check_kind, unusual_values
from transect.apps.pde.losses import step_loss
from transect.apps.pde.metrics import RolloutMetric
from transect.apps.pde.models.config import ModelConfig
from transect.apps.pde.models.lora import merged_state, parameter_groups
from transect.apps.pde.models.uniform_fields import UniformFields
from transect.apps.pde.preview import SHOWN_CHANNELS
from transect.apps.pde.sampling import BalancedBatches
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.pde.adapter import PDEAdapter
from transect.data_adapters.pde.simulation import Rollout, Simulation, Trajectory
from transect.data_adapters.settings import require_same


class PDE(App[Simulation, Rollout]):
    """Predicts the next frames of a simulation."""

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        self.metric: RolloutMetric = RolloutMetric()
        self.adapter: PDEAdapter = PDEAdapter(config.read, config.phantom)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published MORPH checkpoint, for simulations of any fields.

        The reference normalizes each trajectory by its own mean and deviation, future frames included; here those of
        the context are used. Low-rank updates are merged into the weights.
        """
        from transect.apps.pde.weights import from_reference, load_reference

        morph = from_reference(load_reference(file), source=file)
        config = Config(
            model=ModelConfig(name="morph", morph=morph.config),
            context=morph.config.max_context,
            increment=False,
            normalize="context",
        )
        app = cls(config)
        model = app.model()
        model.load_state_dict(merged_state(UniformFields(morph).state_dict()))
        return app, model

    def fit(self, cases: Sequence[Case]) -> State:
        """The kind and the statistics of the training simulations."""
        return fit(_trajectories(cases), self.adapter.read, self.config)

    def model(self) -> nn.Module:
        return build(self.config, self.state)

    def warm_start(self, weights: Mapping[str, Tensor]) -> nn.Module:
        return warm_start(self.config, self.state, weights)

    def dataset(self, cases: Sequence[Case]) -> Windows:
        return Windows(_trajectories(cases), self.adapter.read, self.config, self.state, has_mask(self.config.model))

    def batch_sampler(self, dataset: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """Batches of one data set each, with equal probability."""
        return BalancedBatches(cast(Windows, dataset).groups, size, seed, self.config.steps_per_epoch)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return step_loss(model, batch, self.config, self.state)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """All parameters, or those that the LoRA level trains, each with its learning rate scale."""
        return parameter_groups(model, self.config.lora)

    def compare(self, sample: Simulation) -> list[str]:
        """Values of the input frames that are far from those of the training data."""
        config, state = self.config, self.state
        check_frames(sample, config.context)
        if not state.fields:
            return []
        check_kind(sample, state)
        start = config.context if config.start == "first" else len(sample)
        return unusual_values(sample, sample.read(start - config.context, start), state)

    def predict(self, model: nn.Module, sample: Simulation) -> Rollout:
        config, state, context = self.config, self.state, self.config.context
        if state.fields:
            check_kind(sample, state)
        check_frames(sample, context)
        start = context if config.start == "first" else len(sample)
        steps = config.steps or len(sample) - start
        if not steps:
            found = f"{len(sample)} frames, all of them context"
            raise BadInput(sample.source, sample.time.name, found, "a number of steps to predict", "set steps")
        frames = sample.read(start - context, start)
        valid = valid_cells(sample, frames, has_mask(config.model))

        def blocks() -> Iterator[NDArray[np.float32]]:
            done = 0
            for block in roll(model, sample, frames, valid, start, steps, config, state, blown_up):
                done += len(block)
                rollout.progress = done / steps
                yield block

        def blown_up(step: int) -> None:
            rollout.facts["blow_up"] = f"at step {step}"

        rollout = Rollout(
            simulation=sample,
            times=sample.extend_times(steps, start, state.time_step or None),
            blocks=blocks(),
            context=context,
            format=config.format,
            start=start,
            last=np.where(valid, frames[-1], np.float32(np.nan)),
        )
        return rollout

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble of models that predict the same fields at the same times."""
        require_same([member.config for member in members], "read", "start", "steps")
        if members[0].config.start == "first":
            require_same([member.config for member in members], "context")
        require_same([member.state for member in members], "fields", "axes", "time_units")
        return cls(members[0].config, members[0].state)

    def average(self, predictions: Sequence[Rollout]) -> Rollout:
        return average(predictions)

    def preview(self, prediction: Rollout, sample: Simulation, labels: bool) -> RolloutPictures | None:
        """Pictures, compared with the known frames of the simulation, which are part of every input and not labels."""
        if self.config.pictures == "none":
            return None
        return RolloutPictures(prediction, moving=self.config.pictures == "moving")

    def views(self, prediction: Rollout, sample: Simulation, folder: Path) -> list[View]:
        """A film of the rollout, where pictures move."""
        film = folder / "preview" / "film.png"
        if not film.is_file():
            return []
        names = ", ".join(sample.channels[:SHOWN_CHANNELS])
        return [View("film", (str(film.relative_to(folder)),), f"Rollout of {names}, next to the simulation")]

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        return charts(contributions)


def _trajectories(cases: Sequence[Case]) -> list[Trajectory]:
    return [case for case in cases if isinstance(case, Trajectory)]
