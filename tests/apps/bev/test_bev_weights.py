"""Published SinBEVT checkpoints: all names and shapes are accepted, anything else is refused by name."""

import json
import shlex
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from transect.apps.bev.config import Config
from transect.apps.bev.models.config import ModelConfig, SinBEVTConfig
from transect.apps.bev.models.sinbevt import SinBEVT
from transect.apps.bev.weights import from_reference, load_reference, published_names
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid


def fabricated(shapes, seed=0):
    """Random tensors of these names and shapes; variances are positive."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(shape, generator=generator) * 0.2 + 0.05 if shape else torch.tensor(7)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def published(fixtures):
    return fabricated(json.loads((fixtures / "bev/checkpoint_keys.json").read_text()))


def test_published_names_are_all_used(published):
    assert len(published) == 591
    config, model = from_reference(published, source="x.ckpt")
    assert config == Config()
    names = [name for ours in model.state_dict() for (name,) in [published_names(ours)]]
    assert len(names) == len(set(names))
    assert set(names) == published.keys()
    for ours, tensor in model.state_dict().items():
        (name,) = published_names(ours)
        assert torch.equal(tensor.flatten(), published[name].flatten()), ours


def test_loaded_model_computes_finite_logits(published):
    _, model = from_reference(published, source="x.ckpt")
    assert not model.training
    intrinsics = torch.tensor([[380.0, 0, 240], [0, 380, 100], [0, 0, 1]])[None, None]
    with torch.no_grad():
        logits = model(torch.rand(1, 1, 3, 224, 480), intrinsics, torch.eye(4)[None, None])
    assert logits.shape == (1, 2, 200, 200)
    assert logits.isfinite().all()


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.network."])
@pytest.mark.parametrize("nested", [False, True])
def test_prefixes_nesting_and_computed_buffers_do_not_matter(published, prefix, nested):
    buffers = {
        "encoder.norm.mean": torch.zeros(1, 3, 1, 1),
        "encoder.bev_embedding.grid0": torch.zeros(3, 100, 100),
        "encoder.cross_views.1.image_plane": torch.zeros(1, 1, 3, 28, 60),
    }
    state = {prefix + name: tensor for name, tensor in (published | buffers).items()}
    others = {"loss_func.weight": torch.ones(2)} if prefix else {}
    content = {"state_dict": state | others, "epoch": 3} if nested else state
    _, model = from_reference(content, source="x.ckpt")
    assert torch.equal(model.prior, published["encoder.bev_embedding.learned_features"])


def test_sizes_are_inferred():
    sizes = SinBEVTConfig(
        dims=(32, 64),
        heads=(1, 2),
        query_windows=SinBEVTConfig.query_windows[-2:],
        bottlenecks=(1, 3),
        bev_embedding=(False, True),
        decoder=(48, 64, 32),
    )
    expected = Config(
        model=ModelConfig(sinbevt=sizes), read=ReadConfig(grid=Grid(height=160, width=200)), classes=("road",)
    )
    ours = SinBEVT(expected.model, expected.read, 1).state_dict()
    shapes = {name: list(tensor.shape) for ours, tensor in ours.items() for name in published_names(ours)}
    shapes |= {name: [*shape, 1, 1] for name, shape in shapes.items() if "_embed.weight" in name}
    config, _ = from_reference(fabricated(shapes), source="x.ckpt")
    assert config == expected


def test_missing_left_over_and_misshapen_tensors_are_named(published):
    name = "encoder.cross_views.1.cross_win_attend_2.to_v.1.weight"
    for changed, words in (
        ({key: value for key, value in published.items() if key != name}, f"{name}: found no such tensor"),
        (published | {name: torch.zeros(64, 32)}, f"{name}: found shape"),
        (
            published | {"encoder.self_attention.weight": torch.zeros(2)},
            "encoder.self_attention.weight: found a tensor",
        ),
        ({"layer1.weight": torch.zeros(2)}, "found no such tensor.*is it a SinBEVT checkpoint"),
        (published | {"to_logits.3.bias": torch.zeros(5)}, "5 channels of logits"),
    ):
        with pytest.raises(BadInput, match=words):
            from_reference(changed, source="x.ckpt")


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (7, 7, 7, 7, 7)])
def test_tensors_of_any_shape_are_refused_in_one_line(published, shape):
    anchors = ("encoder.bev_embedding.learned_features", "to_logits.3.bias", "decoder.layers.1.up.bias")
    for name in (*anchors, "encoder.cross_views.2.postnorm.weight", "encoder.backbone.layers.0.0.weight"):
        with pytest.raises(BadInput):
            from_reference(published | {name: torch.zeros(shape)}, source="x.ckpt")


# ---------------------------------------------------------------- a checkpoint of Lightning with pickled settings


@pytest.fixture
def lightning_checkpoint(published, tmp_path, monkeypatch):
    """A checkpoint whose settings are objects of a package that is not there any more when it is read."""
    package = ModuleType("omegasettings")
    for base in (object, dict):
        name = f"Settings{base.__name__.title()}"
        settings = type(name, (base,), {"__module__": "omegasettings", "__qualname__": name})
        setattr(package, name, settings)
    monkeypatch.setitem(sys.modules, "omegasettings", package)
    tree = package.SettingsObject()
    tree.content = {"lr": 4e-3, "nested": package.SettingsDict(depth=2)}
    state = {"backbone." + name: tensor for name, tensor in published.items()}
    path = tmp_path / "it's 50k.ckpt"
    torch.save({"epoch": 1, "state_dict": state, "hyper_parameters": tree}, path)
    monkeypatch.delitem(sys.modules, "omegasettings")
    return path


def test_pickled_settings_are_refused_with_advice_that_works(lightning_checkpoint, published):
    with pytest.raises(BadInput, match=r"omegasettings\.SettingsDict, omegasettings\.SettingsObject") as refused:
        load_reference(lightning_checkpoint)
    advice = str(refused.value)
    command = shlex.split(advice[advice.index("python -c") :])
    assert command[:2] == ["python", "-c"]
    assert len(command) == 3
    subprocess.run([sys.executable, *command[1:]], cwd=lightning_checkpoint.parent, check=True)
    _, model = from_reference(load_reference(lightning_checkpoint.parent / "weights.pt"), source="weights.pt")
    assert torch.equal(model.prior, published["encoder.bev_embedding.learned_features"])


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_neither_reading_nor_the_advice_runs_what_a_checkpoint_holds(tmp_path, monkeypatch, capsys):
    path = tmp_path / "harmful.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": Harmful()}, path)
    with pytest.raises(BadInput, match=r"builtins\.print|__builtin__\.print") as refused:
        load_reference(path)
    advice = str(refused.value)
    monkeypatch.chdir(tmp_path)
    exec(shlex.split(advice[advice.index("python -c") :])[2], {})
    torch.serialization.clear_safe_globals()
    assert load_reference("weights.pt").keys() == {"a"}
    assert capsys.readouterr().out == ""
