"""Build the change detector of a configuration."""

from transect.apps.change_detection.models.config import ModelConfig
from transect.apps.change_detection.models.detector import ChangeDetector


def build(config: ModelConfig, channels: int = 3) -> ChangeDetector:
    """A freshly initialised model in training mode, for images of `channels` bands."""
    if config.name == "cdmaskformer":
        from transect.apps.change_detection.models.cdmaskformer import CDMaskFormer

        return CDMaskFormer(config.cdmaskformer, channels)
    # Here, not above: this import takes seconds, and CDMaskFormer does not need it.
    from transect.apps.change_detection.models.unet import ChangeUNet

    return ChangeUNet(config.name, config.encoder, config.pretrained, channels)
