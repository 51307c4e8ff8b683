"""A baseline with explicit geometry: image features sampled where points over each cell of the map project."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transect.apps.bev.models.config import ModelConfig, reduced
from transect.apps.bev.models.geometry import NEAREST, cell_centres, project
from transect.apps.bev.models.lifting import Neck, map_network
from transect.apps.bev.models.network import BevNetwork
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig


class Sampling(NamedTuple):
    """Where points over each cell project.

    Args:
        place: `(B, n, heights, H, W, 2)`, x and y in the image from -1 to 1 between its outer edges.
        visible: bool `(B, n, heights, H, W)`: in front of the camera and inside its image.
    """

    place: Tensor
    visible: Tensor


class Bilinear(BevNetwork):
    """Features at the projections of points at several heights over each cell, averaged over the cameras that see them.

    The features of all heights are concatenated and refined on the map. Nothing of the projection is learned.

    Args:
        config: Sizes of the network.
        read: Sizes of the images and the grid.
        channels: Of the logits.

    Source: Harley et al., "Simple-BEV: What Really Matters for Multi-Sensor BEV Perception?" (2023), section 3, with
    fewer heights and a smaller network.
    """

    def __init__(self, config: ModelConfig, read: ReadConfig, channels: int) -> None:
        sizes = config.bilinear
        super().__init__(config, read, sizes.dim, channels)
        self.heights, self.size = sizes.heights, reduced(read.grid, len(sizes.decoder))
        self.neck = Neck(config.backbone.channels[-config.levels :], sizes.dim)
        self.map_network = map_network(len(sizes.heights) * sizes.dim, sizes.dim, sizes.blocks)

    def geometry(self, intrinsics: Tensor, camera_to_ego: Tensor) -> Sampling:
        """Where the points project."""
        place = cell_centres(self.grid, self.size, camera_to_ego.device)
        levels = [F.pad(place, (0, 1), value=height) for height in self.heights]
        points = torch.stack(levels)
        pixels, depth = project(intrinsics, camera_to_ego, points.flatten(0, 2))
        height, width = self.image_size
        ends = pixels.new_tensor([width, height])
        inside = ((pixels >= -0.5) & (pixels <= ends - 0.5)).all(-1) & (depth >= NEAREST)
        shape = points.shape[:3]
        return Sampling(((2 * pixels + 1) / ends - 1).unflatten(2, shape), inside.unflatten(2, shape))

    def lift(self, features: Sequence[Tensor], geometry: Sampling, views: Views) -> Tensor:
        """The map of sampled features."""
        merged = self.neck(features)
        sampled = F.grid_sample(merged, views.pack(geometry.place).flatten(1, 2).to(merged.dtype), align_corners=False)
        visible = views.pack(geometry.visible)
        sampled = sampled.unflatten(2, visible.shape[1:3]) * visible[:, None]
        seen = views.unpack(visible.to(merged.dtype)).sum(1).clamp(min=1)
        mean = views.unpack(sampled).sum(1) / seen[:, None]
        out: Tensor = self.map_network(mean.flatten(1, 2))
        return out
