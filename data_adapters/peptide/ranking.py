"""The output of a reranker for the spectra of a run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Run


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate with its scores.

    Args:
        candidate: The candidate.
        score: In (0, 1], higher is better.
        deviation: Predicted peptide mass deviation from the true peptide, Da.
        residue_scores: float32 `(elements,)`, one for each element of the peptide, in (0, 1], higher is better.
        mass_error_ppm: Measured minus theoretical precursor mass, for the nearest allowed isotope.
        fits: Whether the mass error is within tolerance.
        spread: Standard deviation of the scores of an ensemble; NaN for a single model.
    """

    candidate: Candidate
    score: float
    deviation: float
    residue_scores: NDArray[np.float32]
    mass_error_ppm: float
    fits: bool
    spread: float = math.nan


@dataclass(frozen=True)
class RankedSpectrum:
    """The candidates of a spectrum, best first; empty if it has none or is unusable.

    `probability` is the calibrated probability that the top-ranked candidate is correct, NaN without calibration.
    """

    candidate_set: CandidateSet
    ranking: tuple[RankedCandidate, ...]
    probability: float = math.nan

    @property
    def margin(self) -> float:
        """Score difference of the first and the second candidate; NaN for fewer than two."""
        return self.ranking[0].score - self.ranking[1].score if len(self.ranking) > 1 else math.nan


@dataclass
class Ranking:
    """The ranked spectra of a run, computed lazily.

    Args:
        run: The run.
        blocks: The ranked spectra in order; a stream that can be consumed once.
        top: Number of candidates to write for each spectrum.
        fdr: False discovery rate at which top-ranked candidates are accepted.
        tolerance_ppm: Tolerance of the precursor mass.
        has_spread: Whether the candidates have the `spread` of an ensemble.
        progress: Completed fraction, as far as it is known.
    """

    run: Run
    blocks: Iterator[RankedSpectrum]
    top: int
    fdr: float
    tolerance_ppm: float
    has_spread: bool = False
    progress: float = 0.0
