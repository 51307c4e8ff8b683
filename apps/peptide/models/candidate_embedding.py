"""Embedding of candidate peptides: one token per residue, with mass encodings."""

import torch
from torch import Tensor, nn

from transect.apps.peptide.models import vocabulary
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.mass_encoding import MassEncoding


class CandidateEmbedding(nn.Module):
    r"""Embeds the type of each token, its residue mass, the remaining mass after it and its position.

    With t the tokens of a candidate, m their masses and M the precursor's, water included::

        x_c = [E(t_c) ; Mass(m_c) ; Mass(M - sum_(i <= c) m_i)] + P(c + 2)
        x_0 += [Mass(M) + Z(charge - 1) ; Mass(0) ; Mass(0)]

    followed by layer norm, zero at padding. The reference calls the second part a prefix mass, but it is that of the
    residue. With evidence, a linear map of it, initialized to zero, is added before the norm.

    Shapes: tokens and masses (float64, Da) `(batch, candidates, columns)`, the first column a start token, precursor
    masses (float32, Da) and charges `(batch,)` in; `(batch, candidates, columns, dim)` out.

    Source: the candidate embedding of "Universal Biological Sequence Reranking for Improved De Novo Peptide Sequencing"
    (RankNovo, 2025).
    """

    def __init__(self, config: RerankerConfig, evidence_channels: int) -> None:
        super().__init__()
        half, quarter = config.dim // 2, config.dim // 4
        self.token = nn.Embedding(vocabulary.SIZE, half, padding_idx=vocabulary.PAD)
        self.charge = nn.Embedding(config.max_charge, half)
        self.precursor_mass = MassEncoding(half)
        self.mass = MassEncoding(quarter)
        self.position = nn.Embedding(config.max_length + 2, config.dim, padding_idx=vocabulary.PAD)
        self.evidence = nn.Linear(evidence_channels, config.dim) if config.evidence else None
        if self.evidence is not None:
            nn.init.zeros_(self.evidence.weight)
            nn.init.zeros_(self.evidence.bias)
        self.norm = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, tokens: Tensor, masses: Tensor, precursor_mass: Tensor, charge: Tensor, evidence: Tensor | None
    ) -> Tensor:
        """Embed `tokens`; `evidence` is `(batch, candidates, columns, channels)`."""
        present = tokens != vocabulary.PAD
        x = self.of_tokens(tokens, masses, precursor_mass, charge)
        # Gaps have positions; padding only occurs at the end.
        x = x + self.position(torch.where(present, torch.arange(2, tokens.shape[-1] + 2, device=x.device), 1))
        if self.evidence is not None and evidence is not None:
            x = x + self.evidence(evidence)
        return self.dropout(self.norm(x)) * present[..., None]

    def of_tokens(self, tokens: Tensor, masses: Tensor, precursor_mass: Tensor, charge: Tensor) -> Tensor:
        """Type, mass and remaining mass of each token, before its position is added."""
        # Summed in float64, subtracted in float32: the rounding with which the published weights were trained.
        remaining = precursor_mass[:, None, None] - masses.cumsum(-1).float()
        x = torch.cat([self.token(tokens), self.mass(masses.float()), self.mass(remaining)], -1)
        charge = charge.clamp(1, self.charge.num_embeddings) - 1
        zero = self.mass(torch.zeros_like(precursor_mass))
        start = torch.cat([self.precursor_mass(precursor_mass) + self.charge(charge), zero, zero], -1)
        return torch.cat([x[:, :, :1] + start[:, None, None], x[:, :, 1:]], 2)
