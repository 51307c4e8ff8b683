"""The change extractor: fusion of the features of both dates at one scale."""

import torch
from torch import Tensor, nn


class SeparableConv(nn.Sequential):
    """Depthwise 3x3, pointwise, batch norm, ReLU: `(n, in, h, w)` to `(n, out, h, w)`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ChannelGate(nn.Module):
    """Channel weights `sigmoid(W [relu(W_1 z); ... relu(W_4 z)])` of the mean z: `(n, c, h, w)` to `(n, c, 1, 1)`."""

    def __init__(self, channels: int, branches: int = 4, reduction: int = 32) -> None:
        super().__init__()
        # The concatenated branches are one linear map.
        hidden = branches * (channels // reduction)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels by their means."""
        gate: Tensor = self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        return gate[:, :, None, None]


class ChangeExtractor(nn.Module):
    """Fuses the features of two dates: `(n, c, h, w)` twice to `(n, c, h, w)`; not symmetric in the dates.

    With `D = A - B`, the channel gate `e` of D and spatial gates `a = sigmoid(conv(sep[D; A]))` and
    `b = sigmoid(conv(sep[D; B]))`, the output is `sep[a A e; b B e]`, where sep is a separable convolution.

    Source: "Rethinking Remote Sensing Change Detection With A Mask View" (2024), spatial-temporal convolutional
    attention.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_gate = ChannelGate(channels)
        self.before = SeparableConv(2 * channels, channels)
        self.before_gate = nn.Conv2d(channels, 1, 1)
        self.after = SeparableConv(2 * channels, channels)
        self.after_gate = nn.Conv2d(channels, 1, 1)
        self.fuse = SeparableConv(2 * channels, channels)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Fuse the two dates."""
        difference = before - after
        channel_gate = self.channel_gate(difference)
        before_gate = self.before_gate(self.before(torch.cat([difference, before], 1))).sigmoid()
        after_gate = self.after_gate(self.after(torch.cat([difference, after], 1))).sigmoid()
        gated = [before_gate * before * channel_gate, after_gate * after * channel_gate]
        fused: Tensor = self.fuse(torch.cat(gated, 1))
        return fused
