"""The interface of the change detectors."""

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 32  # the models halve an image five times


class ChangeDetector(nn.Module, ABC):
    """A model of two ImageNet-normalised float images `(n, channels, H, W)`, before and after.

    `forward(before, after)` returns the input of `change_loss`, `score(before, after)` a change map.
    """

    @abstractmethod
    def score(self, before: Tensor, after: Tensor) -> Tensor:
        """The change score in [0, 1], `(n, H, W)` float32, for any H and W; without gradients."""


def padded(image: Tensor) -> Tensor:
    """`image` `(n, c, h, w)` padded to multiples of 32 by replicating its last row and column."""
    height, width = image.shape[2:]
    extra = (0, -width % STRIDE, 0, -height % STRIDE)
    return F.pad(image, extra, mode="replicate") if any(extra) else image
