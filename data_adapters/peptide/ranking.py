"""What a reranker says of the spectra of a run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Run


@dataclass(frozen=True)
class RankedCandidate:
    """A candidate with its scores.

    `score` in (0, 1], higher is better; `deviation` the predicted peptide mass deviation from the true peptide, Da;
    `residue_scores` float32, one for each element of the peptide, in (0, 1], higher is better; `mass_error_ppm` of the
    measured precursor against the candidate, to the nearest isotope allowed; `fits` whether that is within tolerance.
    """

    candidate: Candidate
    score: float
    deviation: float
    residue_scores: NDArray[np.float32]
    mass_error_ppm: float
    fits: bool


@dataclass(frozen=True)
class RankedSpectrum:
    """The candidates of a spectrum, best first; none where it has none or cannot be used.

    `probability` is the calibrated probability that the winner is right, NaN where the model was not calibrated.
    """

    candidate_set: CandidateSet
    ranking: tuple[RankedCandidate, ...]
    probability: float = math.nan

    @property
    def margin(self) -> float:
        """Score of the winner above that of the runner-up; NaN where there is none."""
        return self.ranking[0].score - self.ranking[1].score if len(self.ranking) > 1 else math.nan


@dataclass
class Ranking:
    """The answers of a run, computed while `blocks`, its ranked spectra in order, is drained.

    `top` is how many candidates of each spectrum are written, `fdr` the false discovery rate at which the winners are
    accepted, and `tolerance_ppm` that of the precursor. `progress` is the finished share, as far as it is known.
    """

    run: Run
    blocks: Iterator[RankedSpectrum]
    top: int
    fdr: float
    tolerance_ppm: float
    progress: float = 0.0
