"""Sizes of the reranker, free of torch."""

from dataclasses import dataclass
from typing import Literal

from transect.data_adapters.settings import require, require_at_most


@dataclass(frozen=True)
class RerankerConfig:
    """Sizes of the reranker.

    Args:
        dim: Width of all tokens, a multiple of 8 and of the heads.
        heads: Heads of every attention.
        feedforward: Width of the hidden layers.
        encoder_layers: Layers of the spectrum encoder.
        layers: Layers of attention along and across candidates.
        dropout: Dropout rate; not applied to attention maps, which fused kernels do not expose.
        max_length: Longest candidate, a modified N-terminus and the start token included; longer ones are not scored.
        max_charge: Largest precursor charge; larger ones are clamped.
        column_attention: Whether candidates attend to each other at each residue position.
        row_scale: true_depth scales the tied attention by the number of candidates of a spectrum, which makes scores
            independent of the rest of the batch; padded by the largest number in the batch, as RankNovo does.
        mask_gaps: Mask the tokens after the end of a candidate; False attends to gap tokens up to the end of the
            longest candidate, as RankNovo does, so that one long candidate affects the scores of all.
        evidence: Add matched fragment ions as features of every residue.
        peaks: all encodes the spectrum; none is an ablation that uses only the precursor.
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
        require_at_most(self, dim=65536, heads=1024, feedforward=1 << 20, encoder_layers=1000, layers=1000)
        require_at_most(self, max_length=10_000, max_charge=1000)
        expected = f"a multiple of 8 and of heads = {self.heads}"
        require(self.dim % self.heads == 0 and self.dim % 8 == 0, "dim", self.dim, expected)
        require(0 <= self.dropout < 1, "dropout", self.dropout, "a share in [0, 1)")
