"""The spectrum encoder: a transformer over peaks."""

import torch
from torch import Tensor, nn

from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.mass_encoding import MassEncoding
from transect.core.attention import AxialAttention


class EncoderLayer(nn.Module):
    """Self-attention of the peaks and an MLP, both post-norm.

    Shapes: `(batch, peaks, dim)` in, the same out.
    """

    def __init__(self, config: RerankerConfig) -> None:
        super().__init__()
        self.attention = AxialAttention(config.dim, config.heads, ndim=1, qkv_bias=True)
        self.norm1 = nn.LayerNorm(config.dim)
        self.linear1 = nn.Linear(config.dim, config.feedforward)
        self.linear2 = nn.Linear(config.feedforward, config.dim)
        self.norm2 = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Transform the tokens; `mask` `(batch, peaks)` is False at padding."""
        x = self.norm1(x + self.dropout(self.attention(x, mask)))
        hidden = self.dropout(self.linear1(x).relu())
        out: Tensor = self.norm2(x + self.dropout(self.linear2(hidden)))
        return out


class SpectrumEncoder(nn.Module):
    r"""A transformer over peaks, preceded by two pseudo-peaks: one at 0 and one at the precursor's mass.

    A peak of m/z x and intensity a is `MassEncoding(x) + w a`; the intensities of the pseudo-peaks are learned. Peaks
    of zero m/z and intensity are padding.

    Shapes: peaks `(batch, peaks, 2)` float32, m/z in Th and intensity, and precursor masses `(batch,)` in Da in;
    tokens `(batch, peaks + 2, dim)` and their mask, False at padding, out.

    Source: the spectrum encoder of "Universal Biological Sequence Reranking for Improved De Novo Peptide Sequencing"
    (RankNovo, 2025).
    """

    def __init__(self, config: RerankerConfig) -> None:
        super().__init__()
        self.mass = MassEncoding(config.dim)
        self.intensity = nn.Linear(1, config.dim, bias=False)
        self.pseudo_intensity = nn.Parameter(torch.randn(2))
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))

    def forward(self, peaks: Tensor, precursor_mass: Tensor) -> tuple[Tensor, Tensor]:
        """Encode the peaks."""
        pseudo_mass = torch.stack([torch.zeros_like(precursor_mass), precursor_mass], 1)
        pseudo = torch.stack([pseudo_mass, self.pseudo_intensity.expand(len(peaks), 2)], 2)
        peaks = torch.cat([pseudo, peaks], 1)
        mask = peaks.sum(2) != 0
        x = self.mass(peaks[..., 0]) + self.intensity(peaks[..., 1:])
        for layer in self.layers:
            x = layer(x, mask)
        return x, mask
