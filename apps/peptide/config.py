"""Settings of the peptide app, free of torch so that the command line's help is quick."""

from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from transect.apps.peptide.models.config import RerankerConfig
from transect.data_adapters.peptide.config import PhantomConfig, ReadConfig
from transect.data_adapters.settings import require, require_at_most

Generate = Literal["missing", "always", "never"]


@dataclass(frozen=True)
class PeaksConfig:
    """Which peaks the model reads.

    Args:
        count: Most intense peaks that are kept.
        min_mz: Smallest m/z, Th.
        max_mz: Largest m/z, Th.
        remove_precursor: Peaks this close to the precursor, at any charge up to its own, are removed, Da.
        tolerance_ppm: How far a peak may be from a fragment that explains it.
    """

    count: int = 100
    min_mz: float = 50.5
    max_mz: float = 4500.0
    remove_precursor: float = 2.0
    tolerance_ppm: float = 20.0

    def __post_init__(self) -> None:
        require(self.count >= 1, "count", self.count, "1 or more")
        require_at_most(self, count=4096)
        require(0 <= self.min_mz < self.max_mz, "min_mz", self.min_mz, f"0 or more and below max_mz = {self.max_mz}")
        require(self.remove_precursor >= 0, "remove_precursor", self.remove_precursor, "0 or more")
        require(self.tolerance_ppm > 0, "tolerance_ppm", self.tolerance_ppm, "above 0")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms of the training loss.

    Args:
        peptide: Weight of the Huber loss of each candidate's mass deviation.
        residue: Weight of the Huber loss of each residue's mass deviation.
        listwise: Weight of the list-wise cross entropy between the softmax of the negative true and the predicted
            deviations of a spectrum's candidates.
        temperature: Of both softmaxes, in units of 51.4238 Da.
    """

    peptide: float = 0.3
    residue: float = 0.1
    listwise: float = 1.0
    temperature: float = 0.1

    def __post_init__(self) -> None:
        for name in ("peptide", "residue", "listwise"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.peptide + self.listwise > 0, "peptide", self.peptide, "above 0 where listwise is 0")
        require(self.temperature > 0, "temperature", self.temperature, "above 0")


@dataclass(frozen=True)
class Config:
    """Settings of the peptide app.

    Args:
        read: How spectra and candidates are read.
        phantom: What `transect phantom peptide` writes.
        model: Sizes of the reranker.
        peaks: Which peaks the model reads.
        loss: Training loss.
        generate: Whether candidates are generated de novo by the spectrum graph. missing does so for spectra without
            a candidate of any tool; always adds them to those of the tools.
        generated: Number of generated candidates.
        candidates: Number of ranked candidates written per spectrum.
        fdr: False discovery rate, estimated from calibrated probabilities, up to which winners are marked as accepted.
        spectra_per_batch: Batch size of prediction, in spectra.
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
    """

    read: ReadConfig = field(default_factory=ReadConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    model: RerankerConfig = field(default_factory=RerankerConfig)
    peaks: PeaksConfig = field(default_factory=PeaksConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    generate: Generate = "missing"
    generated: int = 10
    candidates: int = 1
    fdr: float = 0.05
    spectra_per_batch: int = 64
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        for name in ("generated", "candidates", "spectra_per_batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        require_at_most(self, generated=1000, candidates=10_000, spectra_per_batch=4096)
        require(0 < self.fdr < 1, "fdr", self.fdr, "a share in (0, 1)")


@dataclass(frozen=True)
class Calibration:
    """Logistic calibration: the log-odds that a winner is right, as a weighted sum; all zero if not fitted.

    Args:
        bias: Intercept.
        log_score: Weight of the logarithm of the winner's score.
        margin: Weight of the difference of its score to the runner-up's.
        agreement: Weight of the fraction of tools that propose it.
        fits: Weight of its mass matching the precursor.
    """

    bias: float = 0.0
    log_score: float = 0.0
    margin: float = 0.0
    agreement: float = 0.0
    fits: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether the calibration was fitted."""
        return any(astuple(self))


@dataclass(frozen=True)
class State:
    """What training learns from data.

    Args:
        calibration: Maps scores to probabilities, fitted on validation.
    """

    calibration: Calibration = field(default_factory=Calibration)


def split_state(settings: dict[str, Any]) -> dict[str, Any]:
    """Move the state out of the settings of a model made before there was `state.json`."""
    return {"calibration": settings.pop("calibration")} if settings.get("calibration") else {}
