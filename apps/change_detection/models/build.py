"""Build the change detector of a configuration."""

from transect.apps.change_detection.models.config import ModelConfig
from transect.apps.change_detection.models.cva import CVA
from transect.apps.change_detection.models.detector import ChangeDetector
from transect.apps.change_detection.models.irmad import IRMAD
from transect.apps.change_detection.models.statistical import StatisticalDetector


def statistical(config: ModelConfig) -> StatisticalDetector | None:
    """The statistical detector of a configuration; None if its model has to be trained."""
    if config.name == "irmad":
        return IRMAD(config.statistical)
    return CVA(config.statistical) if config.name == "cva" else None


def build(config: ModelConfig, channels: int = 3) -> ChangeDetector:
    """A freshly initialised model in training mode, for images of `channels` bands."""
    if config.name == "irmad" or config.name == "cva":
        raise ValueError(f"model.name: found {config.name}, expected a model that learns")
    if config.name == "cdmaskformer":
        from transect.apps.change_detection.models.cdmaskformer import CDMaskFormer

        return CDMaskFormer(config.cdmaskformer, channels)
    # Here, not above: this import takes seconds, and CDMaskFormer does not need it.
    from transect.apps.change_detection.models.unet import ChangeUNet

    return ChangeUNet(config.name, config.encoder, config.pretrained, channels, config.weights)
