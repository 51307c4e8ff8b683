"""What all networks share: features of the present views, lifted to a map by their calibration, decoded to logits."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transect.apps.bev.models.backbone import Backbone
from transect.apps.bev.models.blocks import Decoder
from transect.apps.bev.models.config import ModelConfig
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig


class BevNetwork(nn.Module, ABC):
    """Logits on a bird's-eye-view grid from the images of any number of calibrated cameras.

    Cameras have no order: permuting them changes nothing beyond rounding. An absent view is left out of everything, as
    if the sample had fewer cameras.

    Args:
        config: Sizes of the network.
        read: Sizes of the images and the grid.
        dim: Channels of the coarsest map.
        channels: Of the logits.
    """

    def __init__(self, config: ModelConfig, read: ReadConfig, dim: int, channels: int) -> None:
        super().__init__()
        config.check(read)
        self.image_size, self.grid, self.levels = (read.height, read.width), read.grid, config.levels
        self.backbone = Backbone(config.backbone)
        self.decoder = Decoder(dim, config.decoder, channels)

    def forward(
        self, images: Tensor, intrinsics: Tensor, camera_to_ego: Tensor, present: Tensor | None = None
    ) -> Tensor:
        """The logits `(B, channels, H, W)`.

        Args:
            images: float `(B, n, 3, h, w)`, RGB in [0, 1].
            intrinsics: `(B, n, 3, 3)` of these images, with pixel centres at whole numbers.
            camera_to_ego: `(B, n, 4, 4)`, from camera axes (x right, y down, z forward) to ego axes (x forward, y left,
                z up), m.
            present: bool `(B, n)`, False for views that are to be left out; by default none is.

        Raises:
            ValueError: the images have another size than the network was built for.
        """
        if images.shape[-2:] != self.image_size:
            raise ValueError(f"images: found {tuple(images.shape[-2:])}, expected {self.image_size}")
        if present is not None and not torch.compiler.is_compiling() and present.all():
            present = None
        views = Views(images.shape[0], images.shape[1], present)
        features = self.backbone(views.pack(images))[-self.levels :]
        return self.decoder(self.lift(features, self.geometry(*views.calibrated(intrinsics, camera_to_ego)), views))

    @abstractmethod
    def geometry(self, intrinsics: Tensor, camera_to_ego: Tensor) -> Any:
        """What the map needs of the calibration, independent of the images; arguments as of `forward`."""

    @abstractmethod
    def lift(self, features: Sequence[Tensor], geometry: Any, views: Views) -> Tensor:
        """The features of the coarsest map `(B, dim, H', W')`.

        Args:
            features: `(P, channels, h', w')` of the present views at each level, finest first.
            geometry: As `geometry` computes it.
            views: Which views are present.
        """
