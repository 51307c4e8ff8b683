"""The trunk of EfficientNet-B4 against timm's, and its padding against the reference's."""

import math

import pytest
import torch
import torch.nn.functional as F

from transect.apps.bev.models.backbone import Backbone, MBConv
from transect.apps.bev.models.config import BackboneConfig


@pytest.fixture(scope="module")
def pair():
    """Our trunk and that of timm with the same weights, in evaluation mode."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    whole = timm.create_model("tf_efficientnet_b4", pretrained=False, drop_path_rate=0.2)
    first, second, third, fourth = whole.blocks[:4]
    stages = [[*first, second[0]], [*second[1:], third[0]], [*third[1:], fourth[0]]]
    theirs = torch.nn.ModuleList([torch.nn.Sequential(whole.conv_stem, whole.bn1)])
    theirs.extend(torch.nn.Sequential(*stage) for stage in stages)
    strided = third[0].conv_dw  # the reference pads 2 on each side, timm (1, 2) where the size is even
    third[0].conv_dw = torch.nn.Conv2d(192, 192, 5, stride=2, padding=2, groups=192, bias=False)
    third[0].conv_dw.weight = strided.weight
    for name, buffer in theirs.named_buffers():
        if "running" in name:
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    ours = Backbone(BackboneConfig())
    state = ours.state_dict()
    tensors = list(theirs.state_dict().values())
    assert len(state) == len(tensors)
    ours.load_state_dict(dict(zip(state, tensors, strict=True)))
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("size", [(64, 96), (68, 100), (67, 101)])
def test_features_equal_those_of_timm(pair, size):
    ours, theirs = pair
    images = torch.rand(2, 3, *size)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        features = ours(images)
        for stage, expected in enumerate(BackboneConfig().sizes(*size), 1):
            x = theirs[stage](theirs[0](x) if stage == 1 else x)
            assert features[stage - 1].shape[2:] == expected
            torch.testing.assert_close(features[stage - 1], x, rtol=1e-4, atol=1e-4)


def test_blocks_are_dropped_at_the_rates_of_timm(pair):
    ours, theirs = pair
    blocks = [block for stage in theirs[1:] for block in stage]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) or 0.0 for block in blocks]
    mine = [block.drop_path.rate for block in ours.modules() if isinstance(block, MBConv)]
    assert mine == pytest.approx(rates)
    assert mine[-1] == pytest.approx(10 * 0.2 / 32)


def static_same(size: int, kernel: int) -> tuple[int, int]:
    """Padding before and after that keeps `size / 2`, rounded up, of a strided kernel."""
    total = max((math.ceil(size / 2) - 1) * 2 + kernel - size, 0)
    return total // 2, total - total // 2


def test_strided_convolutions_pad_as_for_images_of_380_pixels(pair):
    """The reference computes its padding once, for 380 pixels: 95 before the 5x5 kernel; timm goes by the image."""
    strided = [
        block for block in pair[0].modules() if isinstance(block, MBConv) and block.depthwise.conv.stride[0] == 2
    ]
    assert [block.depthwise.conv.kernel_size[0] for block in strided] == [3, 5, 3]
    for block, size in zip(strided, (190, 95, 48), strict=True):
        conv = block.depthwise.conv
        x = torch.randn(1, conv.in_channels, 12, 20)
        before, after = static_same(size, conv.kernel_size[0])
        padded = F.pad(x, (before, after, before, after))
        hidden = F.conv2d(padded, conv.weight, stride=2, groups=conv.groups)
        found = block.depthwise(x if conv.padding[0] else F.pad(x, (0, 1, 0, 1)))
        torch.testing.assert_close(found, block.depthwise.norm(hidden), rtol=1e-4, atol=1e-5)
        # And the whole block, whose padding is its own choice.
        block.expand, keep = None, block.expand
        expected = block.project(block.gate(F.silu(block.depthwise.norm(hidden))))
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)
        block.expand = keep
    assert static_same(95, 5) == (2, 2)


def test_the_small_backbone_has_the_widths_of_its_settings():
    config = BackboneConfig("residual", (4, 6, 8, 10))
    features = Backbone(config)(torch.rand(1, 3, 45, 67))
    assert [tuple(level.shape[1:]) for level in features] == [(6, 12, 17), (8, 6, 9), (10, 3, 5)]
    assert config.sizes(45, 67) == [(12, 17), (6, 9), (3, 5)]
    assert config.channels == (6, 8, 10)
