"""The slice classifiers against torchvision's ResNet-18, and what they see of neighbouring slices."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from transect.apps.petct.models.build import build
from transect.apps.petct.models.config import ModelConfig
from transect.apps.petct.models.resnet import ResNet18
from transect.apps.petct.models.slice_context import EXCLUDED, OffsetBias, SliceContext
from transect.core.attention.axial import AxialAttention

SMALL = {"width": 8, "dim": 16, "heads": 2}


def test_width_64_with_three_channels_is_torchvisions_resnet18():
    torch.manual_seed(0)
    own, other = ResNet18(3, 64).eval(), resnet18(weights=None, num_classes=1).eval()
    named = {name.removeprefix("trunk."): value for name, value in own.state_dict().items()}
    other.load_state_dict(named)
    assert sum(parameter.numel() for parameter in own.parameters()) == 11_177_025
    images = torch.randn(2, 3, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(own(images).flatten(), other(images.flatten(0, 1))[:, 0])


def test_initial_weights_are_drawn_as_torchvision_draws_them():
    torch.manual_seed(0)
    own, other = ResNet18(3, 64).trunk.state_dict(), resnet18(weights=None).state_dict()
    for name, value in own.items():
        if value.ndim < 4:
            torch.testing.assert_close(value, other[name])
            continue
        assert value.std() == pytest.approx(float(other[name].std()), rel=0.1), name


@pytest.mark.parametrize(
    ("inputs", "neighbours", "channels"), [("pet", 0, 1), ("ct", 1, 3), ("pet+ct", 0, 2), ("pet+ct", 2, 10)]
)
@pytest.mark.parametrize("name", ["resnet18", "slice_context"])
def test_a_slice_gets_one_logit_with_any_channels(name, inputs, neighbours, channels):
    model = build(ModelConfig(name, inputs, neighbours, depth=1, **SMALL))
    assert model(torch.rand(2, 3, channels, 40, 32)).shape == (2, 3)
    with pytest.raises(RuntimeError):
        model(torch.rand(2, 3, channels + 1, 40, 32))


def in_context(**sizes: int) -> SliceContext:
    """A context model as if it had learned: what neighbours add has a weight of 0 before training."""
    torch.manual_seed(0)
    model = build(ModelConfig("slice_context", **SMALL, **sizes)).eval()
    assert isinstance(model, SliceContext)
    nn.init.normal_(model.context.weight)
    return model


def test_training_of_the_context_model_starts_from_a_resnet():
    torch.manual_seed(0)
    model = build(ModelConfig("slice_context", **SMALL))
    assert changed(model.eval(), 9, 4) == [4]
    for _ in range(2):
        model.train()(torch.rand(2, 5, 1, 32, 32)).square().mean().backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
    assert model.context.weight.abs().max() > 1e-3


def test_the_bias_of_attention_is_learned_by_offset_and_forbids_farther_slices():
    torch.manual_seed(0)
    layer = OffsetBias(2, 3)
    bias = layer(5)
    assert bias[0, 0].tolist() == [0, -2, -4, EXCLUDED, EXCLUDED]
    assert bias[1, 2].tolist() == [-1, -0.5, 0, -0.5, -1]
    nn.init.normal_(layer.table)
    bias = layer(5)
    assert bias[1, 3, 2] == bias[1, 1, 0] == layer.table[1, 3] != bias[1, 2, 3]
    assert layer(2).tolist() == bias[:, :2, :2].tolist()


def changed(model: torch.nn.Module, slices: int, where: int) -> list[int]:
    """The slices whose logit changes with slice `where`."""
    images = torch.rand(1, slices, 1, 32, 32)
    other = images.clone()
    other[:, where] = torch.rand(1, 32, 32)
    with torch.no_grad():
        difference = (model(images) - model(other)).abs()[0]
    return torch.nonzero(difference > 1e-6).flatten().tolist()


def test_a_resnet_judges_slices_alone_and_the_context_model_with_neighbours_within_its_reach():
    assert changed(build(ModelConfig("resnet18", **SMALL)).eval(), 9, 4) == [4]
    assert changed(in_context(depth=1, run=16), 9, 4) == list(range(9))
    assert changed(in_context(depth=1, run=3), 9, 4) == [2, 3, 4, 5, 6]
    assert changed(in_context(depth=2, run=3), 9, 4) == list(range(9))


def test_the_context_model_depends_on_offsets_alone():
    model = in_context(depth=2, run=3)
    images = torch.rand(1, 14, 1, 32, 32)
    with torch.no_grad():
        whole, later = model(images)[0], model(images[:, 3:])[0]
    torch.testing.assert_close(whole[7:], later[4:])  # beyond two blocks that each reach two slices


def test_padding_changes_nothing():
    images, mask = torch.rand(2, 7, 1, 32, 32), torch.tensor([[True] * 5 + [False] * 2]).repeat(2, 1)
    for model in (build(ModelConfig("resnet18", **SMALL)).eval(), in_context()):
        with torch.no_grad():
            torch.testing.assert_close(model(images, mask)[:, :5], model(images[:, :5]))


def test_the_context_model_uses_the_core():
    model = build(ModelConfig(depth=3, **SMALL))
    assert sum(isinstance(module, AxialAttention) for module in model.modules()) == 3
