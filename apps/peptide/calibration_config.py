"""The calibration of a reranker, free of numpy so that the command line's help is quick."""

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Calibration:
    """The logarithm of the odds that a winner is right, as a weighted sum; all zero where nothing was fitted.

    Args:
        bias: What is added to the sum.
        log_score: Weight of the logarithm of the winner's score.
        margin: Weight of its score above the runner-up's.
        agreement: Weight of the share of tools that propose it.
        fits: Weight of its mass fitting the precursor.
    """

    bias: float = 0.0
    log_score: float = 0.0
    margin: float = 0.0
    agreement: float = 0.0
    fits: float = 0.0

    @property
    def is_fitted(self) -> bool:
        """Whether it tells a probability."""
        return any(astuple(self))
