"""Build the network of a configuration."""

from torch import nn

from transect.apps.liver_mri.models.config import ModelConfig


def build(config: ModelConfig) -> nn.Module:
    """A freshly initialised network in training mode.

    Shapes: `(batch, 1, X, Y, Z)` in; a tuple of logits `(batch, 1, X, Y, Z)` out, first the prediction, then coarser
    maps for deep supervision where the network has any.
    """
    if config.name == "srma_mamba":
        from transect.apps.liver_mri.models.srma_mamba import SRMAMamba

        return SRMAMamba(config.srma_mamba)
    # Here, not above: MONAI takes seconds to import, and SRMA-Mamba does not need it.
    from transect.apps.liver_mri.models.baselines import Baseline

    return Baseline(config)
