"""The peptide app: spectra with the candidates of any de novo tools in, ranked candidates out."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor, nn

from transect.apps.base import App, Contribution, Picture
from transect.apps.peptide.batch import trimmed
from transect.apps.peptide.config import Calibration, Config, PeaksConfig, State
from transect.apps.peptide.dataset import LabelledSpectra
from transect.apps.peptide.evidence import CHANNELS
from transect.apps.peptide.figures import RankingPictures, charts
from transect.apps.peptide.inference import average, rank
from transect.apps.peptide.losses import ranking_loss
from transect.apps.peptide.metrics import PeptideMetric, calibrated
from transect.apps.peptide.models.reranker import Reranker
from transect.data_adapters.base import Case
from transect.data_adapters.peptide.adapter import PeptideAdapter
from transect.data_adapters.peptide.layouts import divided
from transect.data_adapters.peptide.ranking import RankedSpectrum, Ranking
from transect.data_adapters.peptide.spectrum import Run, RunCase
from transect.data_adapters.settings import require_same

#: Learning rate scale of a model that is initialized to rank by likelihood ratios.
STEADY = 0.1
#: The inputs of the model; the other tensors of an example are targets.
INPUTS = ("peaks", "precursor_mass", "charge", "tokens", "masses", "evidence")


class PeptideIdentification(App[Run, Ranking]):
    """Reranks the candidate peptides that de novo tools propose for each spectrum."""

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        self.metric: PeptideMetric = PeptideMetric(self.state.calibration, config.fdr, config.generate == "always")
        self.adapter: PeptideAdapter = PeptideAdapter(config.read, config.phantom)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published RankNovo checkpoint, which reads 300 peaks and no evidence."""
        from transect.apps.peptide.weights import from_reference, load_reference

        model = from_reference(load_reference(file), source=file)
        return cls(Config(model=model.config, peaks=PeaksConfig(count=300))), model

    def split_units(self, cases: Sequence[Case]) -> list[Case]:
        """The parts of each labelled file, split by peptide."""
        return [part for case in _runs(cases) for part in divided(case)]

    def model(self) -> nn.Module:
        return Reranker(self.config.model, CHANNELS)

    def dataset(self, cases: Sequence[Case]) -> LabelledSpectra:
        return LabelledSpectra(_runs(cases), self.adapter.read, self.config)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        batch = trimmed(batch)
        deviations = model(**{name: batch[name] for name in INPUTS if name in batch})
        return ranking_loss(deviations, batch, self.config.loss)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """All parameters; with evidence at a tenth of the learning rate, to keep the initial ranking in early steps."""
        return [
            {**group, "learning_rate_scale": STEADY if self.config.model.evidence else 1.0}
            for group in super().parameter_groups(model)
        ]

    def predict(self, model: nn.Module, sample: Run) -> Ranking:
        def blocks() -> Iterator[RankedSpectrum]:
            for done, ranked in enumerate(rank(model, sample, self.config, self.state.calibration), 1):
                if sample.length:
                    ranking.progress = done / sample.length
                yield ranked

        ranking = Ranking(
            run=sample,
            blocks=blocks(),
            top=self.config.candidates,
            fdr=self.config.fdr,
            tolerance_ppm=self.config.read.precursor_tolerance_ppm,
        )
        return ranking

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble of models that rank the same candidates; its log-odds are the mean of the members' log-odds.

        Raises:
            ValueError: as the base class; one member is calibrated and another is not.
        """
        configs = [member.config for member in members]
        require_same(configs, "read", "generate", "generated")
        require_same([config.peaks for config in configs], "tolerance_ppm")
        require_same([config.model for config in configs], "max_length")
        calibrations = [member.state.calibration for member in members]
        require_same(calibrations, "is_fitted")
        mean = Calibration(*np.mean([astuple(calibration) for calibration in calibrations], axis=0).tolist())
        return cls(configs[0], State(calibration=mean))

    def average(self, predictions: Sequence[Ranking]) -> Ranking:
        first = predictions[0]

        def blocks() -> Iterator[RankedSpectrum]:
            for ranked in average([prediction.blocks for prediction in predictions], self.state.calibration):
                mean.progress = first.progress
                yield ranked

        mean = replace(first, blocks=blocks(), has_spread=True)
        return mean

    def preview(self, prediction: Ranking, sample: Run, labels: bool) -> RankingPictures:
        return RankingPictures(self.config.peaks.tolerance_ppm)

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        return charts(calibrated(contributions, self.state.calibration), self.config.fdr)


def _runs(cases: Sequence[Case]) -> list[RunCase]:
    return [case for case in cases if isinstance(case, RunCase)]
