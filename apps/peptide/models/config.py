"""Sizes of the reranker, free of torch."""

from dataclasses import dataclass
from typing import Literal

from transect.data_adapters.settings import require


@dataclass(frozen=True)
class RerankerConfig:
    """Sizes of the reranker.

    Args:
        dim: Width of all tokens, a multiple of 8 and of the heads.
        heads: Heads of every attention.
        feedforward: Width of the hidden layers.
        encoder_layers: Layers of the spectrum encoder.
        layers: Layers that mix the candidates.
        dropout: Share of activations dropped in training; attention's maps are left whole, as fused kernels need it.
        max_length: Longest candidate, a modified N-terminus and the start token included; longer ones are not scored.
        max_charge: Largest precursor charge; larger ones count as it.
        column_attention: Whether candidates attend to each other residue by residue.
        row_scale: true_depth scales the shared attention map by the candidates that a spectrum has, which leaves its
            scores alone whatever else is in the batch; padded by the most that any spectrum of the batch has, as
            RankNovo does.
        mask_gaps: Hide what is behind the end of a candidate; False shows gaps to the longest one's end, as RankNovo
            does, so that one long candidate moves the scores of all.
        evidence: Tell the model at every residue which fragment ions are in the spectrum.
        peaks: all reads the spectrum; none is the control that sees no spectrum but its precursor.
    """

    dim: int = 64
    heads: int = 4
    feedforward: int = 128
    encoder_layers: int = 2
    layers: int = 2
    dropout: float = 0.2
    max_length: int = 64
    max_charge: int = 10
    column_attention: bool = True
    row_scale: Literal["true_depth", "padded"] = "true_depth"
    mask_gaps: bool = True
    evidence: bool = True
    peaks: Literal["all", "none"] = "all"

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "feedforward", "encoder_layers", "layers", "max_length", "max_charge"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        expected = f"a multiple of 8 and of heads = {self.heads}"
        require(self.dim % self.heads == 0 and self.dim % 8 == 0, "dim", self.dim, expected)
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a share in [0, 1)")
