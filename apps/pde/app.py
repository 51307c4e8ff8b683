"""Simulations as an app: windows of frames in, rollouts out, scored beside persistence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from transect.apps.base import App
from transect.apps.pde.config import Config
from transect.apps.pde.dataset import Windows, check_frames, valid_cells
from transect.apps.pde.fitting import fit
from transect.apps.pde.inference import roll
from transect.apps.pde.kinds import check_kind
from transect.apps.pde.losses import step_loss
from transect.apps.pde.measures import Measures, frame_measures, joined
from transect.apps.pde.metrics import summary_of
from transect.apps.pde.models.build import build, has_mask, started_from
from transect.apps.pde.models.config import ModelConfig
from transect.apps.pde.models.lora import merged_state, parameter_groups
from transect.apps.pde.models.uniform_fields import UniformFields
from transect.apps.pde.preview import RolloutPreview
from transect.apps.pde.sampling import BalancedBatches
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.pde.adapter import PDEAdapter
from transect.data_adapters.pde.simulation import Rollout, Simulation, Trajectory


@dataclass
class PreviewedRollout(Rollout):
    """A rollout that gathers its own pictures and measures while it is drained."""

    valid: NDArray[np.bool_] = field(kw_only=True)
    preview: RolloutPreview = field(kw_only=True)
    measures: list[Measures] = field(default_factory=list, kw_only=True)


class PDE(App[Simulation, PreviewedRollout]):
    """Predicts how a simulation goes on."""

    goal = "skill"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config: Config = config
        self.adapter: PDEAdapter = PDEAdapter(config.read, config.phantom)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published MORPH checkpoint, for simulations of any fields.

        The reference scales each trajectory by its own mean and deviation, future included; here those of the context
        take their place. Low-rank updates are added to the weights they belong to.
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

    def fitted(self, cases: Sequence[Case]) -> Self:
        """This app with the kind and the statistics of the training simulations."""
        return type(self)(replace(self.config, fitted=fit(_trajectories(cases), self.adapter.read, self.config)))

    def model(self) -> nn.Module:
        return build(self.config)

    def started_from(self, weights: Mapping[str, Tensor]) -> nn.Module:
        return started_from(self.config, weights)

    def examples(self, cases: Sequence[Case]) -> Windows:
        return Windows(_trajectories(cases), self.adapter.read, self.config, has_mask(self.config.model))

    def batches(self, examples: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """Batches of one data set each, all data sets alike."""
        return BalancedBatches(cast(Windows, examples).groups, size, seed, self.config.steps_per_epoch)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return step_loss(model, batch, self.config)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """All parameters, or what the level of low-rank adaptation trains, each at its own rate."""
        return parameter_groups(model, self.config.lora)

    def predict(self, model: nn.Module, sample: Simulation) -> PreviewedRollout:
        config, context = self.config, self.config.context
        if config.fitted.fields:
            check_kind(sample, config.fitted)
        check_frames(sample, context)
        first = context if config.start == "first" else len(sample)
        steps = config.steps or len(sample) - first
        if not steps:
            found = f"{len(sample)} frames, all of them context"
            raise BadInput(sample.source, sample.time.name, found, "a number of steps to predict", "set steps")
        frames = sample.read(first - context, first)
        valid = valid_cells(sample, frames, has_mask(config.model))
        times = sample.extend_times(steps, first, config.fitted.time_step or None)

        def blocks() -> Iterator[NDArray[np.float32]]:
            done = 0
            for block in roll(model, sample, frames, valid, first, steps, config, blown_up):
                self._look(rollout, block, frames[-1], first + done)
                done += len(block)
                rollout.progress = done / steps
                yield block

        def blown_up(step: int) -> None:
            rollout.facts["blow_up"] = f"at step {step}"

        rollout = PreviewedRollout(
            simulation=sample,
            times=times,
            blocks=blocks(),
            context=context,
            format=config.format,
            valid=valid,
            preview=RolloutPreview(sample, times, np.where(valid, frames[-1], np.float32(np.nan))),
        )
        return rollout

    def _look(self, rollout: PreviewedRollout, block: NDArray[np.float32], last: NDArray[np.float32], at: int) -> None:
        """Keep what pictures need of a block, and hold it against the simulation as far as that goes."""
        sample = rollout.simulation
        known = min(max(len(sample) - at, 0), len(block))
        truth = sample.read(at, at + known) if known else None
        if truth is not None:
            rollout.measures.append(frame_measures(block[:known], truth, last, sample.axes, rollout.valid))
        rollout.preview.add(block, truth if known == len(block) else None)

    def measure(self, prediction: PreviewedRollout, sample: Simulation) -> dict[str, Any]:
        """What is known of each frame and channel; frames past the end of the simulation do not count."""
        for _ in prediction.blocks:
            pass
        if not prediction.measures:
            found = f"{len(sample)} frames"
            raise BadInput(sample.source, sample.time.name, found, "some after the context to score by")
        return joined(prediction.measures)

    def summary(self, measures: Sequence[dict[str, Any]]) -> dict[str, float]:
        return summary_of(measures)

    def figures(self, prediction: PreviewedRollout, sample: Simulation) -> dict[str, NDArray[np.uint8]]:
        from transect.apps.pde.figures import film, pictures

        if self.config.pictures == "none":
            return {}
        made = pictures(prediction.preview, joined(prediction.measures) or None)
        return made if self.config.pictures == "still" else {**made, "film": film(prediction.preview)}

    def charts(self, measures: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.uint8]]:
        from transect.apps.pde.figures import charts

        return charts(measures)


def _trajectories(cases: Sequence[Case]) -> list[Trajectory]:
    return [case for case in cases if isinstance(case, Trajectory)]
