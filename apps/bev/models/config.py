"""Sizes of the networks; imports no torch, so that `--help` stays fast."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SinBEVTConfig:
    """Sizes of SinBEVT, the single-vehicle network of CoBEVT; the defaults are the published ones for 224 x 480 images.

    Args:
        dims: Channels of each level of fused axial attention, from fine to coarse; each twice the one before.
        heads: Attention heads of each level.
        query_windows: Height and width of the windows of the map at each level.
        image_windows: Height and width of the windows of the image features at each level.
        bottlenecks: Residual blocks after the attention of each level.
        prior: Side of the learned map at the finest level, in cells.
        bev_embedding: Whether the queries of each level know their place on the ground.
        decoder: Channels of each upsampling block.
        checkpointing: Recompute the backbone in the backward pass to save memory.
    """

    dims: tuple[int, ...] = (32, 64, 128)
    heads: tuple[int, ...] = (1, 2, 4)
    query_windows: tuple[tuple[int, int], ...] = ((10, 10), (10, 10), (25, 25))
    image_windows: tuple[tuple[int, int], ...] = ((6, 12), (6, 12), (14, 30))
    bottlenecks: tuple[int, ...] = (2, 2, 2)
    prior: int = 100
    bev_embedding: tuple[bool, ...] = (True, False, False)
    decoder: tuple[int, ...] = (128, 128, 64)
    checkpointing: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """Which network maps images and their calibration to a map.

    Args:
        name: "sinbevt"; "bilinear" samples image features at the projections of points at several heights;
            "lift_splat" predicts a depth distribution for each image cell and sums the lifted features.
        sinbevt: Sizes of SinBEVT.
    """

    name: Literal["sinbevt", "bilinear", "lift_splat"] = "sinbevt"
    sinbevt: SinBEVTConfig = field(default_factory=SinBEVTConfig)
