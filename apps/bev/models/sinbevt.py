"""SinBEVT, the single-vehicle network of CoBEVT."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from transect.apps.bev.models.blocks import Bottleneck, Downsample
from transect.apps.bev.models.config import ModelConfig
from transect.apps.bev.models.fax import Embedding, FusedAxialCrossAttention
from transect.apps.bev.models.network import BevNetwork
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig


class SinBEVT(BevNetwork):
    """A learned map that attends to image features at each level, from fine to coarse, and is upsampled to the grid.

    Args:
        config: Sizes of the network.
        read: Sizes of the images and the grid.
        channels: Of the logits.

    Source: Xu et al., "CoBEVT: Cooperative Bird's Eye View Semantic Segmentation with Sparse Transformers" (2022).
    """

    def __init__(self, config: ModelConfig, read: ReadConfig, channels: int) -> None:
        sizes = config.sinbevt
        super().__init__(config, read, sizes.dims[-1], channels)
        maps = sizes.map_sizes(read.grid)
        features = config.backbone.sizes(read.height, read.width)[-config.levels :]
        widths = config.backbone.channels[-config.levels :]
        self.prior = nn.Parameter(torch.randn(sizes.dims[0], *maps[0]))
        self.attention = nn.ModuleList(
            FusedAxialCrossAttention(
                dim,
                sizes.heads[k],
                channels=widths[k],
                features=features[k],
                image=(read.height, read.width),
                grid=read.grid,
                size=maps[k],
                query_window=sizes.query_windows[k],
                embedded=sizes.bev_embedding[k],
            )
            for k, dim in enumerate(sizes.dims)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*(Bottleneck(dim) for _ in range(blocks)))
            for dim, blocks in zip(sizes.dims, sizes.bottlenecks, strict=True)
        )
        self.down = nn.ModuleList(Downsample(dim) for dim in sizes.dims[:-1])

    def geometry(self, intrinsics: Tensor, camera_to_ego: Tensor) -> list[Embedding]:
        """The embeddings of the calibration at each level."""
        return [cast(FusedAxialCrossAttention, part).embed(intrinsics, camera_to_ego) for part in self.attention]

    def lift(self, features: Sequence[Tensor], geometry: Sequence[Embedding], views: Views) -> Tensor:
        """The coarsest map."""
        x = self.prior.expand(views.batch, -1, -1, -1)
        for k, (attention, refine) in enumerate(zip(self.attention, self.refine, strict=True)):
            x = attention(x.permute(0, 2, 3, 1), features[k], geometry[k], views).permute(0, 3, 1, 2)
            x = refine(x)
            if k < len(self.down):
                x = self.down[k](x)
        return x
