"""Build the network of a configuration."""

from transect.apps.petct.models.config import ModelConfig
from transect.apps.petct.models.resnet import ResNet18, SliceNetwork
from transect.apps.petct.models.slice_context import SliceContext


def build(config: ModelConfig) -> SliceNetwork:
    """A freshly initialised network in training mode.

    Shapes: `(batch, slices, channels, H, W)` in, logits `(batch, slices)` out.
    """
    if config.name == "resnet18":
        return ResNet18(config.channels, config.width)
    return SliceContext(config.channels, config.width, config.dim, config.heads, config.depth, config.run)
