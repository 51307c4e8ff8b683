"""Build the network of a configuration."""

from transect.apps.bev.models.bilinear import Bilinear
from transect.apps.bev.models.config import ModelConfig
from transect.apps.bev.models.lift_splat import LiftSplat
from transect.apps.bev.models.network import BevNetwork
from transect.apps.bev.models.sinbevt import SinBEVT
from transect.data_adapters.bev.config import ReadConfig


def build(config: ModelConfig, read: ReadConfig, channels: int) -> BevNetwork:
    """A freshly initialised network in training mode, for the images and the grid that `read` says.

    Shapes: see `BevNetwork.forward`; logits `(batch, channels, H, W)` out.

    Raises:
        ValueError: the grid is no multiple of the coarsest map.
    """
    networks: dict[str, type[SinBEVT] | type[Bilinear] | type[LiftSplat]] = {
        "sinbevt": SinBEVT,
        "bilinear": Bilinear,
        "lift_splat": LiftSplat,
    }
    return networks[config.name](config, read, channels)
