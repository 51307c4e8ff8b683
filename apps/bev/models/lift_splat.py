"""A baseline with learned depth: image features lifted to a distribution of depths and summed over each cell."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transect.apps.bev.models.config import ModelConfig, reduced
from transect.apps.bev.models.geometry import cells_of, directions, to_ego
from transect.apps.bev.models.lifting import Neck, map_network
from transect.apps.bev.models.network import BevNetwork
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig


class LiftSplat(BevNetwork):
    """Each image cell puts its features at all depths along its ray, weighted by a predicted distribution of depths.

    The features of all points over a cell of the map are summed over all heights; points outside the map are dropped.

    Args:
        config: Sizes of the network.
        read: Sizes of the images and the grid.
        channels: Of the logits.

    Source: Philion and Fidler, "Lift, Splat, Shoot: Encoding Images from Arbitrary Camera Rigs by Implicitly
    Unprojecting to 3D" (2020), section 3, with another backbone and a smaller network on the map.
    """

    def __init__(self, config: ModelConfig, read: ReadConfig, channels: int) -> None:
        sizes = config.lift_splat
        super().__init__(config, read, sizes.dim, channels)
        self.size = reduced(read.grid, len(sizes.decoder))
        self.features = config.backbone.sizes(read.height, read.width)[-config.levels]
        self.near, self.far, self.depths = sizes.nearest, sizes.farthest, sizes.depths
        self.neck = Neck(config.backbone.channels[-config.levels :], sizes.dim)
        self.depth = nn.Conv2d(sizes.dim, sizes.depths, 1)
        self.context = nn.Conv2d(sizes.dim, sizes.dim, 1)
        self.map_network = map_network(sizes.dim, sizes.dim, sizes.blocks)

    def geometry(self, intrinsics: Tensor, camera_to_ego: Tensor) -> Tensor:
        """The cell of the map under each point, `(B, n, depths, h, w)`, counted by rows; H W for those beyond it."""
        device = camera_to_ego.device
        centres = (
            (torch.arange(count, device=device) + 0.5) * (length / count) - 0.5
            for count, length in zip(self.features, self.image_size, strict=True)
        )
        rays = directions(intrinsics, *centres)
        depths = torch.linspace(self.near, self.far, self.depths, device=device)
        points = to_ego(camera_to_ego[:, :, None], depths[:, None, None, None] * rays[:, :, None])
        return cells_of(points[..., :2], self.grid, self.size)

    def lift(self, features: Sequence[Tensor], geometry: Tensor, views: Views) -> Tensor:
        """The map of summed features."""
        merged = self.neck(features)
        depth, context = self.depth(merged).softmax(1), self.context(merged)
        points = depth[..., None] * context.movedim(1, -1)[:, None]  # (P, depths, h, w, dim)
        cells = self.size[0] * self.size[1]
        first = torch.arange(views.batch, device=merged.device)[:, None].expand(-1, views.number) * (cells + 1)
        index = views.pack(geometry + first[..., None, None, None])
        sums = points.new_zeros(views.batch * (cells + 1), context.shape[1])
        sums = sums.index_add(0, index.flatten(), points.flatten(0, 3))
        maps = sums.unflatten(0, (views.batch, cells + 1))[:, :cells].unflatten(1, self.size)
        out: Tensor = self.map_network(maps.permute(0, 3, 1, 2))
        return out
