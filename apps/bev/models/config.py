"""Sizes of the networks; imports no torch, so that `--help` stays fast."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.settings import require, require_at_most

ModelName = Literal["sinbevt", "bilinear", "lift_splat"]
Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class BackboneConfig:
    """The convolutional network that computes features of each image.

    Args:
        name: "efficientnet_b4" is that of CoBEVT; "residual" is a small one, for training on a CPU.
        widths: Channels of the residual network at 1/2, 1/4, 1/8 and so on of the image.
        checkpointing: Compute the features again in the backward pass, to save memory.
    """

    name: Literal["efficientnet_b4", "residual"] = "efficientnet_b4"
    widths: tuple[int, ...] = (16, 32, 64)
    checkpointing: bool = False

    def __post_init__(self) -> None:
        section = "model.backbone."
        require(2 <= len(self.widths) <= 6, section + "widths", self.widths, "2 to 6 numbers")
        require(min(self.widths) >= 1, section + "widths", self.widths, "positive numbers")
        require_at_most(self, section, widths=2048)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the features at 1/4, 1/8 and so on of the image."""
        return (32, 56, 112) if self.name == "efficientnet_b4" else self.widths[1:]

    def sizes(self, height: int, width: int) -> list[Size]:
        """Sizes of the features at each level, rounded up."""
        return [(-(-height // stride), -(-width // stride)) for stride in (4 * 2**i for i in range(len(self.channels)))]


@dataclass(frozen=True)
class SinBEVTConfig:
    """Sizes of SinBEVT, the single-vehicle network of CoBEVT; the defaults are the published ones.

    Level k attends to the features of level k among the last `len(dims)` of the backbone. The coarsest map has
    1 / 2^`len(decoder)` of the rows and columns of the grid, each finer one twice as many. Image features are
    partitioned into as many windows as the map.

    Args:
        dims: Channels of each level of fused axial attention, from fine to coarse; each twice the one before.
        heads: Attention heads of each level.
        query_windows: Height and width of the windows of the map at each level, in cells.
        bottlenecks: Residual blocks after the attention of each level.
        bev_embedding: Whether the queries of each level know their place on the ground.
        decoder: Channels of each upsampling block.
    """

    dims: tuple[int, ...] = (32, 64, 128)
    heads: tuple[int, ...] = (1, 2, 4)
    query_windows: tuple[Size, ...] = ((10, 10), (10, 10), (25, 25))
    bottlenecks: tuple[int, ...] = (2, 2, 2)
    bev_embedding: tuple[bool, ...] = (True, False, False)
    decoder: tuple[int, ...] = (128, 128, 64)

    def __post_init__(self) -> None:
        section, levels = "model.sinbevt.", len(self.dims)
        require(1 <= levels <= 5, section + "dims", self.dims, "1 to 5 numbers")
        for name in ("heads", "query_windows", "bottlenecks", "bev_embedding"):
            require(len(getattr(self, name)) == levels, section + name, getattr(self, name), f"{levels}, as of dims")
        doubled = all(coarse == 2 * fine for fine, coarse in pairwise(self.dims))
        require(doubled, section + "dims", self.dims, "each twice the one before")
        fits = all(heads >= 1 and dim % heads == 0 for dim, heads in zip(self.dims, self.heads, strict=True))
        require(fits, section + "heads", self.heads, f"divisors of dims = {self.dims}")
        require(min(self.dims) >= 4 and self.dims[0] % 4 == 0, section + "dims", self.dims, "multiples of 4")
        windows = [length for window in self.query_windows for length in window]
        require(min(windows) >= 1, section + "query_windows", self.query_windows, "positive numbers")
        require(min(self.bottlenecks) >= 0, section + "bottlenecks", self.bottlenecks, "0 or more")
        _check_decoder(self.decoder, section)
        require_at_most(self, section, dims=2048, bottlenecks=16)

    def map_sizes(self, grid: Grid) -> list[Size]:
        """Sizes of the maps at each level, from fine to coarse."""
        finer = [2**k for k in reversed(range(len(self.dims)))]
        height, width = reduced(grid, len(self.decoder))
        return [(height * factor, width * factor) for factor in finer]


@dataclass(frozen=True)
class BilinearConfig:
    """Sizes of the baseline that samples image features where points of the map project.

    Args:
        levels: Number of the last levels of the backbone whose features are merged.
        dim: Channels of the features.
        heights: Height above the ground of the points over each cell, m.
        blocks: Residual blocks on the map.
        decoder: Channels of each upsampling block; each halves the number of rows and columns of the map.
    """

    levels: int = 2
    dim: int = 64
    heights: tuple[float, ...] = (0.0, 0.8, 1.6)
    blocks: int = 2
    decoder: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        section = "model.bilinear."
        require(1 <= len(self.heights) <= 16, section + "heights", self.heights, "1 to 16 numbers")
        require(all(-5 <= z <= 10 for z in self.heights), section + "heights", self.heights, "-5 to 10 m")
        _check_lifting(self, section, self.decoder)


@dataclass(frozen=True)
class LiftSplatConfig:
    """Sizes of the baseline that lifts image features to a distribution of depths and sums them over each cell.

    Args:
        levels: Number of the last levels of the backbone whose features are merged.
        dim: Channels of the features.
        nearest: Smallest depth along the axis of a camera, m.
        farthest: Largest depth, m.
        depths: Number of depths, equally spaced.
        blocks: Residual blocks on the map.
        decoder: Channels of each upsampling block; each halves the number of rows and columns of the map.
    """

    levels: int = 1
    dim: int = 64
    nearest: float = 2.0
    farthest: float = 58.0
    depths: int = 57
    blocks: int = 2
    decoder: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        section = "model.lift_splat."
        require(self.nearest > 0, section + "nearest", self.nearest, "above 0")
        require(self.farthest > self.nearest, section + "farthest", self.farthest, f"above nearest = {self.nearest}")
        require(self.depths >= 2, section + "depths", self.depths, "2 or more")
        require_at_most(self, section, farthest=1000, depths=1000)
        _check_lifting(self, section, self.decoder)


@dataclass(frozen=True)
class ModelConfig:
    """Which network maps images and their calibration to a map.

    Args:
        name: "sinbevt"; "bilinear" samples image features at the projections of points at several heights;
            "lift_splat" predicts a depth distribution for each image cell and sums the lifted features.
        backbone: What computes features of each image.
        sinbevt: Sizes of SinBEVT.
        bilinear: Sizes of the bilinear baseline.
        lift_splat: Sizes of the lift-splat baseline.
    """

    name: ModelName = "sinbevt"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    sinbevt: SinBEVTConfig = field(default_factory=SinBEVTConfig)
    bilinear: BilinearConfig = field(default_factory=BilinearConfig)
    lift_splat: LiftSplatConfig = field(default_factory=LiftSplatConfig)

    def __post_init__(self) -> None:
        offered = len(self.backbone.channels)
        field_name = "dims" if self.name == "sinbevt" else "levels"
        expected = f"at most the {offered} levels of the backbone"
        require(self.levels <= offered, f"model.{self.name}.{field_name}", self.levels, expected)

    @property
    def levels(self) -> int:
        """Number of the last levels of the backbone that the network takes."""
        if self.name == "sinbevt":
            return len(self.sinbevt.dims)
        return self.bilinear.levels if self.name == "bilinear" else self.lift_splat.levels

    @property
    def decoder(self) -> tuple[int, ...]:
        """Channels of each upsampling block."""
        if self.name == "sinbevt":
            return self.sinbevt.decoder
        return self.bilinear.decoder if self.name == "bilinear" else self.lift_splat.decoder

    def check(self, read: ReadConfig) -> None:
        """Check that the maps of the network upsample to the grid.

        Raises:
            ValueError: they do not.
        """
        factor = 2 ** len(self.decoder)
        for name in ("height", "width"):
            found: int = getattr(read.grid, name)
            require(found % factor == 0, f"read.grid.{name}", found, f"a multiple of {factor}, for model.decoder")


def reduced(grid: Grid, blocks: int) -> Size:
    """The size of the map that `blocks` upsampling blocks bring to the grid."""
    return grid.height // 2**blocks, grid.width // 2**blocks


def _check_lifting(settings: BilinearConfig | LiftSplatConfig, section: str, decoder: tuple[int, ...]) -> None:
    for name in ("levels", "dim"):
        require(getattr(settings, name) >= 1, section + name, getattr(settings, name), "1 or more")
    require(settings.dim % 4 == 0, section + "dim", settings.dim, "a multiple of 4")
    require(settings.blocks >= 0, section + "blocks", settings.blocks, "0 or more")
    require_at_most(settings, section, levels=5, dim=2048, blocks=16)
    _check_decoder(decoder, section)


def _check_decoder(decoder: tuple[int, ...], section: str) -> None:
    require(1 <= len(decoder) <= 6, section + "decoder", decoder, "1 to 6 numbers")
    even = all(2 <= width <= 2048 and width % 2 == 0 for width in decoder)
    require(even, section + "decoder", decoder, "even numbers, at most 2048")
