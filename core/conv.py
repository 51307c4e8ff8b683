"""Convolution followed by batch normalization, fused in evaluation mode."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBN(nn.Module):
    """Convolution without bias, then batch norm: `(batch, in, H, W)` to `(batch, out, H', W')`.

    In evaluation mode the norm is a fixed scale and shift, which is folded into the kernel on the fly: this saves one
    pass over the image and needs no conversion step. Padding is `kernel // 2` by default, which keeps the size up to
    the stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
        gamma: float = 1.0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2 if padding is None else padding,
            groups=groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels, eps)
        nn.init.constant_(self.norm.weight, gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalize."""
        conv, norm = self.conv, self.norm
        mean, variance = norm.running_mean, norm.running_var
        if self.training or mean is None or variance is None:
            out: Tensor = norm(conv(x))
            return out
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return F.conv2d(
            x,
            conv.weight * scale[:, None, None, None],
            norm.bias - mean * scale,
            conv.stride,
            conv.padding,
            1,
            conv.groups,
        )
