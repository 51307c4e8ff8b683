"""Files from elsewhere, such as weights, settings and tables, are read as data and never run code."""

import json
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.config import Config
from transect.apps.change_detection.models.config import ModelConfig
from transect.data_adapters.base import BadInput
from transect.data_adapters.files import sha256
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
        ("app: change_detection\na: &a [1]\nb: *a", "line 3: found an alias"),
        ("app: change_detection\nx: " + "[" * 3000, "settings nested more than 20 times"),
        ("app: change_detection\nx: " + "a" * (1 << 19), "found a larger file, expected at most 256 kB"),
        ("app: change_detection\ntile: " + "9" * 9999, "config.yaml"),
        ("app: change_detection\ntile: 2020-99-99", "config.yaml"),
        ("app: change_detection\nmodel: {{encoder: 'tu-hf-hub:evil/model'}}", "model.encoder: found 'tu-hf-hub:evil"),
        ("app: change_detection\nmodel: {{encoder: 'tu-local-dir:/'}}", "model.encoder: found 'tu-local-dir:/'"),
        ("app: change_detection\nmodel: {{encoder: 'timm-regnet/../x'}}", "model.encoder: found 'timm-regnet"),
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


def hang(file: Path) -> None:
    """A pipe without a writer."""
    file.unlink(missing_ok=True)
    os.mkfifo(file)


@pytest.mark.parametrize("name", [*model_folder.FILES, "extra"])
@pytest.mark.parametrize("make", [hang, lambda file: (file.unlink(missing_ok=True), file.symlink_to("/dev/zero"))])
def test_pipes_and_links_in_a_model_folder_are_not_opened(copy, name, make):
    make(copy / name)
    if name == "extra":
        assert model_folder.load(str(copy)).sha256
    else:
        with pytest.raises(UsageError, match=rf"{name}"):
            model_folder.load(str(copy))


def test_other_files_do_not_change_what_a_model_is(untrained, copy):
    expected = sha256(untrained)
    assert model_folder.load(str(copy)).sha256 == expected
    (copy / "notes.txt").write_text("mine")
    (copy / "link").symlink_to("/")
    assert model_folder.load(str(copy)).sha256 == expected


def test_a_large_state_is_not_read(copy):
    with (copy / "state.json").open("ab") as file:
        file.write(b" " * (9 << 20))
    with pytest.raises(UsageError, match=r"state\.json: size: found"):
        model_folder.load(str(copy))


@pytest.mark.parametrize("header", [b'{"w":{"dtype":"F32","shape":[1000000000,1000000],"data_offsets":[0,4]}}', b"{"])
def test_a_header_that_claims_more_than_the_file_holds_is_refused(copy, header):
    length = len(header) if len(header) > 1 else 1 << 60
    (copy / "model.safetensors").write_bytes(length.to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(UsageError, match=r"model\.safetensors") as error:
        model_folder.load(str(copy))
    assert "\n" not in str(error.value)


def test_a_sparse_file_larger_than_memory_is_refused(copy):
    content = (copy / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    size = 1 << 43
    header["w"] = {"dtype": "U8", "shape": [size], "data_offsets": [len(content) - start, len(content) - start + size]}
    text = json.dumps(header).encode()
    with (copy / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + content[start:])
        try:
            file.truncate(8 + len(text) + len(content) - start + size)
        except OSError:
            pytest.skip("the file system has no files of this size")
    with pytest.raises(UsageError, match=r"size: found .* expected at most"):
        model_folder.load(str(copy))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(copy, bad):
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[-1] = bad
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(UsageError, match=rf"{name}: found values that are not finite"):
        model_folder.load(str(copy))


def test_a_model_with_more_layers_than_weights_is_not_built(copy):
    settings = (copy / "config.yaml").read_text()
    changed = settings.replace("decoder_layers: 5", "decoder_layers: 1000")
    assert changed != settings
    (copy / "config.yaml").write_text(changed)
    with pytest.raises(UsageError, match="fewer tensors than the model"):
        model_folder.load(str(copy))


def test_loading_a_model_that_started_from_published_weights_fetches_nothing(tmp_path, monkeypatch):
    model = ModelConfig(encoder="timm-mobilenetv3_small_minimal_100", pretrained=True)
    app = ChangeDetection(Config(model=model, tile=64))
    module = ChangeDetection(Config(model=replace(model, pretrained=False), tile=64)).model()
    model_folder.save(tmp_path / "model", APP, app, module, "# card\n")
    attempts = []

    def refuse(*arguments: object, **_: object) -> None:
        attempts.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model_folder.load(str(tmp_path / "model"))
    started = app.warm_start(model_folder.weights(tmp_path / "model"))
    assert not attempts
    for name, tensor in module.state_dict().items():
        assert torch.equal(started.state_dict()[name], tensor)
    assert started.training
    assert all(parameter.requires_grad for parameter in started.parameters())
