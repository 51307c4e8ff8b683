"""Published checkpoints: all names and shapes are accepted, anything else is refused by name."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from transect.apps.change_detection.models.cdmaskformer import CDMaskFormer
from transect.apps.change_detection.models.config import CDMaskFormerConfig
from transect.apps.change_detection.weights import (
    config_from_reference,
    from_reference,
    load_reference,
    published_names,
)
from transect.data_adapters.base import BadInput


@pytest.fixture(scope="module")
def published(fixtures):
    """Random tensors of the published names and shapes."""
    shapes = json.loads((fixtures / "change_detection" / "checkpoint_keys.json").read_text())
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) if shape else torch.tensor(0) for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def small(shared_file):
    return torch.load(shared_file("parity/change_detection/cdmaskformer_small.pt"), weights_only=True)["state_dict"]


def test_published_checkpoint_has_the_sizes_of_the_paper(published):
    assert config_from_reference(published) == CDMaskFormerConfig()


def test_published_names_are_all_used_but_the_dead_ones(published):
    config = CDMaskFormerConfig()
    model = from_reference(published)
    names = [other for name in model.state_dict() for other in published_names(name, config)]
    assert len(names) == len(set(names))
    dead = published.keys() - set(names)
    assert {name.split(".")[1] for name in dead} == {"smb5", "trans3", "linear"}
    # Sums survive renaming and joining: nothing was lost, doubled or mixed up between live and dead.
    live = sum(published[name].double().sum() for name in names if published[name].is_floating_point())
    state = sum(each.double().sum() for each in model.state_dict().values() if each.is_floating_point())
    torch.testing.assert_close(state, live)


@pytest.mark.parametrize(
    ("nested", "prefix"),
    [
        (lambda state: {"state_dict": state, "epoch": 3}, "net."),
        (lambda state: {"model": state}, ""),
        (lambda state: state, "module.model."),
    ],
)
def test_prefixes_and_nesting_do_not_matter(small, nested, prefix):
    state = {prefix + name: tensor for name, tensor in small.items()}
    if prefix:
        state["loss.empty_weight"] = torch.ones(2)
    actual = from_reference(nested(state)).state_dict()
    expected = from_reference(small).state_dict()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_model_does_not_share_memory_with_the_checkpoint(small):
    before = {name: tensor.clone() for name, tensor in small.items()}
    model = from_reference(small)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(small[name], before[name]) for name in small)


@pytest.mark.parametrize(
    "name",
    [
        "backbone.smb2.layer1.conv.2.bn.running_var",
        "backbone.trans1.transformer_blocks.0.attn.to_k.c.weight",
        "decoderhead.tff3.senetv2.fc2.0.weight",
        "decoderhead.sem_seg_head.predictor.query_feat.weight",
        "backbone.smb1.stem_block.0.c.weight",
    ],
)
def test_missing_tensor_is_named(small, name):
    state = {key: tensor for key, tensor in small.items() if key != name}
    with pytest.raises(BadInput, match=name.replace(".", r"\.")):
        from_reference(state)


def test_tensor_of_another_shape_is_named(small):
    name = "decoderhead.tff3.convA.weight"
    with pytest.raises(BadInput, match=r"tff3\.convA\.weight.*\[1, 65, 1, 1\].*\[1, 64, 1, 1\]"):
        from_reference(small | {name: torch.zeros(1, 65, 1, 1)})


def test_unknown_tensor_is_named(small):
    with pytest.raises(BadInput, match=r"decoderhead\.extra\.weight"):
        from_reference(small | {"decoderhead.extra.weight": torch.zeros(1)})


def test_another_models_checkpoint_is_refused():
    with pytest.raises(BadInput, match="CDMaskFormer"):
        from_reference({"conv1.weight": torch.zeros(64, 3, 7, 7)})


def test_sizes_that_make_no_model_are_refused(small):
    name = "decoderhead.sem_seg_head.pixel_decoder.transformer.encoder.layers.0.linear1.weight"
    with pytest.raises(BadInput, match="dim"):
        config_from_reference(small | {name: torch.zeros(1024, 100)})


def test_files_are_read_as_saved(small, tmp_path):
    torch.save({"state_dict": small}, tmp_path / "a.ckpt")
    save_file(small, tmp_path / "a.safetensors")
    for file in ("a.ckpt", "a.safetensors"):
        actual = from_reference(load_reference(tmp_path / file), source=file)
        assert torch.equal(actual.mask_decoder.level_embedding, from_reference(small).mask_decoder.level_embedding)


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save({"state_dict": Harmful()}, tmp_path / "harmful.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"state_dict": Harmful()}))
    for file in ("harmful.pt", "plain.pt"):
        with pytest.raises(BadInput, match="would run code"):
            load_reference(tmp_path / file)
    assert "must never" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"PK\x03\x04 torn"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="damaged"):
        load_reference(path)


def test_missing_file_and_tensor_alone_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"none\.pt"):
        load_reference(tmp_path / "none.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(BadInput, match="dict"):
        load_reference(tmp_path / "tensor.pt")


def test_config_read_back_builds_the_same_model(small):
    config = config_from_reference(small)
    assert [stage.depth for stage in config.stages] == [0, 0, 0, 1]
    assert config.decoder_layers == 5
    rebuilt = CDMaskFormer(replace(config, drop_path=0.0))
    rebuilt.load_state_dict(from_reference(small).state_dict())
