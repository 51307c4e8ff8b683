"""MONAI's networks behind the interface of this app."""

import pytest
import torch

from transect.apps.liver_mri.models.baselines import MULTIPLE
from transect.apps.liver_mri.models.build import build
from transect.apps.liver_mri.models.config import ModelConfig


@pytest.mark.parametrize(
    ("name", "padded"), [("unet", (32, 16, 16)), ("segresnet", (24, 16, 16)), ("swinunetr", (64, 32, 32))]
)
def test_a_baseline_is_the_padded_network_and_takes_small_and_odd_windows(name, padded):
    torch.manual_seed(0)
    model = build(ModelConfig(name, width=24)).eval()
    x = torch.randn(1, 1, 20, 16, 9)
    with torch.no_grad():
        (logits,) = model(x)
        volume = torch.zeros(1, 1, *padded)
        volume[..., :20, :16, :9] = x
        expected = model.network(volume)[..., :20, :16, :9]
    assert logits.shape == x.shape
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("name", MULTIPLE)
def test_a_baseline_is_made_on_the_meta_device(name):
    with torch.device("meta"):
        model = build(ModelConfig(name, width=24))
    weights = build(ModelConfig(name, width=24)).state_dict()
    model.load_state_dict(weights, assign=True)
    assert all(not parameter.is_meta for parameter in model.parameters())
