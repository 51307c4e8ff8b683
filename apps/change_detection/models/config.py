"""Sizes of the change detectors, free of torch so that the command line's help is quick."""

import difflib
import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from transect.data_adapters.settings import require, require_at_most

ModelName = Literal["unet", "siamese_concat", "siamese_difference", "cdmaskformer", "irmad", "cva"]
UNETS = ("unet", "siamese_concat", "siamese_difference")
Normalize = Literal["absolute", "image"]
ENCODERS = {
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d",
    "resnext101_32x8d", "resnext101_32x16d", "resnext101_32x32d", "resnext101_32x48d", "dpn68", "dpn68b", "dpn92",
    "dpn98", "dpn107", "dpn131", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
    "senet154", "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "se_resnext101_32x4d",
    "densenet121", "densenet169", "densenet201", "densenet161", "inceptionresnetv2", "inceptionv4", "efficientnet-b0",
    "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5", "efficientnet-b6",
    "efficientnet-b7", "mobilenet_v2", "xception", "timm-efficientnet-b0", "timm-efficientnet-b1",
    "timm-efficientnet-b2", "timm-efficientnet-b3", "timm-efficientnet-b4", "timm-efficientnet-b5",
    "timm-efficientnet-b6", "timm-efficientnet-b7", "timm-efficientnet-b8", "timm-efficientnet-l2",
    "timm-tf_efficientnet_lite0", "timm-tf_efficientnet_lite1", "timm-tf_efficientnet_lite2",
    "timm-tf_efficientnet_lite3", "timm-tf_efficientnet_lite4", "timm-skresnet18", "timm-skresnet34",
    "timm-skresnext50_32x4d", "mobileone_s0", "mobileone_s1", "mobileone_s2", "mobileone_s3", "mobileone_s4",
    "timm-mobilenetv3_large_075", "timm-mobilenetv3_large_100", "timm-mobilenetv3_large_minimal_100",
    "timm-mobilenetv3_small_075", "timm-mobilenetv3_small_100", "timm-mobilenetv3_small_minimal_100",
}  # fmt: skip
"""Encoders of segmentation-models-pytorch. Its other names include addresses, from which it would load a model."""


@dataclass(frozen=True)
class StageConfig:
    """One stage of the SeaFormer backbone: inverted residual blocks, then squeeze-axial attention blocks.

    The first stage halves the image twice (its stem and its second block), every later one once (its first block).

    Args:
        channels: Output channels of each inverted residual block; the last is the stage's, a multiple of 32.
        expansions: Width of each inverted residual block inside, as a multiple of its input.
        kernel: Size of the depthwise kernels.
        depth: Number of attention blocks.
        key_dim: Channels of queries and keys per head.
        mlp_ratio: Width of the attention blocks' MLP, as a multiple of the stage's channels.
        heads: Attention heads.
        value_ratio: Channels of values per head, as a multiple of `key_dim`.
    """

    channels: tuple[int, ...]
    expansions: tuple[float, ...]
    kernel: int = 3
    depth: int = 0
    key_dim: int = 16
    mlp_ratio: float = 2.0
    heads: int = 8
    value_ratio: int = 2

    def __post_init__(self) -> None:
        require(
            0 < len(self.channels) == len(self.expansions),
            "stages.expansions",
            self.expansions,
            "one for each of channels",
        )
        require(min(self.channels) > 0, "stages.channels", self.channels, "positive numbers")
        require(
            self.channels[-1] % 32 == 0,
            "stages.channels",
            self.channels,
            "a multiple of 32 at the end (the change gate)",
        )
        require(min(self.expansions) > 0, "stages.expansions", self.expansions, "positive numbers")
        require(len(self.channels) <= 100, "stages.channels", len(self.channels), "at most 100 blocks")
        require_at_most(self, "stages.", channels=65536, expansions=64, kernel=63, depth=1000, key_dim=4096)
        require_at_most(self, "stages.", mlp_ratio=64, heads=1024, value_ratio=64)
        require(self.kernel % 2 == 1, "stages.kernel", self.kernel, "an odd number")
        require(self.depth >= 0, "stages.depth", self.depth, "0 or more")
        for name in ("key_dim", "mlp_ratio", "heads", "value_ratio"):
            require(getattr(self, name) > 0, f"stages.{name}", getattr(self, name), "a positive number")


SEAFORMER_L = (
    StageConfig(channels=(32, 64, 64), expansions=(3, 4, 4), kernel=3),
    StageConfig(channels=(128, 128), expansions=(4, 4), kernel=5),
    StageConfig(channels=(192, 192), expansions=(4, 4), kernel=3, depth=3, key_dim=16, mlp_ratio=2),
    StageConfig(channels=(256,), expansions=(4,), kernel=5, depth=3, key_dim=20, mlp_ratio=4),
)


@dataclass(frozen=True)
class CDMaskFormerConfig:
    """Sizes of CDMaskFormer; the defaults are the paper's.

    Args:
        stem: Channels of the first convolution.
        stages: The four stages of the SeaFormer backbone, at 1/4, 1/8, 1/16 and 1/32 of the image.
        drop_path: Largest rate of stochastic depth among a stage's attention blocks, in training.
        dim: Width of the decoders, a multiple of 32.
        heads: Attention heads of the decoders.
        points: Sampling points of deformable attention per head and level.
        encoder_layers: Layers of the pixel decoder.
        decoder_layers: Layers of the mask decoder; every fourth one attends along the axes of the finest level.
        feedforward: Width of the decoders' MLPs.
        queries: Number of masks.
        normalize: Scale of the score. absolute is a probability that does not depend on the rest of the image;
            image min-max normalizes the scores of each image as the paper does, even where nothing has changed.
    """

    stem: int = 32
    stages: tuple[StageConfig, ...] = SEAFORMER_L
    drop_path: float = 0.1
    dim: int = 256
    heads: int = 8
    points: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 13
    feedforward: int = 1024
    queries: int = 5
    normalize: Normalize = "absolute"

    def __post_init__(self) -> None:
        require_at_most(self, "cdmaskformer.", stem=65536, dim=65536, heads=1024, points=1024, queries=65536)
        require_at_most(self, "cdmaskformer.", feedforward=1 << 20, encoder_layers=1000, decoder_layers=1000)
        require(len(self.stages) == 4, "cdmaskformer.stages", len(self.stages), "4 stages")
        require(
            len(self.stages[0].channels) >= 2, "cdmaskformer.stages", self.stages[0], "2 blocks or more in the first"
        )
        require(self.dim > 0 and self.dim % 32 == 0, "cdmaskformer.dim", self.dim, "a multiple of 32 (group norm)")
        require(self.heads > 0 and self.dim % self.heads == 0, "cdmaskformer.heads", self.heads, "a divisor of dim")
        require(0 <= self.drop_path < 1, "cdmaskformer.drop_path", self.drop_path, "a rate in [0, 1)")
        for name in ("stem", "points", "encoder_layers", "decoder_layers", "feedforward", "queries"):
            require(getattr(self, name) > 0, f"cdmaskformer.{name}", getattr(self, name), "a positive number")
        require(
            self.normalize in get_args(Normalize),
            "cdmaskformer.normalize",
            self.normalize,
            f"one of {get_args(Normalize)}",
        )


@dataclass(frozen=True)
class StatisticalConfig:
    """Settings of irmad and cva.

    Args:
        iterations: Largest number of times that the scene is read to find the distribution without change.
        tolerance: Change of the correlations between the dates below which it is found.
        noise: Standard deviation of the noise of the difference in each band, in the units of the second date's values;
            null estimates it. Differences that the noise explains are not significant.
    """

    iterations: int = 30
    tolerance: float = 1e-3
    noise: float | None = None

    def __post_init__(self) -> None:
        require(1 <= self.iterations <= 1000, "statistical.iterations", self.iterations, "1 to 1000")
        require(0 < self.tolerance < 1, "statistical.tolerance", self.tolerance, "between 0 and 1")
        positive = self.noise is None or 0 <= self.noise < math.inf
        require(positive, "statistical.noise", self.noise, "0 or more, or null")


@dataclass(frozen=True)
class ModelConfig:
    """Which model maps a pair of images to a change score.

    Args:
        name: unet sees both dates stacked as channels. siamese_concat and siamese_difference encode each date with
            the same weights and decode the concatenated features or their absolute difference. cdmaskformer is the
            mask transformer. irmad and cva compare the dates statistically and need no training.
        encoder: Encoder of the U-Nets, by its name in segmentation-models-pytorch.
        pretrained: Start the U-Nets' encoder from ImageNet weights; needs network access.
        weights: File with weights for the U-Nets' encoder, as torchvision, timm and segmentation-models-pytorch name
            them: safetensors, or a torch file without pickled code. Training starts from it; later it is not read.
        cdmaskformer: Sizes of CDMaskFormer.
        statistical: Settings of irmad and cva.
    """

    name: ModelName = "siamese_difference"
    encoder: str = "resnet18"
    pretrained: bool = False
    weights: str = ""
    cdmaskformer: CDMaskFormerConfig = field(default_factory=CDMaskFormerConfig)
    statistical: StatisticalConfig = field(default_factory=StatisticalConfig)

    def __post_init__(self) -> None:
        require(self.name in get_args(ModelName), "model.name", self.name, f"one of {get_args(ModelName)}")
        require(self.encoder in ENCODERS, "model.encoder", self.encoder, _near_encoders(self.encoder))
        usable = not self.weights or (self.name in UNETS and not self.pretrained)
        require(usable, "model.weights", self.weights, f"none, or {', '.join(UNETS)} without model.pretrained")


def _near_encoders(name: str) -> str:
    near = difflib.get_close_matches(name[:100], ENCODERS, 3) or ["resnet18", "resnet50", "efficientnet-b0"]
    return f"an encoder of segmentation-models-pytorch, such as {', '.join(near)}"
