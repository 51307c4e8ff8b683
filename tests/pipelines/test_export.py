"""`transect export`: ONNX files that compute what the model computes, for any number of cameras."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.apps.bev.rigs import READ, ring, sized, small
from transect.apps.bev.app import BirdsEyeView
from transect.apps.bev.config import Config, State
from transect.apps.bev.export import export as settings_of
from transect.apps.bev.models.config import SinBEVTConfig
from transect.data_adapters.base import BadInput
from transect.pipelines import export as exporting
from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.export import export

Run = Callable[..., subprocess.CompletedProcess[str]]


ONE_LEVEL = SinBEVTConfig((8,), (2,), ((4, 6),), (1,), (True,), (8, 8))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], nn.Module]:
    """Makes `model_folder.load` give a small network of that name, which it returns."""

    def load(name: str) -> nn.Module:
        network = small(name).eval()
        settings = settings_of(Config(model=sized(name), read=READ), (0.4,))
        app = SimpleNamespace(export=lambda: settings)
        model = SimpleNamespace(app=app, module=network, members=(), source="Transect, a model")
        monkeypatch.setattr(model_folder, "load", lambda name, device: model)
        return network

    return load


def test_exported_network_computes_the_same_for_any_number_of_cameras(transect: Run, tmp_path: Path):
    torch.manual_seed(0)
    config = Config(model=replace(sized("sinbevt"), sinbevt=ONE_LEVEL), read=READ)
    app = BirdsEyeView(config, State(thresholds=(0.4,)))
    network = app.model().eval()
    model_folder.save(tmp_path / "model", "bev", app, network, "# model")
    done = transect("export", tmp_path / "model", "--out", tmp_path / "x.onnx")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'x.onnx'}\nlargest difference" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"model", "x.onnx"}
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    assert [part.name for part in session.get_inputs()] == ["images", "intrinsics", "camera_to_ego"]
    assert [part.name for part in session.get_outputs()] == ["logits"]
    for count in (1, 3, 8):
        inputs = (torch.rand(1, count, 3, 32, 56), *ring(count))
        with torch.no_grad():
            expected = network(*inputs)
        (found,) = session.run(
            None, dict(zip(("images", "intrinsics", "camera_to_ego"), map(torch.Tensor.numpy, inputs), strict=True))
        )
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-5)
        with torch.no_grad():
            moved = network(inputs[0], inputs[1], inputs[2] + 5 * torch.rand(1, count, 4, 4))
        assert (moved - expected).abs().max() > 1e-3
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert json.loads(facts["channels"]) == ["vehicle", "center"]
    assert json.loads(facts["thresholds"]) == {"vehicle": 0.4}
    assert json.loads(facts["grid"])["view"] == READ.grid.matrix.tolist()
    assert "SHA-256" in facts["source"]


def test_a_file_that_computes_something_else_is_not_written(loaded, tmp_path, monkeypatch):
    network, bias, session = loaded("lift_splat"), 0.1, onnxruntime.InferenceSession
    program = exporting.to_onnx(network, model_folder.load("a model", device="cpu").app.export())

    def changed_meanwhile(*arguments: object, **options: object) -> object:
        network.decoder.classify.bias.data += bias
        return session(*arguments, **options)

    monkeypatch.setattr(exporting, "to_onnx", lambda module, settings: program)
    monkeypatch.setattr(onnxruntime, "InferenceSession", changed_meanwhile)
    with pytest.raises(BadInput, match=r"x.onnx: logits: found a difference of .*, expected at most"):
        export("a model", tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    bias = 0.0
    assert export("a model", tmp_path / "x.onnx") < 1e-4


@pytest.mark.parametrize("name", ["x.pt", "taken.onnx", "missing/x.onnx"])
def test_only_a_new_onnx_file_is_written(loaded, tmp_path, name):
    loaded("bilinear")
    (tmp_path / "taken.onnx").write_text("mine")
    with pytest.raises(UsageError, match="--out: found"):
        export("a model", tmp_path / name)
    assert (tmp_path / "taken.onnx").read_text() == "mine"


def test_ensembles_and_apps_without_export_are_refused(
    loaded, transect: Run, fixtures: Path, tmp_path: Path, monkeypatch
):
    loaded("bilinear")
    with monkeypatch.context() as patch:
        patch.setattr(model_folder.load("", device="cpu"), "members", ("first", "second"))
        with pytest.raises(UsageError, match="expected a single model"):
            export("a model", tmp_path / "x.onnx")
    monkeypatch.undo()
    done = transect("export", fixtures / "models" / "petct", "--out", tmp_path / "x.onnx")
    assert done.returncode == 2
    assert "cannot be exported" in done.stderr
    assert not (tmp_path / "x.onnx").exists()
