"""ResNet-18 on single slices, with any number of input channels and any width."""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv1x1

BLOCKS = 2
"""Residual blocks of each of the four stages of a ResNet-18."""


class Trunk(nn.Module):
    """ResNet-18 without its last layer; the blocks are torchvision's, whose own ResNet has neither width nor channels.

    Parameters have the names of torchvision's ResNet. Nothing is fetched: initial weights are random, as there.

    Batches of slices are large enough for BatchNorm also on a CPU. GroupNorm would divide each slice by the spread of
    its own uptake, and trained more slowly: how hot a spot is must be comparable between slices.

    Args:
        channels: Of a slice.
        width: Channels of the first stage; they double from stage to stage.

    Shapes: `(slices, channels, H, W)` in, `(slices, 8 width)` out.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), table 1.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.layer1, self.layer2, self.layer3, self.layer4 = (_stage(*pair) for pair in pairwise(widths))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.size = 8 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                # As when a model is loaded, so that both compute alike to the last bit; faster, too.
                module.to(memory_format=torch.channels_last)

    def forward(self, slices: Tensor) -> Tensor:
        """The features `(slices, 8 width)` of each slice."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(slices))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        features: Tensor = self.avgpool(x).flatten(1)
        return features


def _stage(before: int, channels: int) -> nn.Sequential:
    stride, shortcut = 1, None
    if channels != before:
        stride, shortcut = 2, nn.Sequential(conv1x1(before, channels, 2), nn.BatchNorm2d(channels))
    first = BasicBlock(before, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(BLOCKS - 1)))


class SliceNetwork(nn.Module, ABC):
    """A network that maps the slices of a study to a logit of tumour each, by features of single slices.

    The features are computed apart, so that a study of any length is predicted in batches of slices.

    Args:
        trunk: Computes the features.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits `(batch, slices)`.

        Args:
            images: `(batch, slices, channels, H, W)`, consecutive slices.
            mask: bool `(batch, slices)`, False for padding; None for none.
        """
        features = self.trunk(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        return self.logits(features, mask)

    @abstractmethod
    def logits(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits `(batch, slices)` of features `(batch, slices, size)`."""


class ResNet18(SliceNetwork):
    """ResNet-18 with one logit: each slice is judged by itself.

    Shapes: `(batch, slices, channels, H, W)` in, `(batch, slices)` out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(Trunk(channels, width))
        self.fc = nn.Linear(self.trunk.size, 1)

    def logits(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits `(batch, slices)`."""
        logits: Tensor = self.fc(features)[..., 0]
        return logits
