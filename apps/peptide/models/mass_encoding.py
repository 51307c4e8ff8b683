"""Sinusoidal mass encoding with wavelengths from 0.001 to 10 000 Da."""

import math

import torch
from torch import Tensor, nn

SHORTEST, LONGEST = 0.001, 10_000.0  # Da


class MassEncoding(nn.Module):
    r"""Sines, then cosines, of a mass at `dim / 2` wavelengths in geometric progression.

    ::

        lambda_k = (0.001 / 2 pi) (10^4 / 10^-3)^(k / (dim/2 - 1)),    y = [sin(x / lambda_k) ; cos(x / lambda_k)]

    The mass must be computed in float64 and rounded to float32 once: at the shortest wavelength an error of 6e-5 Da,
    one bit at 1000 Da, shifts the phase by 0.4 rad. The phase is float32, as in training of the published weights.

    Shapes: `(*any)` of float32 masses in Da (or m/z in Th) in, `(*any, dim)` out.

    Source: Voronov et al., "MS2Mol"; as in the encoders of RankNovo (2025).
    """

    wavelengths: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        steps = torch.arange(dim // 2).float() / max(dim // 2 - 1, 1)
        self.register_buffer("wavelengths", SHORTEST / (2 * math.pi) * (LONGEST / SHORTEST) ** steps)

    def forward(self, mass: Tensor) -> Tensor:
        """Encode `mass`."""
        phase = mass.float()[..., None] / self.wavelengths
        return torch.cat([phase.sin(), phase.cos()], -1)
