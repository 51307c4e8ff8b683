"""SinBEVT and its modules against recorded outputs of the reference implementation."""

import copy

import pytest
import torch

from transect.apps.bev.parity import compare

MODULES = {
    "CrossViewSwapAttention_bevembed0",
    "CrossViewSwapAttention_bevembed1",
    "Decoder",
    "grid0_corners",
    "grid2",
}
ALONE = {"CrossWinAttention out_noskip", "CrossWinAttention out", "CrossWinAttention out_qn1"}
TRUNK = {
    *(f"cross_view_out[{level}]" for level in range(3)), "encoder_out", "decoder_out_mean", "bev", "center",
}  # fmt: skip


@pytest.fixture(scope="module")
def modules(fixtures):
    return torch.load(fixtures / "bev/sinbevt_modules.pt", weights_only=True)


def close(fixture, tolerance):
    comparisons = compare(fixture)
    assert [each for each in comparisons if not each.error <= tolerance] == []
    assert {each.tolerance for each in comparisons} == {tolerance}
    return {each.quantity for each in comparisons}


def test_modules_agree_with_the_reference(modules):
    assert close(modules, 1e-5) == MODULES


def test_all_recorded_modules_agree_with_the_reference(shared_file):
    fixture = torch.load(shared_file("parity/bev/fax_modules_nuscenes.pt"), weights_only=True)
    assert close(fixture, 1e-5) == MODULES | ALONE


def test_all_that_follows_the_backbone_agrees_with_the_reference(shared_file):
    assert close(torch.load(shared_file("parity/bev/sinbevt_trunk.pt"), weights_only=True), 1e-4) == TRUNK


@pytest.mark.parametrize("name", ["feature_proj.2.weight", "cam_embed.weight", "postnorm.bias"])
def test_a_changed_weight_is_noticed(modules, name):
    part = "CrossViewSwapAttention_bevembed1"
    changed = {part: copy.deepcopy(modules[part])}
    changed[part]["state_dict"][name] *= 1.05
    (comparison,) = compare(changed)
    assert comparison.error > comparison.tolerance


def test_another_fixture_is_refused():
    with pytest.raises(ValueError, match="Attention4D: no such module"):
        compare({"Attention4D": {}})
