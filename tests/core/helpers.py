"""Helpers shared by the tests of the attention mechanisms."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def randomised(module: Module, std: float = 0.5) -> Module:
    """The module in float64 and eval mode, with parameters and statistics at non-trivial values."""
    torch.manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.double().eval()


def close(found: Tensor, expected: Tensor) -> None:
    """Fail unless the tensors are equal to within the rounding of float64."""
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
