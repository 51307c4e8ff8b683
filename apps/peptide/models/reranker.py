"""The reranker: a transformer over the candidates of a spectrum that predicts the mass deviation of each."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.peptide.models.candidate_embedding import CandidateEmbedding
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.spectrum_encoder import SpectrumEncoder
from transect.apps.peptide.models.vocabulary import PAD
from transect.core.attention import AxialAttention, FoldedCrossAttention, TiedAttention


class Deviations(NamedTuple):
    """Predicted deviations from the true peptide, in units of 51.4238 Da.

    `peptide` `(batch, candidates)` is of whole candidates, 0 for the true one and positive otherwise; `residue`
    `(batch, candidates, columns)`, signed, is of the prefix that ends at each token.
    """

    peptide: Tensor
    residue: Tensor


class CandidateLayer(nn.Module):
    r"""Four blocks, each `x + Drop(f(LN(x)))`: along a candidate, across candidates, to the spectrum, and an MLP.

    Attention along a candidate is tied: all candidates of a spectrum share one map. Attention across candidates is
    separate for each column.

    Shapes: `(batch, candidates, columns, dim)` in, the same out.
    """

    def __init__(self, config: RerankerConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.padded_scale = config.row_scale == "padded"
        self.row = TiedAttention(dim, heads, qkv_bias=True)
        self.column = AxialAttention(dim, heads, axes=(0,), qkv_bias=True) if config.column_attention else None
        self.cross = FoldedCrossAttention(dim, heads, qkv_bias=True)
        self.fc1, self.fc2 = nn.Linear(dim, config.feedforward), nn.Linear(config.feedforward, dim)
        self.row_norm, self.cross_norm, self.mlp_norm = (nn.LayerNorm(dim) for _ in range(3))
        self.column_norm = nn.LayerNorm(dim) if config.column_attention else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Transform the tokens; `mask` `(batch, candidates, columns)` is False at padding."""
        head_dim = x.shape[-1] // self.row.heads
        scale = (head_dim * x.shape[1]) ** -0.5 if self.padded_scale else None
        x = x + self.dropout(self.row(self.row_norm(x), mask, scale=scale))
        if self.column is not None and self.column_norm is not None:
            x = x + self.dropout(self.column(self.column_norm(x), mask))
        x = x + self.dropout(self.cross(self.cross_norm(x), memory, memory_mask))
        out: Tensor = x + self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(self.mlp_norm(x))))))
        return out


class Reranker(nn.Module):
    """Predicts the mass deviation of each candidate of a spectrum, and of each of its residues.

    Equivariant to permutations of the candidates. With `row_scale="true_depth"` predictions for a spectrum do not
    depend on the rest of the batch. Evidence, which RankNovo does not have, is added through linear maps to the tokens
    and, that of whole candidates, to their predicted deviations; an untrained model ranks by its likelihood ratios.

    Source: "Universal Biological Sequence Reranking for Improved De Novo Peptide Sequencing" (RankNovo, 2025).
    """

    def __init__(self, config: RerankerConfig, evidence_channels: int = 0) -> None:
        super().__init__()
        self.config = config
        self.encoder = SpectrumEncoder(config)
        self.embedding = CandidateEmbedding(config, evidence_channels)
        self.layers = nn.ModuleList(CandidateLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.peptide_deviation = nn.Linear(config.dim, 1)
        self.shown = nn.Linear(evidence_channels, 1, bias=False) if config.evidence else None
        if self.shown is not None:
            # Initialized to rank by the likelihood ratio, the last channel of the evidence.
            nn.init.zeros_(self.peptide_deviation.weight)
            nn.init.zeros_(self.peptide_deviation.bias)
            nn.init.zeros_(self.shown.weight)
            nn.init.constant_(self.shown.weight[:, -1:], -1.0)
        self.residue_deviation = nn.Linear(config.dim, 1)

    def forward(
        self,
        peaks: Tensor,
        precursor_mass: Tensor,
        charge: Tensor,
        tokens: Tensor,
        masses: Tensor,
        evidence: Tensor | None = None,
    ) -> Deviations:
        """Score candidates.

        Args:
            peaks: `(batch, peaks, 2)` float32, m/z in Th and intensity of norm 1 over the spectrum; zeros are padding.
            precursor_mass: `(batch,)` float32, of the neutral precursor with water, Da.
            charge: `(batch,)` int64.
            tokens: `(batch, candidates, columns)` int64, the first column `START`; all `PAD` for missing candidates.
            masses: `(batch, candidates, columns)` float64, Da, 0 for tokens that are not residues.
            evidence: `(batch, candidates, columns, channels)` float32.
        """
        if self.config.peaks == "none":
            peaks = peaks[:, :0]
            evidence = None
        memory, memory_mask = self.encoder(peaks, precursor_mass)
        mask = tokens != PAD
        x = self.embedding(tokens, masses, precursor_mass, charge, evidence)
        for layer in self.layers:
            x = layer(x, mask, memory, memory_mask)
        x = self.norm(x)
        peptide = self.peptide_deviation(x[:, :, 0])
        if self.shown is not None and evidence is not None:
            peptide = peptide + self.shown(evidence[:, :, 0])
        return Deviations(peptide.squeeze(-1), self.residue_deviation(x).squeeze(-1))
