"""SRMA-Mamba: a selective-scan encoder with a reverse-attention decoder for one structure in a volume."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from transect.apps.liver_mri.models.config import SRMAMambaConfig
from transect.core.attention import TriPlaneScan

STAGES = 4


class SRMAMamba(nn.Module):
    """Segments one structure in volumes of one channel.

    The encoder halves the grid in its stem and between its four stages, of widths C, 2C, 4C, 8C. The decoder starts
    from a coarse map of the last stage. Each finer stage refines the map where it does not see the structure yet
    ("reverse attention").

    Shapes: `(batch, 1, H, W, D)` in; four `(batch, 1, H, W, D)` of logits out, first the prediction and then the
    coarser maps, for deep supervision. Any size of which one axis is above 16.

    Source: Zeng et al., "SRMA-Mamba: Spatial Reverse Mamba Attention Network for Pathological Liver Segmentation in MRI
    Volumes" (2025). As published, stochastic depth is 0.1 at most, and the convolutions inside the scans run over
    flattened planes.
    """

    def __init__(self, config: SRMAMambaConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.dim * 2**stage for stage in range(STAGES)]
        rates = iter(torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist())
        self.stem = Stem(config.dim)
        self.stages = nn.ModuleList(
            Stage(width, depth, config.states, [next(rates) for _ in range(depth)])
            for width, depth in zip(widths, config.depths, strict=True)
        )
        self.downsamples = nn.ModuleList(Downsample(width, 2 * width) for width in widths[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        dim = config.decoder_dim
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv3d(width, dim, 1, bias=False), nn.BatchNorm3d(dim)) for width in widths
        )
        self.coarse = nn.Conv3d(dim, 1, 1)
        self.refinements = nn.ModuleList(
            ReverseAttention(dim, config.states, config.drop_path) for _ in range(STAGES - 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The logits, finest first."""
        features: list[Tensor] = []
        v = self.stem(x)
        for stage, norm, lateral in zip(self.stages, self.norms, self.laterals, strict=True):
            if features:
                v = self.downsamples[len(features) - 1](v)
            v = stage(v)
            features.append(lateral(_channels_first(norm(v))))
        maps = [self.coarse(features[-1])]
        for feature, refinement in zip(features[-2::-1], list(self.refinements)[::-1], strict=True):
            maps.append(refinement(feature, maps[-1]))
        one, two, three, four = (_resized(logits, x) for logits in maps[::-1])
        return one, two, three, four


class Stem(nn.Module):
    """Two convolutions that halve the grid: `(batch, 1, H, W, D)` -> `(batch, H/2, W/2, D/2, dim)`, rounded up."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv3d(1, dim // 2, 3, 2, 1), nn.LayerNorm(dim // 2)
        self.conv2, self.norm2 = nn.Conv3d(dim // 2, dim, 1), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(_channels_last(self.conv1(x))))
        out: Tensor = self.norm2(_channels_last(self.conv2(_channels_first(x))))
        return out


class Downsample(nn.Module):
    """A convolution of stride 2: `(batch, *grid, in_dim)` -> `(batch, *grid / 2, out_dim)`, rounded up."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv3d(in_dim, out_dim, 3, 2, 1), nn.LayerNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(_channels_last(self.conv(_channels_first(x))))
        return out


class Stage(nn.Module):
    """A gated convolution followed by scan blocks: `(batch, *grid, dim)` in, the same out."""

    def __init__(self, dim: int, depth: int, states: int, drop_path: list[float]) -> None:
        super().__init__()
        self.convolution = GatedConvolution(dim)
        self.blocks = nn.ModuleList(ScanBlock(dim, states, rate) for rate in drop_path[:depth])

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        for block in self.blocks:
            x = block(x)
        return x


class GatedConvolution(nn.Module):
    """The local part of a stage ("GSC"): two paths of convolutions, summed and added to the input.

    With IN the instance norm without affine parameters, of this instance in evaluation too::

        a = relu IN conv3(relu IN conv3(x)),  b = relu IN conv1(x),  y = relu IN conv1(a + b) + x

    Shapes: `(batch, *grid, dim)` in, the same out.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.local1, self.local2 = nn.Conv3d(dim, dim, 3, 1, 1), nn.Conv3d(dim, dim, 3, 1, 1)
        self.pointwise, self.mix = nn.Conv3d(dim, dim, 1), nn.Conv3d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        volume = _channels_first(x)
        local = _activated(self.local2(_activated(self.local1(volume))))
        mixed = _activated(self.mix(local + _activated(self.pointwise(volume))))
        return x + _channels_last(mixed)


class ScanBlock(nn.Module):
    """Tri-plane selective scan and MLP, each with a residual: `(batch, H, W, D, dim)` in, the same out."""

    def __init__(self, dim: int, states: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.scan = nn.LayerNorm(dim), TriPlaneScan(dim, states=states)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop_path = StochasticDepth(drop_path, "row")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.scan(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class ReverseAttention(nn.Module):
    """Refines a coarse map with the features of a finer stage, weighted by where the map does not see the structure.

    With `m` the coarse map resized to the features `t`::

        y = conv((1 - sigmoid m) block(t)),  y = conv'(block'(y) + t),  out = conv''(y) + m

    Shapes: features `(batch, dim, H, W, D)` and a map `(batch, 1, *coarser)` in; `(batch, 1, H, W, D)` out.

    Source: SRMA-Mamba, the spatial reverse Mamba attention.
    """

    def __init__(self, dim: int, states: int, drop_path: float) -> None:
        super().__init__()
        self.block1, self.block2 = (ScanBlock(dim, states, drop_path) for _ in range(2))
        self.conv1, self.conv2, self.conv3 = nn.Conv3d(dim, dim, 1), nn.Conv3d(dim, dim, 1), nn.Conv3d(dim, 1, 1)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        coarse = _resized(coarse, features)
        y = self.conv1((1 - coarse.sigmoid()) * _on_grid(self.block1, features))
        y = self.conv2(_on_grid(self.block2, y) + features)
        out: Tensor = self.conv3(y) + coarse
        return out


def _activated(x: Tensor) -> Tensor:
    return F.relu(F.instance_norm(x))


def _on_grid(block: nn.Module, x: Tensor) -> Tensor:
    return _channels_first(block(_channels_last(x)))


def _channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)


def _channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """`x` interpolated trilinearly to the grid of `like`."""
    return F.interpolate(x, like.shape[2:], mode="trilinear", align_corners=False)
