"""SRMA-Mamba: the reference's numbers, published checkpoints, sizes of volumes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from transect.apps.liver_mri.models.config import SRMAMambaConfig
from transect.apps.liver_mri.models.srma_mamba import SRMAMamba
from transect.apps.liver_mri.parity import compare
from transect.apps.liver_mri.weights import config_from_reference, from_reference, published_names
from transect.data_adapters.base import BadInput

SMALL = SRMAMambaConfig(dim=8, decoder_dim=4)
FIXTURE = Path(__file__).resolve().parents[4] / "shared" / "parity" / "liver_mri" / "parity_srma.pt"


@pytest.fixture(scope="module")
def model() -> SRMAMamba:
    torch.manual_seed(0)
    return SRMAMamba(SMALL)


def published(model: SRMAMamba) -> dict[str, torch.Tensor]:
    """The model's tensors as a published checkpoint has them."""
    tensors = {published_names(name)[0]: tensor for name, tensor in model.state_dict().items()}
    return {
        name: tensor.flatten(0, 1) if name.endswith(("A_logs", "Ds")) else tensor for name, tensor in tensors.items()
    }


@pytest.mark.skipif(not FIXTURE.is_file(), reason=f"needs {FIXTURE.name}, which is too large for the repository")
def test_the_references_outputs_and_gradients():
    comparisons = compare(torch.load(FIXTURE, weights_only=True))
    assert len(comparisons) == 21
    for comparison in comparisons:
        assert comparison.error <= comparison.tolerance, comparison


def test_the_published_size():
    with torch.device("meta"):
        model = SRMAMamba(SRMAMambaConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 18_300_244
    assert len(model.state_dict()) == 484


@pytest.mark.parametrize(
    "config",
    [SMALL, replace(SMALL, states=4), replace(SMALL, depths=(1, 2, 1, 3)), replace(SMALL, decoder_dim=6)],
)
def test_a_checkpoint_gives_its_sizes_and_its_weights(config):
    model = SRMAMamba(config)
    tensors = published(model)
    assert config_from_reference(tensors, source="test") == config
    loaded = from_reference({"state_dict": {f"module.{name}": each for name, each in tensors.items()}}, source="test")
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("out_conv1.conv.conv.bias"), "out_conv1.conv.conv.bias: found no such tensor"),
        (lambda t: t.update({"extra": torch.zeros(1)}), "extra: found a tensor"),
        (lambda t: t.update({"encoder.outnorm0.weight": torch.zeros(3)}), r"shape \[3\], expected \[8\]"),
        (lambda t: t.pop("encoder.layers.1.blocks.1.op.sh.A_logs"), "encoder.layers.1.blocks.*: found scan blocks"),
        (lambda t: t.update({"encoder.layers.0.blocks.1.op.sh.A_logs": torch.zeros(64, 300)}), "states: found 300"),
    ],
)
def test_other_checkpoints_are_refused(model, change, message):
    tensors = published(model)
    change(tensors)
    with pytest.raises(BadInput, match=message):
        from_reference(tensors, source="test")


@pytest.mark.parametrize("size", [(33, 17, 9), (5, 7, 20), (1, 18, 3)])
def test_volumes_of_any_size_with_an_axis_above_16(model, size):
    with torch.no_grad():
        outputs = model.eval()(torch.randn(2, 1, *size))
    assert [tuple(output.shape) for output in outputs] == [(2, 1, *size)] * 4


def test_in_evaluation_cases_of_a_batch_are_independent(model):
    x = torch.randn(2, 1, 20, 9, 12)
    with torch.no_grad():
        both, alone = model.eval()(x), model(x[1:])
    for ours, expected in zip(both, alone, strict=True):
        torch.testing.assert_close(ours[1:], expected, rtol=1e-4, atol=1e-5)


def test_the_deep_maps_train_every_parameter(model):
    outputs = model.train()(torch.randn(2, 1, 32, 18, 18))
    sum(output.square().mean() for output in outputs).backward()
    silent = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert not [name for name in silent if not name.endswith("bias")]


def test_stochastic_depth_grows_along_the_encoder():
    model = SRMAMamba(SMALL)
    rates = [block.drop_path.p for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])
    assert {each.block1.drop_path.p for each in model.refinements} == {0.1}
