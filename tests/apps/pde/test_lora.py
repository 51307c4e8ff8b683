"""Low-rank adaptation: updates, trained parameters and merging."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from benchmarks.morph import SIZES
from transect.apps.pde.models.config import LoraConfig, MorphConfig
from transect.apps.pde.models.lora import LowRank, add_lora, is_new, merged_state, parameter_groups
from transect.apps.pde.models.morph import Morph
from transect.core.attention import AxialAttention

TINY = MorphConfig(dim=8, heads=2, depth=2, mlp=12, patch=2, fusion_heads=4, max_patches=24, max_context=2)
LORA = LoraConfig(level=1, rank=3, mlp_rank=2, dropout=0.0)
SHAPE = (2, 2, 2, 1, 1, 4, 6)


def adapted(config: LoraConfig = LORA, morph: MorphConfig = TINY) -> nn.Module:
    torch.manual_seed(0)
    model = add_lora(Morph(morph), config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(".B"):
            nn.init.normal_(parameter)
    return model


def updates(model: nn.Module) -> list[LowRank]:
    return [module for module in model.modules() if isinstance(module, LowRank)]


@pytest.mark.parametrize(
    ("size", "level", "millions"),
    [
        ("Ti", 1, 1.700), ("Ti", 2, 3.014), ("Ti", 3, 4.199),
        ("S", 1, 3.401), ("S", 2, 6.551), ("S", 3, 8.915),
        ("M", 1, 7.055), ("M", 2, 12.566), ("M", 3, 16.110),
        ("L", 1, 77.531), ("L", 2, 85.928), ("L", 3, 90.651),
    ],
)  # fmt: skip
def test_levels_train_as_many_weights_as_the_reference(size, level, millions):
    with torch.device("meta"):
        model = add_lora(Morph(SIZES[size][0]), LoraConfig(level=level))
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained / 1e6 == pytest.approx(millions, abs=6e-4)
    listed = [parameter for group in parameter_groups(model, LoraConfig(level=level)) for parameter in group["params"]]
    assert {id(parameter) for parameter in listed} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(listed) == len({id(parameter) for parameter in listed})


@pytest.mark.parametrize(("size", "millions"), [("Ti", 10.512), ("S", 34.124), ("M", 129.485), ("L", 493.648)])
def test_adapted_models_have_as_many_weights_as_the_reference(size, millions):
    with torch.device("meta"):
        model = add_lora(Morph(SIZES[size][0]), LoraConfig(level=1))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize(("level", "scales"), [(0, (1.0, 1.0)), (4, (0.1, 0.0))])
def test_levels_without_updates_train_every_weight(level, scales):
    model = Morph(TINY)
    model.requires_grad_(False)
    names = list(add_lora(model, LoraConfig(level=level)).state_dict())
    assert names == list(Morph(TINY).state_dict())
    (group,) = parameter_groups(model, LoraConfig(level=level))
    assert len(group["params"]) == len(names)
    assert all(parameter.requires_grad for parameter in group["params"])
    assert (group["learning_rate_scale"], group["weight_decay_scale"]) == scales


def test_each_kind_of_weight_has_its_rate():
    morph = replace(TINY, field_embedding=True, mask_channel=True, parameters=2)
    model = add_lora(Morph(morph), replace(LORA, level=3))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(parameter)]: (group["learning_rate_scale"], group["weight_decay_scale"])
        for group in parameter_groups(model, replace(LORA, level=3))
        for parameter in group["params"]
    }
    assert rates["blocks.0.attention.time.qkv.0.parametrizations.weight.0.A"] == (1.0, 0.0)
    assert rates["embedding.fields"] == rates["conditioning.2.bias"] == (1.0, 0.0)
    assert rates["embedding.convolution.extra"] == (1.0, 0.0)
    assert rates["positions"] == rates["norm.weight"] == rates["blocks.1.norm2.bias"] == (0.1, 0.0)
    assert rates["embedding.projection.weight"] == rates["embedding.query"] == (0.1, 1e-3)
    assert rates["embedding.convolution.lift.weight"] == rates["decoder.bias"] == (0.1, 1e-3)
    assert not any("original" in name or name.endswith("mlp.0.bias") for name in rates)


def test_updates_change_nothing_at_first():
    plain = Morph(TINY).eval()
    model = add_lora(copy.deepcopy(plain), LORA).eval()
    x = torch.randn(SHAPE)
    assert torch.equal(model(x), plain(x))
    model(x).square().mean().backward()
    assert all(update.B.grad is not None and not update.A.grad.any() for update in updates(model))
    assert model.decoder.weight.grad is None


def test_every_projection_has_an_update_of_its_own():
    model = adapted()
    linears = [module for module in model.modules() if parametrize.is_parametrized(module, "weight")]
    assert len(linears) == TINY.depth * (4 + 4 + 2)
    assert {tuple(update.B.shape) for update in updates(model)} == {
        (2, 3, 4, 3),
        (1, 1, 8, 3),
        (1, 1, 12, 2),
        (1, 1, 8, 2),
    }


def test_an_update_of_fused_projections_is_that_of_each():
    heads, size, rank, columns = 2, 3, 2, 5
    torch.manual_seed(0)
    weight = torch.randn(heads * 3 * size, columns).double()
    update = LowRank(weight, rank, heads=heads, parts=3)
    nn.init.normal_(update.B)
    actual = update(weight)
    for part in range(3):
        for head in range(heads):
            rows = slice((head * 3 + part) * size, (head * 3 + part + 1) * size)
            expected = weight[rows] + 2 * update.B[head, part] @ update.A[part]
            torch.testing.assert_close(actual[rows], expected)


def test_merged_is_unmerged():
    model = adapted()
    merged = Morph(TINY).eval()
    merged.load_state_dict(merged_state(model.state_dict()))
    x = torch.randn(SHAPE)
    torch.testing.assert_close(merged(x), model(x), rtol=0, atol=2e-6)
    without = Morph(TINY).eval()
    without.load_state_dict(merged_state(add_lora(copy.deepcopy(merged), LORA).state_dict()))
    assert torch.equal(without(x), merged(x))
    with torch.no_grad():
        torch.testing.assert_close(merged(x), model(x), rtol=0, atol=2e-6)


def test_adding_again_keeps_the_updates():
    model = adapted()
    x = torch.randn(SHAPE)
    before = model(x)
    add_lora(model, replace(LORA, level=2, rank=7))
    assert torch.equal(model(x), before)
    assert model.embedding.query.requires_grad


def test_dropout_leaves_out_inputs_in_training_alone():
    torch.manual_seed(0)
    weight = torch.zeros(4, 1000)
    update = LowRank(weight, 2, dropout=0.3)
    nn.init.normal_(update.B)
    whole = update.eval()(weight)
    dropped = update.train()(weight)
    out = (dropped == 0).all(0)
    assert 0.25 < out.float().mean() < 0.35
    torch.testing.assert_close(dropped[:, ~out], whole[:, ~out] / 0.7)


def test_other_models_of_axial_attention_are_adapted_by_type():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = AxialAttention(8, 2, ndim=2)
            self.mlp = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
            self.head = nn.Linear(8, 1)

    model = add_lora(Other(), LORA)
    assert len(updates(model)) == 2 + 2 + 2
    assert not model.head.weight.requires_grad


def test_new_parts_are_those_of_options():
    with_options = Morph(replace(TINY, field_embedding=True, mask_channel=True, parameters=1, constants=1))
    new = {name for name, _ in with_options.named_parameters()} - {name for name, _ in Morph(TINY).named_parameters()}
    assert {name for name, _ in with_options.named_parameters() if is_new(name)} == new


@pytest.mark.parametrize("settings", [{"level": 5}, {"rank": 0}, {"mlp_rank": 0}, {"dropout": 1.0}])
def test_settings_that_make_no_update_are_refused(settings):
    with pytest.raises(ValueError, match=f"lora.{next(iter(settings))}: found"):
        LoraConfig(**settings)
