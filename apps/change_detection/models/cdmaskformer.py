"""CDMaskFormer: change detection as the classification of masks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.apps.change_detection.models.backbone import SeaFormer
from transect.apps.change_detection.models.change_extractor import ChangeExtractor
from transect.apps.change_detection.models.config import CDMaskFormerConfig, Normalize
from transect.apps.change_detection.models.detector import ChangeDetector, padded
from transect.apps.change_detection.models.mask_decoder import MaskDecoder, MaskPrediction
from transect.apps.change_detection.models.pixel_decoder import DecodedPixels, PixelDecoder


class CDMaskFormer(ChangeDetector):
    """Two co-registered, ImageNet-normalised images `(n, channels, H, W)` to masks of change.

    A shared backbone, a change extractor at each of its four scales, a pixel decoder and a mask decoder.

    Source: "Rethinking Remote Sensing Change Detection With A Mask View" (2024).
    """

    def __init__(self, config: CDMaskFormerConfig, channels: int = 3) -> None:
        super().__init__()
        widths = [stage.channels[-1] for stage in config.stages]
        self.normalize: Normalize = config.normalize
        self.backbone = SeaFormer(config.stem, config.stages, config.drop_path, channels)
        self.extractors = nn.ModuleList(ChangeExtractor(width) for width in widths)
        self.pixel_decoder = PixelDecoder(
            widths, config.dim, config.heads, config.points, config.encoder_layers, config.feedforward
        )
        self.mask_decoder = MaskDecoder(
            config.dim, config.heads, config.decoder_layers, config.feedforward, config.queries
        )

    def forward(self, before: Tensor, after: Tensor) -> MaskPrediction:
        """The masks of every layer of the mask decoder; any H and W, without padding."""
        prediction: MaskPrediction = self.mask_decoder(self._decode(before, after))
        return prediction

    @torch.no_grad()
    def score(self, before: Tensor, after: Tensor) -> Tensor:
        """The change score in [0, 1], `(n, H, W)` float32; any H and W."""
        prediction = self.mask_decoder(self._decode(padded(before), padded(after)), last_only=True)
        height, width = before.shape[2:]
        return change_score(prediction.class_logits[-1], prediction.masks[-1], (height, width), self.normalize)

    def _decode(self, before: Tensor, after: Tensor) -> DecodedPixels:
        features = self.backbone(torch.cat([before, after]))  # both dates in one batch
        changes = [extractor(*feature.chunk(2)) for extractor, feature in zip(self.extractors, features, strict=True)]
        pixels: DecodedPixels = self.pixel_decoder(changes)
        return pixels


def change_score(class_logits: Tensor, masks: Tensor, size: tuple[int, int], normalize: Normalize) -> Tensor:
    r"""Change per pixel from masks and their classes.

    With `p_q = softmax(class_logits_q)[change]` and `s_q = sigmoid(mask_q)` after bilinear upsampling:
    "absolute" is `1 - prod_q (1 - p_q s_q)`, the probability that any query marks the pixel if they are independent;
    "image" is the paper's `sum_q p_q s_q`, min-max normalized over each image (a constant image stays 0).

    Args:
        class_logits: `(n, queries, 2)`.
        masks: `(n, queries, h, w)`, logits at a quarter of the resolution.
        size: height and width to crop to, at most `(4 h, 4 w)`.
        normalize: which of the two.

    Returns:
        `(n, *size)` float32 in [0, 1].
    """
    masks = F.interpolate(masks.float(), scale_factor=4, mode="bilinear", align_corners=False)
    marked = masks[:, :, : size[0], : size[1]].sigmoid()
    marked = marked * class_logits.float().softmax(-1)[:, :, 1, None, None]
    if normalize == "absolute":
        return 1 - (1 - marked).prod(1)
    total = marked.sum(1)
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return (total - low) / (high - low).clamp(min=torch.finfo(total.dtype).tiny)
