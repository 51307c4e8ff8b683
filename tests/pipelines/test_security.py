"""Files from elsewhere, such as weights, settings and tables, are read as data and never run code."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from transect.data_adapters.base import BadInput
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import import_weights
from transect.pipelines.predict import predict

APP = "change_detection"


class Payload:
    """Creates a folder if it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return (os.mkdir, (str(self.witness),))


@pytest.mark.parametrize("kind", ["pickle", "torch", "torch as safetensors", "hidden in a state dict"])
def test_weights_that_would_run_code_are_refused_and_do_not_run(tmp_path, command, kind):
    witness, file = tmp_path / "ran", tmp_path / "weights.pth"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Payload(witness)))
    elif kind == "hidden in a state dict":
        torch.save({"state_dict": {"backbone.smb1.stem_block.0.c.weight": torch.zeros(1), "x": Payload(witness)}}, file)
    else:
        file = file.with_suffix(".safetensors" if "safetensors" in kind else ".pth")
        torch.save(Payload(witness), file)
    status, out, err = command("import-weights", APP, "--from", file, "--out", tmp_path / "model")
    assert (status, out) == (1, "")
    assert err.startswith(f"transect: {file}: contents: found")
    assert len(err.splitlines()) == 1
    assert not witness.exists()
    assert not (tmp_path / "model").exists()
    if "safetensors" not in kind:  # the payload does run when the file is unpickled
        with file.open("rb") as content:
            torch.load(content, weights_only=False) if kind != "pickle" else pickle.load(content)
        assert witness.exists()


def test_a_published_checkpoint_becomes_a_model_folder_that_predicts(fixtures, pairs, command, tmp_path):
    shapes = json.loads((fixtures / APP / "checkpoint_keys.json").read_text())
    generator = torch.Generator().manual_seed(0)
    # Small weights, so that activations stay finite through thirteen random layers.
    state = {
        name: torch.rand(shape, generator=generator) * 0.1 if shape else torch.tensor(0)
        for name, shape in shapes.items()
    }
    torch.save({"state_dict": state}, tmp_path / "published.pth")
    status, out, _ = command("import-weights", APP, "--from", tmp_path / "published.pth", "--out", tmp_path / "model")
    assert (status, out.strip()) == (0, str(tmp_path / "model"))
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(model_folder.FILES)
    card = (tmp_path / "model" / "card.md").read_text()
    assert "published.pth" in card
    assert "licence" in card
    model = model_folder.load(str(tmp_path / "model"))
    assert model.app.config.model.name == "cdmaskformer"
    assert model.app.config.stretch == "none"
    case = [str(pairs / "test" / side / "test_11.png") for side in "AB"]
    (outcome,) = predict(str(tmp_path / "model"), case, tmp_path / "out")
    assert outcome.status == "done", outcome.message


def test_a_checkpoint_of_another_model_is_refused_with_a_missing_tensor(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"other\.pth: backbone.*found no such tensor"):
        import_weights(APP, tmp_path / "other.pth", tmp_path / "model")
    with pytest.raises(BadInput, match="nowhere"):
        import_weights(APP, tmp_path / "nowhere.pth", tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.fixture
def copy(untrained, tmp_path):
    """A model folder to damage."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in model_folder.FILES:
        (folder / name).write_bytes((untrained / name).read_bytes())
    return folder


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_truncated_weights_are_one_line(copy, kept):
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(UsageError) as error:
        model_folder.load(str(copy))
    assert str(error.value).startswith(f"{weights}: ")
    assert "\n" not in str(error.value)


def test_weights_of_other_sizes_are_one_line_that_names_a_tensor(copy):
    settings = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(settings.replace("queries: 3", "queries: 4"))
    with pytest.raises(UsageError, match=r"model\.safetensors.*query_feature") as error:
        model_folder.load(str(copy))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("app: !!python/object/apply:os.mkdir ['{}']", "could not determine a constructor"),
        ("app: [", "while parsing"),
        ("tile: 64", "app: found none"),
        ("app: ../../etc", "app: found '../../etc', expected one of"),
        ("app: change_detection\ntile: !!python/object/apply:os.mkdir ['{}']", "could not determine a constructor"),
        ("app: change_detection\ntile: 63", "tile: found 63"),
        ("app: change_detection\ntitel: 63", "titel: found no such setting"),
        ("\x00", "config.yaml"),
    ],
)
def test_a_models_settings_cannot_run_code_and_errors_name_them(copy, tmp_path, command, text, message):
    (copy / "config.yaml").write_text(text.format(tmp_path / "ran"))
    status, out, err = command("predict", copy, tmp_path, "--out", tmp_path / "out")
    assert (status, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_names_of_cases_stay_inside_the_folder_of_results(untrained, pairs, tmp_path):
    files = [pairs / "test" / side / "test_11.png" for side in "AB"]
    table = tmp_path / "pairs.csv"
    names = ("../../escaped", "/absolute", "..", ".hidden", "a/b")
    table.write_text("id,before,after\n" + "".join(f"{name},{files[0]},{files[1]}\n" for name in names))
    out = tmp_path / "deep" / "out"
    outcomes = predict(str(untrained), [str(table)], out)
    assert [outcome.status for outcome in outcomes] == ["done"] * len(names)
    assert len({outcome.case for outcome in outcomes}) == len(names)
    assert {path.parent.parent for path in tmp_path.rglob("mask.tif")} == {out}
