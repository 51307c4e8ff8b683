"""Stochastic depth."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth: in training, zero a branch for a sample with probability `rate` and rescale the others.

    Two lines of code rather than `torchvision.ops.StochasticDepth`, since that import costs a prediction 5 s.

    Shapes: `(batch, ...)` in, the same out.

    Source: Huang et al., "Deep Networks with Stochastic Depth" (2016), eq. 2.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Keep or drop each sample of the batch."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (keep / (1 - self.rate)).to(x.dtype)
