"""The model and its modules against recorded reference values; a deliberate error must fail the comparison."""

import subprocess
import sys

import pytest
import torch

from transect.apps.change_detection import parity


@pytest.fixture(scope="module")
def small(shared_file):
    return torch.load(shared_file("parity/change_detection/cdmaskformer_small.pt"), weights_only=True)


@pytest.fixture(scope="module")
def modules(shared_file):
    return torch.load(shared_file("parity/change_detection/cdmaskformer_modules.pt"), weights_only=True)


def test_small_model_equals_the_reference(small):
    comparisons = parity.compare(small)
    assert {"prob", "pred_masks", "tff4", "encoder_memory", "backbone_a[3]"} <= {each.quantity for each in comparisons}
    assert [each for each in comparisons if not each.error <= each.tolerance] == []


def test_modules_equal_the_reference(modules):
    comparisons = parity.compare(modules)
    assert {each.quantity for each in comparisons} == {*modules, "loss.match"}
    assert [each for each in comparisons if not each.error <= each.tolerance] == []


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("prob", lambda fixture: fixture | {"a": fixture["b"], "b": fixture["a"]}),
        ("pred_masks", lambda fixture: fixture | {"pred_masks": fixture["pred_masks"] * 1.001}),
        ("prob", lambda fixture: fixture | {"prob": fixture["prob"].where(fixture["prob"] < 1, torch.nan)}),
    ],
    ids=["dates swapped", "masks off by a thousandth", "not a number"],
)
def test_parity_notices(small, quantity, change):
    past = {each.quantity for each in parity.compare(change(dict(small))) if not each.error <= each.tolerance}
    assert quantity in past


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_parity_notices_another_mask_threshold(small, monkeypatch, threshold):
    monkeypatch.setattr("transect.apps.change_detection.models.mask_decoder.MASK_THRESHOLD", threshold)
    assert any(each.error > each.tolerance for each in parity.compare(small))


def parity_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.parity", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_parity_command_tells_by_its_exit_status(modules, tmp_path):
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    case = dict(modules["TFF_32"])
    torch.save({"TFF_32": case}, good)
    torch.save({"TFF_32": case | {"inputs": case["inputs"][::-1]}}, bad)
    passed, failed = parity_command("change_detection", str(good)), parity_command("change_detection", str(bad))
    assert (passed.returncode, failed.returncode) == (0, 1), failed.stderr
    assert "TFF_32" in passed.stdout
    assert "PAST" in failed.stdout
    for arguments in (
        [],
        ["change_detection"],
        ["no_such_app", str(good)],
        ["change_detection", str(tmp_path / "none.pt")],
    ):
        assert parity_command(*arguments).returncode == 2
