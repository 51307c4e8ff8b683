"""What all networks share: features of the present views, lifted to a map by their calibration, decoded to logits."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from transect.apps.bev.models.backbone import Backbone
from transect.apps.bev.models.blocks import Decoder
from transect.apps.bev.models.config import ModelConfig
from transect.apps.bev.models.views import Views
from transect.data_adapters.bev.config import ReadConfig


class _Geometry(NamedTuple):
    """The geometry of a calibration, and the addresses and versions of the weights that it was computed with."""

    calibration: Tensor
    weights: list[tuple[int, int]]
    geometry: Any


class BevNetwork(nn.Module, ABC):
    """Logits on a bird's-eye-view grid from the images of any number of calibrated cameras.

    Cameras have no order: permuting them changes nothing beyond rounding. An absent view is left out of everything, as
    if the sample had fewer cameras. Without gradients, what depends on the calibration alone is computed once for as
    long as the calibration stays the same, as it does for a rig.

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
        self._last: _Geometry | None = None

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
        if present is not None and not torch.compiler.is_compiling():
            used = present.any(0)
            images, intrinsics, camera_to_ego = (part[:, used] for part in (images, intrinsics, camera_to_ego))
            present = None if present[:, used].all() else present[:, used]
        views = Views(images.shape[0], images.shape[1], present)
        features = self.backbone(views.pack(images))[-self.levels :]
        geometry = self._cached_geometry(*views.calibrated(intrinsics, camera_to_ego))
        logits: Tensor = self.decoder(self.lift(features, geometry, views))
        return logits

    def _cached_geometry(self, intrinsics: Tensor, camera_to_ego: Tensor) -> Any:
        untracked = any(parameter.is_inference() for parameter in self.parameters())  # made in inference mode
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or untracked:
            return self.geometry(intrinsics, camera_to_ego)
        calibration = torch.cat([intrinsics.flatten(2).float(), camera_to_ego.flatten(2).float()], 2)
        weights = [(parameter.data_ptr(), parameter._version) for parameter in self.parameters()]
        last = self._last
        if last is None or last.weights != weights or not torch.equal(last.calibration, calibration):
            geometry = self.geometry(intrinsics, camera_to_ego)
            self._last = last = _Geometry(calibration, weights, geometry)
        return last.geometry

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
