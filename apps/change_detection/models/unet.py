"""U-Nets from segmentation-models-pytorch as change detectors: early fusion and siamese encoders."""

from typing import Literal

import torch
from segmentation_models_pytorch.base import SegmentationHead, initialization
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.encoders import get_encoder
from torch import Tensor

from transect.apps.change_detection.models.detector import ChangeDetector, padded
from transect.apps.change_detection.models.pretrained import load_encoder

Fusion = Literal["unet", "siamese_concat", "siamese_difference"]
DECODER_CHANNELS = (256, 128, 64, 32, 16)


class ChangeUNet(ChangeDetector):
    """A U-Net for two ImageNet-normalised images `(n, channels, H, W)`, to logits `(n, H, W)`.

    "unet" stacks the dates as channels. The siamese variants share one encoder between the dates and pass the decoder,
    at every scale, the concatenated features or their absolute difference.

    Source: Daudt et al., "Fully Convolutional Siamese Networks for Change Detection" (2018): FC-EF, FC-Siam-conc and
    FC-Siam-diff, with a modern encoder.
    """

    def __init__(
        self, fusion: Fusion, encoder: str, pretrained: bool = False, channels: int = 3, weights: str = ""
    ) -> None:
        super().__init__()
        self.fusion = fusion
        # On the meta device a model is built to be given weights, so none are fetched or read.
        starts = torch.get_default_device().type != "meta"
        self.encoder = get_encoder(
            encoder,
            in_channels=2 * channels if fusion == "unet" else channels,
            depth=len(DECODER_CHANNELS),
            weights="imagenet" if pretrained and starts else None,
        )
        if weights and starts:
            load_encoder(self.encoder, encoder, weights)
        copies = 2 if fusion == "siamese_concat" else 1
        self.decoder = UnetDecoder(
            encoder_channels=[copies * width for width in self.encoder.out_channels],
            decoder_channels=DECODER_CHANNELS,
            n_blocks=len(DECODER_CHANNELS),
        )
        self.head = SegmentationHead(DECODER_CHANNELS[-1], 1, kernel_size=3)
        initialization.initialize_decoder(self.decoder)
        initialization.initialize_head(self.head)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Logits of change; any H and W."""
        height, width = before.shape[2:]
        logits: Tensor = self.head(self.decoder(self._features(padded(before), padded(after))))
        return logits[:, 0, :height, :width]

    @torch.no_grad()
    def score(self, before: Tensor, after: Tensor) -> Tensor:
        """The change score in [0, 1], `(n, H, W)` float32; any H and W."""
        logits: Tensor = self(before, after)
        return logits.float().sigmoid()

    def _features(self, before: Tensor, after: Tensor) -> list[Tensor]:
        if self.fusion == "unet":
            fused: list[Tensor] = self.encoder(torch.cat([before, after], 1))
            return fused
        pairs = [feature.chunk(2) for feature in self.encoder(torch.cat([before, after]))]  # both dates in one batch
        if self.fusion == "siamese_concat":
            return [torch.cat(pair, 1) for pair in pairs]
        return [(first - second).abs() for first, second in pairs]
