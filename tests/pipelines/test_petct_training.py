"""Training of the petct app from the command line: splits, a resumed run, and what a model keeps and compares."""

import json
from pathlib import Path

import pytest

SMALL = [
    *("--model.width", "8", "--model.dim", "16", "--model.run", "8", "--size", "32", "--slices_per_study", "16"),
    *("--train.batch_size", "2", "--train.precision", "fp32", "--train.decay_power", "0", "--precision", "fp32"),
]


@pytest.fixture(scope="module")
def bodies(workplace: Path) -> Path:
    from transect.data_adapters.petct.config import PhantomConfig
    from transect.data_adapters.petct.phantom import write_phantom

    write_phantom(workplace / "bodies", 6, 1, PhantomConfig(size=32, slices=32))
    return workplace / "bodies"


def train(command, bodies: Path, *settings: str) -> tuple[str, Path, str]:
    status, out, log = command("train", "petct", "--data", bodies, *SMALL, *settings)
    assert status == 0, log
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    return lines["run"], Path(lines["model"]), log


def test_a_resumed_training_gives_the_weights_of_an_uninterrupted_one(command, bodies):
    _, whole, _ = train(command, bodies, "--train.epochs", "2")
    run, _, _ = train(command, bodies, "--train.epochs", "1")
    status, out, log = command("train", "petct", "--resume", run, "--train.epochs", "2")
    assert status == 0, log
    resumed = Path(dict(line.split(maxsplit=1) for line in out.splitlines())["model"])
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    state = json.loads((whole / "state.json").read_text())
    assert state["tracers"] == ["FDG"]
    assert len(state["patients"]) == 3  # of six studies, one is for validation and one a test; one patient has two
    assert "PETCT" not in (whole / "state.json").read_text()


def test_a_split_of_slices_is_marked_as_overestimating(command, bodies):
    settings = ("--split.unit", "slice", "--model.name", "resnet18", "--train.epochs", "1")
    _, model, log = train(command, bodies, *settings)
    assert "overestimates" in log
    assert "studies, " in log
    status, out, log = command("check", model, bodies)
    assert status == 0, log
    assert "the model was trained on this patient" in out + log
