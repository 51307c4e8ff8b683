"""Peptides as an app: spectra and the candidates of any de novo tools in, one ranked answer a spectrum out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from transect.apps.base import App
from transect.apps.peptide import metrics
from transect.apps.peptide.baselines import choices
from transect.apps.peptide.batch import trimmed
from transect.apps.peptide.config import Config, PeaksConfig
from transect.apps.peptide.dataset import GRAPH, LabelledSpectra
from transect.apps.peptide.evidence import CHANNELS
from transect.apps.peptide.inference import rank
from transect.apps.peptide.losses import ranking_loss
from transect.apps.peptide.models.reranker import Reranker
from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.peptide.adapter import PeptideAdapter
from transect.data_adapters.peptide.layouts import divided
from transect.data_adapters.peptide.ranking import RankedSpectrum, Ranking
from transect.data_adapters.peptide.spectrum import Run, RunCase

PICTURED = 500
"""Ranked spectra of a run that are kept for its pictures."""
#: Share of the learning rate at which a model learns that starts from the order of the likelihood ratios.
STEADY = 0.1
#: What the model reads; the rest of an example is what it is held against.
INPUTS = ("peaks", "precursor_mass", "charge", "tokens", "masses", "evidence")


@dataclass
class PicturedRanking(Ranking):
    """A ranking that keeps some of its spectra for pictures while it is drained."""

    kept: list[RankedSpectrum] = field(default_factory=list, kw_only=True)


class PeptideIdentification(App[Run, PicturedRanking]):
    """Ranks the peptides that de novo tools propose for spectra."""

    goal = "peptide_recall"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.config: Config = config
        self.adapter: PeptideAdapter = PeptideAdapter(config.read, config.phantom)

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published RankNovo checkpoint, which reads 300 peaks and no evidence."""
        from transect.apps.peptide.weights import from_reference, load_reference

        model = from_reference(load_reference(file), source=file)
        return cls(Config(model=model.config, peaks=PeaksConfig(count=300))), model

    def divided(self, cases: Sequence[Case]) -> list[Case]:
        """The parts of each labelled file, divided by peptide."""
        return [part for case in _runs(cases) for part in divided(case)]

    def model(self) -> nn.Module:
        return Reranker(self.config.model, CHANNELS)

    def examples(self, cases: Sequence[Case]) -> LabelledSpectra:
        return LabelledSpectra(_runs(cases), self.adapter.read, self.config)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        batch = trimmed(batch)
        found = model(**{name: batch[name] for name in INPUTS if name in batch})
        return ranking_loss(found, batch, self.config.loss)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """All parameters; with evidence at a tenth of the rate, so that early steps keep the ranking it starts with."""
        return [
            {**group, "learning_rate_scale": STEADY if self.config.model.evidence else 1.0}
            for group in super().parameter_groups(model)
        ]

    def predict(self, model: nn.Module, sample: Run) -> PicturedRanking:
        def spectra() -> Iterator[RankedSpectrum]:
            for done, ranked in enumerate(rank(model, sample, self.config), 1):
                if len(ranking.kept) < PICTURED and ranked.ranking:
                    ranking.kept.append(ranked)
                if sample.length:
                    ranking.progress = done / sample.length
                yield ranked

        ranking = PicturedRanking(
            run=sample,
            spectra=spectra(),
            top=self.config.candidates,
            fdr=self.config.fdr,
            tolerance_ppm=self.config.read.precursor_tolerance_ppm,
        )
        return ranking

    def measure(self, prediction: PicturedRanking, sample: Run) -> dict[str, Any]:
        """What each labelled spectrum adds, those without a candidate included."""
        chosen = choices([*sample.tools, GRAPH] if self.config.generate == "always" else sample.tools)
        rows = [row for ranked in prediction.spectra if (row := metrics.spectrum_row(ranked, chosen))]
        if not rows:
            found = "no labelled spectrum"
            raise BadInput(sample.source, "SEQ", found, "spectra with a label to score by", "predict needs none")
        return metrics.joined(rows)

    def summary(self, measures: Sequence[dict[str, Any]]) -> dict[str, float]:
        return metrics.summary_of(metrics.calibrated(measures, self.config.calibration), self.config.fdr)

    def calibrate(self, measures: Sequence[dict[str, Any]]) -> Self:
        """This app with the scores' calibration to what was right."""
        return type(self)(replace(self.config, calibration=metrics.fitted(measures)))

    def figures(self, prediction: PicturedRanking, sample: Run) -> dict[str, NDArray[np.uint8]]:
        from transect.apps.peptide.figures import pictures

        return pictures(prediction.kept, self.config.peaks.tolerance_ppm)

    def charts(self, measures: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.uint8]]:
        from transect.apps.peptide.figures import charts

        return charts(metrics.calibrated(measures, self.config.calibration), self.config.fdr)


def _runs(cases: Sequence[Case]) -> list[RunCase]:
    return [case for case in cases if isinstance(case, RunCase)]
