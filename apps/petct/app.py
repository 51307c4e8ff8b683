"""The PET/CT app: the probability of tumour of each axial slice of a study."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from transect.apps.base import App, Contribution, Picture, View
from transect.apps.petct.calibration import logit, probability
from transect.apps.petct.charts import charts
from transect.apps.petct.config import Config, State
from transect.apps.petct.dataset import RunBatches, TrainingRuns, labelled
from transect.apps.petct.figures import StudyPreview, film_view
from transect.apps.petct.inference import slice_logits
from transect.apps.petct.losses import augment, classification_loss
from transect.apps.petct.metrics import PetctMetric
from transect.apps.petct.models.build import build
from transect.apps.petct.models.resnet import SliceNetwork
from transect.apps.petct.splits import PARTS, split_units
from transect.apps.petct.training_data import compared, learned, merged
from transect.data_adapters.base import Case
from transect.data_adapters.petct.adapter import PetctAdapter
from transect.data_adapters.petct.patients import require_no_leaks
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study, StudyCase
from transect.data_adapters.settings import require

OPENED = 64
"""Number of training studies whose geometry is read."""


class PetCT(App[Study, SliceScores]):
    """Finds the axial slices of PET/CT studies that show tumour."""

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        self.adapter: PetctAdapter = PetctAdapter(config.read, config.write, config.phantom)
        self.metric: PetctMetric = PetctMetric(config.sensitivity, config.threshold, self.state)

    def split_units(self, cases: Sequence[Case]) -> list[StudyCase]:
        """Studies, or random parts of their slices, grouped by what a split must not cut; see `split_units`.

        Raises:
            BadInput: a patient appears under two names, or one name stands for two patients.
        """
        studies = [case for case in cases if isinstance(case, StudyCase)]
        require_no_leaks(studies)
        return split_units(studies, self.config.split)

    def fit(self, cases: Sequence[Case]) -> State:
        """The geometry, tracers and centres of the training studies, of which at most OPENED are read."""
        studies = labelled(cases)
        chosen = np.unique(np.linspace(0, len(studies) - 1, OPENED).astype(int))
        return learned((self.adapter.read(studies[index]) for index in chosen), [case.patient for case in studies])

    def compare(self, sample: Study) -> list[str]:
        """Another tracer, hospital or geometry than in the training data, or a patient of these."""
        return compared(sample, self.state)

    @property
    def threshold(self) -> float:
        """Probability from which a slice is flagged."""
        return self.state.threshold if self.config.threshold is None else self.config.threshold

    def model(self) -> SliceNetwork:
        return build(self.config.model)

    def dataset(self, cases: Sequence[Case]) -> TrainingRuns:
        return TrainingRuns(labelled(cases), self.adapter.read, self.config)

    def batch_sampler(self, dataset: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """`slices_per_study` slices of each study per epoch, in runs of which half have tumour."""
        runs = self.config.slices_per_study // self.config.model.slices
        enough = size * self.config.model.slices > 1
        require(enough, "train.batch_size", size, "2 or more, since single slices have no spread to normalize by")
        parts = PARTS if self.config.split.unit == "slice" else 1
        return RunBatches(len(cast(TrainingRuns, dataset).cases), max(runs // parts, 1), size, seed)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        images = batch["images"]
        if model.training:
            images = augment(images, self.config.augment, self._pet_channels)
        return classification_loss(model(images, batch["inside"]), batch["positive"], batch["counted"])

    @property
    def _pet_channels(self) -> slice:
        inputs = self.config.model.inputs
        return slice(0, 0) if inputs == "ct" else slice(0, None, 1 if inputs == "pet" else 2)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Biases, those of attention included, and normalization have no weight decay."""
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            (others if parameter.ndim < 2 or name.endswith("table") else decayed).append(parameter)
        return [{"params": decayed}, {"params": others, "weight_decay_scale": 0.0}]

    def predict(self, model: nn.Module, sample: Study) -> SliceScores:
        logit = slice_logits(cast(SliceNetwork, model), sample, self.config)
        return SliceScores(sample, probability(self.state.calibration, logit), self.threshold, logit)

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble, such as of the folds of a cross-validation: the mean of the members' thresholds."""
        threshold = float(np.mean([member.threshold for member in members]))
        state = merged([member.state for member in members], threshold)
        return cls(replace(members[0].config, threshold=None), state)

    def average(self, predictions: Sequence[SliceScores]) -> SliceScores:
        """The mean of the calibrated probabilities, its logit, and their standard deviation."""
        positions = [prediction.study.positions for prediction in predictions]
        same = all(np.array_equal(one, positions[0]) for one in positions)
        require(same, "series", [prediction.study.pet.name for prediction in predictions], "the same for each member")
        probabilities = np.stack([prediction.probability for prediction in predictions])
        mean = probabilities.mean(axis=0)
        spread = probabilities.std(axis=0, ddof=1) if len(predictions) > 1 else None
        return SliceScores(predictions[0].study, mean, self.threshold, logit(mean), spread)

    def preview(self, prediction: SliceScores, sample: Study, labels: bool) -> StudyPreview:
        return StudyPreview(prediction, sample, labels)

    def views(self, prediction: SliceScores, sample: Study, folder: Path) -> list[View]:
        return film_view(folder)

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        return charts(self.metric.pooled(contributions), self.state.validation_auroc, self.config.split.unit)
