"""RankNovo and its modules against recorded reference values; a deliberate error must fail the comparison."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from transect.apps.peptide import parity
from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.reranker import Reranker
from transect.apps.peptide.weights import config_from_reference, from_reference, load_reference
from transect.data_adapters.base import BadInput

REFERENCES = ("ranknovo_d64_l2", "axial_block", "mass_peak_encoder")


@pytest.fixture(scope="module")
def references(fixtures):
    return {name: torch.load(fixtures / "peptide" / f"{name}.pt", weights_only=True) for name in REFERENCES}


def past(fixture) -> set[str]:
    return {each.quantity for each in parity.compare(fixture) if not each.error <= each.tolerance}


@pytest.mark.parametrize("name", REFERENCES)
def test_equals_the_reference(references, name):
    comparisons = parity.compare(references[name])
    assert [each for each in comparisons if not each.error <= each.tolerance] == []
    assert all(each.tolerance <= 1e-5 for each in comparisons)


@pytest.mark.parametrize(
    "quantity", ["global_prediction", "local_prediction", "memory", "token_embedding", "ragged_global", "solo_global"]
)
def test_parity_notices_another_number(references, quantity):
    fixture = references["ranknovo_d64_l2"]
    assert past(fixture | {quantity: fixture[quantity] + 1e-4}) == {quantity}


def test_parity_notices_other_labels(references):
    fixture = references["ranknovo_d64_l2"]
    assert past(fixture | {"pmd_labels": fixture["pmd_labels"] + 1e-7}) == {"pmd_labels"}
    assert past(fixture | {"rmd_labels": fixture["rmd_labels"] - 1e-3}) == {"rmd_labels"}


def test_parity_notices_swapped_weights(references):
    fixture = references["ranknovo_d64_l2"]
    swap = {"k_proj": "q_proj", "q_proj": "k_proj"}
    state = {
        next((name.replace(a, b) for a, b in swap.items() if f"column_self_attention.layer.{a}" in name), name): tensor
        for name, tensor in fixture["state_dict"].items()
    }
    assert {"global_prediction", "local_prediction"} <= past(fixture | {"state_dict": state})


def test_masses_are_summed_in_float64(references, monkeypatch):
    def in_float32(masses, dim, cumsum=torch.Tensor.cumsum):
        return cumsum(masses.float(), dim) if masses.dtype is torch.float64 else cumsum(masses, dim)

    monkeypatch.setattr(torch.Tensor, "cumsum", in_float32)
    assert {"token_embedding", "global_prediction"} <= past(references["ranknovo_d64_l2"])


def test_the_published_model_has_as_many_parameters_as_the_paper_says():
    config = RerankerConfig(
        dim=512, heads=8, feedforward=1024, encoder_layers=8, layers=8, max_length=100, evidence=False
    )
    with torch.device("meta"):
        model = Reranker(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 50_539_780
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 16_822_786


def test_sizes_are_read_off_the_tensors(references):
    state, config_of_reference = references["ranknovo_d64_l2"]["state_dict"], references["ranknovo_d64_l2"]["config"]
    config = config_from_reference(state, heads=config_of_reference["n_head"])
    assert (config.dim, config.feedforward, config.layers) == (
        config_of_reference["dim_model"],
        config_of_reference["dim_feedforward"],
        config_of_reference["n_layers"],
    )
    assert (config.max_length, config.max_charge, config.column_attention) == (100, 10, True)
    assert (config.row_scale, config.mask_gaps, config.evidence) == ("padded", False, False)
    without = {name: tensor for name, tensor in state.items() if "column_self_attention" not in name}
    assert from_reference(without, heads=4).config == replace(config, column_attention=False)


def test_a_checkpoint_is_taken_with_what_a_framework_wraps_around_it(references, tmp_path):
    state = references["ranknovo_d64_l2"]["state_dict"]
    torch.save({"state_dict": {f"model.{name}": t for name, t in state.items()}, "epoch": 3}, tmp_path / "a.ckpt")
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "b.safetensors")
    plain = from_reference(state).state_dict()
    for file in ("a.ckpt", "b.safetensors"):
        loaded = from_reference(load_reference(tmp_path / file)).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"global_final.weight": None}, "global_final.weight: found no such tensor"),
        ({"global_final.weight": torch.zeros(2, 64)}, r"global_final.weight: found shape \[2, 64\]"),
        ({"another.weight": torch.zeros(2)}, "another.weight: found a tensor, expected none"),
        ({"encoder.peak_encoder.int_encoder.weight": None}, "int_encoder.weight: found no such tensor"),
        ({"encoder.peak_encoder.cos_term": torch.zeros(32)}, "wavelengths: found sines and cosines of different"),
    ],
)
def test_other_checkpoints_are_refused_by_name(references, change, message):
    state = references["ranknovo_d64_l2"]["state_dict"] | change
    with pytest.raises(BadInput, match=message):
        from_reference({name: tensor for name, tensor in state.items() if tensor is not None}, source="x.ckpt")
