"""The prediction for a study: the probability of tumour of each slice."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from transect.data_adapters.petct.study import Study


@dataclass(frozen=True, eq=False)
class SliceScores:
    """Scores of the slices of a study, from the feet to the head.

    Args:
        study: What was predicted.
        probability: float64 `(Z,)`, calibrated on validation.
        threshold: Slices of at least this probability are flagged.
        logit: float64 `(Z,)`, before calibration; of an ensemble, that of the mean probability.
        spread: float64 `(Z,)`, the sample standard deviation over the members of an ensemble; None for one model.
    """

    study: Study
    probability: NDArray[np.float64]
    threshold: float
    logit: NDArray[np.float64]
    spread: NDArray[np.float64] | None = None

    @cached_property
    def flags(self) -> NDArray[np.bool_]:
        """The flagged slices, bool `(Z,)`."""
        return self.probability >= self.threshold

    @cached_property
    def study_probability(self) -> float:
        """The largest probability of any slice, by which studies are ranked."""
        return float(self.probability.max())
