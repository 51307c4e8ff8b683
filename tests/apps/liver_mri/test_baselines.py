"""MONAI's networks behind the interface of this app."""

import pytest
import torch

from transect.apps.liver_mri.models.baselines import MULTIPLE
from transect.apps.liver_mri.models.build import build
from transect.apps.liver_mri.models.config import ModelConfig


@pytest.mark.parametrize("name", MULTIPLE)
def test_a_baseline_is_the_padded_network_and_takes_small_and_odd_windows(name):
    torch.manual_seed(0)
    model = build(ModelConfig(name, width=24)).eval()
    x = torch.randn(1, 1, 20, 16, 9)
    with torch.no_grad():
        (logits,) = model(x)
        side = 2 * MULTIPLE[name] if MULTIPLE[name] > 20 else 32
        other = [n + -n % MULTIPLE[name] for n in (16, 9)]
        padded = torch.zeros(1, 1, max(side if MULTIPLE[name] > 16 else 0, 20 + -20 % MULTIPLE[name]), *other)
        padded[..., :20, :16, :9] = x
        expected = model.network(padded)[..., :20, :16, :9]
    assert logits.shape == x.shape
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("name", MULTIPLE)
def test_a_baseline_is_made_on_the_meta_device(name):
    with torch.device("meta"):
        model = build(ModelConfig(name, width=24))
    weights = build(ModelConfig(name, width=24)).state_dict()
    model.load_state_dict(weights, assign=True)
    assert all(not parameter.is_meta for parameter in model.parameters())
