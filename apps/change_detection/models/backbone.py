"""SeaFormer, the siamese backbone, without the final stage that change detection does not use."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.change_detection.models.config import StageConfig
from transect.core.attention import SqueezeAxialAttention
from transect.core.conv import ConvBN
from transect.core.drop_path import DropPath


class InvertedResidual(nn.Module):
    """MobileNetV2 block `(n, in, H, W)` to `(n, out, H / stride, W / stride)`.

    1x1 expansion, depthwise `kernel x kernel` and linear 1x1 projection, each with batch norm, ReLU between; residual
    where the shapes agree. An expansion of 1 has no expansion layer.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, expansion: float, stride: int) -> None:
        super().__init__()
        hidden = round(in_channels * expansion)
        self.widen = ConvBN(in_channels, hidden) if expansion != 1 else None
        self.depthwise = ConvBN(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.narrow = ConvBN(hidden, out_channels)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Transform the image."""
        hidden = x if self.widen is None else F.relu(self.widen(x), inplace=True)
        hidden = F.relu(self.depthwise(hidden), inplace=True)
        out: Tensor = self.narrow(hidden)
        return x + out if self.residual else out


class SeaFormerBlock(nn.Module):
    """Squeeze-axial attention and a convolutional MLP, each with a residual: `(n, dim, H, W)` to the same.

    Source: Wan et al., "SeaFormer" (2023), section 3.2.
    """

    def __init__(self, dim: int, config: StageConfig, drop_path: float) -> None:
        super().__init__()
        hidden = round(dim * config.mlp_ratio)
        self.attention = SqueezeAxialAttention(dim, config.key_dim, config.heads, config.value_ratio)
        self.widen = ConvBN(dim, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.narrow = ConvBN(hidden, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Mix along the axes, then per pixel."""
        x = x + self.drop_path(self.attention(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        mlp = self.narrow(F.relu6(self.depthwise(self.widen(x)), inplace=True))
        out: Tensor = x + self.drop_path(mlp)
        return out


class SeaFormer(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 of an image `(n, 3, H, W)`, sizes rounded up.

    The published classifier has a fifth stage that change detection does not use: it is not built here.

    Source: Wan et al., "SeaFormer" (2023), table 1.
    """

    def __init__(self, stem: int, stages: Sequence[StageConfig], drop_path: float = 0.1, channels: int = 3) -> None:
        super().__init__()
        self.stem = ConvBN(channels, stem, 3, stride=2)
        self.stages = nn.ModuleList()
        width = stem
        for level, stage in enumerate(stages):
            blocks: list[nn.Module] = []
            strided = 1 if level == 0 else 0
            for i, (out, expansion) in enumerate(zip(stage.channels, stage.expansions, strict=True)):
                blocks.append(InvertedResidual(width, out, stage.kernel, expansion, stride=2 if i == strided else 1))
                width = out
            last = max(stage.depth - 1, 1)
            blocks += [SeaFormerBlock(width, stage, drop_path * i / last) for i in range(stage.depth)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features, finest first."""
        x = F.relu(self.stem(image), inplace=True)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
