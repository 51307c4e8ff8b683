"""Published MORPH checkpoints: all variants are accepted, anything else is refused by name."""

import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.morph import SIZES
from transect.apps.pde.models.config import LoraConfig, MorphConfig
from transect.apps.pde.models.lora import add_lora
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.weights import (
    config_from_reference,
    from_reference,
    load_reference,
    lora_from_reference,
    to_reference,
)
from transect.data_adapters.base import BadInput

SMALL = {"heads": 4, "fusion_heads": 8}


@pytest.fixture(scope="module")
def small(fixtures):
    return torch.load(fixtures / "pde" / "morph_d2.pt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def adapted(fixtures):
    return torch.load(fixtures / "pde" / "morph_d2_lora.pt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_are_read_off_the_tensors(size):
    config, _ = SIZES[size]
    with torch.device("meta"):
        state = to_reference(Morph(config).state_dict(), heads=config.heads)
    assert config_from_reference(state) == config
    assert config_from_reference(state, positions="line") == replace(config, positions="line")
    if size == "Ti":
        assert len(state) == 174


@pytest.mark.parametrize(
    "config",
    [
        MorphConfig(filters=32, dim=24, heads=3, depth=1, mlp=7, patch=2, fusion_heads=6, max_fields=5, max_patches=9),
        MorphConfig(dim=8, heads=2, depth=3, mlp=4, patch=3, fusion_heads=8, max_components=2, max_context=4),
    ],
)
def test_other_sizes_are_read_off_the_tensors(config):
    state = to_reference(Morph(config).state_dict(), heads=config.heads)
    assert from_reference(state, heads=config.heads, fusion_heads=config.fusion_heads).config == config


@pytest.mark.parametrize("lora", [None, LoraConfig(1, rank=2, mlp_rank=3)])
def test_there_and_back_is_the_same_model(lora):
    config = MorphConfig(dim=8, heads=2, depth=2, mlp=4, patch=2, fusion_heads=4, max_patches=9, max_context=2)
    model = Morph(config) if lora is None else add_lora(Morph(config), lora)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    state = to_reference(model.state_dict(), heads=2)
    assert sum(tensor.numel() for tensor in state.values()) == sum(p.numel() for p in model.parameters())
    actual = from_reference(state, heads=2, fusion_heads=4)
    assert lora_from_reference(state) == lora
    assert actual.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in actual.state_dict().items())
    assert not actual.training
    assert all(parameter.requires_grad for parameter in actual.parameters())


@pytest.mark.parametrize("states", ["small", "adapted"])
def test_files_are_read_as_training_saves_them(states, request, tmp_path):
    state = request.getfixturevalue(states)
    expected = from_reference(state, **SMALL).state_dict()
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    saved = {
        "epoch": 225,
        "model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer_state_dict": optimizer,
        "scheduler_state_dict": {"best": 0.1},
    }
    torch.save(saved, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for file in ("a.pth", "a.safetensors"):
        actual = from_reference(load_reference(tmp_path / file), **SMALL, source=file).state_dict()
        assert actual.keys() == expected.keys()
        assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_model_does_not_share_memory_with_the_checkpoint(small):
    before = {name: tensor.clone() for name, tensor in small.items()}
    with torch.no_grad():
        for tensor in from_reference(small, **SMALL).state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(small[name], before[name]) for name in small)


@pytest.mark.parametrize(
    "name",
    [
        "patch_embedding.conv_features.input_proj.weight",
        "patch_embedding.conv_features.conv_stack.0.weight",
        "patch_embedding.field_attn.q",
        "pos_encoding.pos_embedding",
        "transformer_blocks.1.axial_attn.attn_h.k.base.bias",
        "transformer_blocks.0.mlp.0.A",
        "transformer_blocks.1.axial_attn.attn_t.v.B",
        "decoder.linear.weight",
    ],
)
def test_missing_tensor_is_named(adapted, name):
    state = {key: tensor for key, tensor in adapted.items() if key != name}
    with pytest.raises(BadInput, match=f"file.pth: .*{name}.*no such tensor"):
        from_reference(state, **SMALL, source="file.pth")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("decoder.norm.weight", (31,), r"decoder\.norm\.weight: found shape \[31\], expected \[32\]"),
        ("transformer_blocks.0.axial_attn.attn_w.k.base.weight", (32, 31), r"attn_w\.k\.base\.weight"),
        ("transformer_blocks.0.axial_attn.attn_w.k.base.bias", (30,), r"attn_w\.k\.base\.bias"),
        ("pos_encoding.pos_embedding", (64, 32), r"pos_embedding: found shape \[64, 32\]"),
        ("decoder.linear.weight", (3, 32), "max_fields"),
    ],
)
def test_tensor_of_another_shape_is_named(small, name, shape, message):
    with pytest.raises(BadInput, match=message):
        from_reference(small | {name: torch.zeros(shape)}, **SMALL)


def test_unknown_tensor_is_named(small):
    with pytest.raises(BadInput, match=r"decoder\.extra\.weight"):
        from_reference(small | {"decoder.extra.weight": torch.zeros(1)}, **SMALL)


def test_unknown_number_of_heads_is_asked_for(small):
    with pytest.raises(BadInput, match="heads: found a width of 32, expected one of"):
        from_reference(small)
    with pytest.raises(BadInput, match=r"a multiple of morph\.heads"):
        from_reference(small, heads=5, fusion_heads=8)


def test_another_models_checkpoint_is_refused():
    with pytest.raises(BadInput, match="is it a MORPH checkpoint"):
        from_reference({"conv1.weight": torch.zeros(64, 3, 7, 7)})


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"model_state_dict": Harmful()}, tmp_path / "harmful.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"model_state_dict": Harmful()}, protocol=2))
    for file in ("harmful.pth", "plain.pth"):
        with pytest.raises(BadInput, match="would run code"):
            load_reference(tmp_path / file)
    assert "must never" not in capsys.readouterr().out
