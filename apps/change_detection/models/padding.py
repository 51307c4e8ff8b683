"""Images of any size for models that halve them five times."""

import torch.nn.functional as F
from torch import Tensor

STRIDE = 32


def padded(image: Tensor) -> Tensor:
    """`image` `(n, c, h, w)` continued by its last row and column to multiples of 32."""
    height, width = image.shape[2:]
    extra = (0, -width % STRIDE, 0, -height % STRIDE)
    return F.pad(image, extra, mode="replicate") if any(extra) else image
