"""MORPH, its modules and its metrics against recorded reference values; a deliberate error must fail."""

import subprocess
import sys

import pytest
import torch

from transect.apps.pde import parity

MODELS = ("morph_d1", "morph_d2", "morph_d2_ar3", "morph_d2_lora")
QUANTITIES = {"enc", "z", "output", "input_grad", "param_grad_norms", "params_without_grad"}


@pytest.fixture(scope="module")
def references(fixtures):
    names = (*MODELS, "morph_modules", "morph_metrics")
    return {name: torch.load(fixtures / "pde" / f"{name}.pt", weights_only=True) for name in names}


def past(fixture) -> set[str]:
    return {each.quantity for each in parity.compare(fixture) if not each.error <= each.tolerance}


@pytest.mark.parametrize("name", MODELS)
def test_models_equal_the_reference(references, name):
    comparisons = parity.compare(references[name])
    assert {each.quantity for each in comparisons} == QUANTITIES
    assert [each for each in comparisons if not each.error <= each.tolerance] == []
    assert all(each.tolerance <= 5e-6 for each in comparisons)


@pytest.mark.parametrize("name", ["morph_modules", "morph_metrics"])
def test_parts_and_metrics_equal_the_reference(references, name):
    comparisons = parity.compare(references[name])
    expected = set(references[name]) if name == "morph_modules" else {"nrmse", "vrmse"}
    assert {each.quantity for each in comparisons} == expected
    assert [each for each in comparisons if not each.error <= each.tolerance] == []


def scaled(fixture, name, factor=1.0001):
    return fixture | {name: fixture[name] * factor}


@pytest.mark.parametrize("quantity", ["enc", "z", "output", "input_grad"])
def test_parity_notices_another_number(references, quantity):
    assert past(scaled(references["morph_d1"], quantity)) == {quantity}


def test_parity_notices_other_gradients(references):
    fixture = references["morph_d1"]
    norms = fixture["param_grad_norms"]
    *_, second, largest = sorted(norms, key=norms.get)
    assert past(fixture | {"param_grad_norms": norms | {largest: norms[largest] * 1.0001}}) == {"param_grad_norms"}
    # The largest norm stays: it sets the size below which a norm is rounding.
    moved = {name: norm for name, norm in norms.items() if name != second}
    without = [*fixture["params_without_grad"], second]
    assert past(fixture | {"param_grad_norms": moved, "params_without_grad": without}) == {"params_without_grad"}


@pytest.mark.parametrize("quantity", ["output", "input_grad"])
def test_parity_notices_what_is_not_a_number(references, quantity):
    fixture = references["morph_d2"]
    reference = fixture[quantity].clone()
    reference.view(-1)[0] = torch.nan
    assert quantity in past(fixture | {quantity: reference})


def test_parity_notices_swapped_weights(references):
    names = {"attn_h.": "attn_w.", "attn_w.": "attn_h."}
    fixture = references["morph_d2"]

    def swap(name: str) -> str:
        return next((name.replace(a, b) for a, b in names.items() if a in name), name)

    assert "output" in past(fixture | {"state_dict": {swap(name): t for name, t in fixture["state_dict"].items()}})


def test_unknown_modules_are_refused(references):
    with pytest.raises(ValueError, match="no such module"):
        parity.compare({"convolution": references["morph_modules"]["component_conv_8"]})


def test_parity_command_tells_by_its_exit_status(fixtures, references, tmp_path):
    torch.save(scaled(references["morph_d1"], "output"), tmp_path / "bad.pt")
    for file, status in ((fixtures / "pde" / "morph_d1.pt", 0), (tmp_path / "bad.pt", 1)):
        command = [sys.executable, "-m", "benchmarks.parity", "pde", str(file)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ran.returncode == status, ran.stderr
        assert ("PAST" in ran.stdout) == bool(status)
