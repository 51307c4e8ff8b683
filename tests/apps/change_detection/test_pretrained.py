"""Encoders from a local file: names of the usual libraries, other bands, and files that do not fit."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from transect.apps.change_detection.models.build import build
from transect.apps.change_detection.models.config import ModelConfig
from transect.apps.change_detection.models.unet import ChangeUNet
from transect.data_adapters.base import BadInput


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Those of a ResNet-18 of torchvision, with its classifier; timm has the same names."""
    torch.manual_seed(7)
    return torchvision.models.resnet18(weights=None).state_dict()


def written(file: Path, tensors: dict[str, Tensor]) -> str:
    if file.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    else:
        torch.save(tensors, file)
    return str(file)


def encoder_of(file: str, channels: int = 3, name: str = "siamese_difference", encoder: str = "resnet18") -> ChangeUNet:
    model = build(ModelConfig(name=name, encoder=encoder, weights=file), channels)  # type: ignore[arg-type]
    assert isinstance(model, ChangeUNet)
    return model


@pytest.mark.parametrize("form", ["torchvision", "smp", "trainer", "safetensors"])
def test_every_tensor_of_the_encoder_is_that_of_the_file(weights, tmp_path, form):
    forms = {
        "torchvision": weights,
        "smp": {f"encoder.{name}": tensor for name, tensor in weights.items()} | {"decoder.w": torch.ones(2)},
        "trainer": {"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}, "epoch": 3},
        "safetensors": weights,
    }
    file = written(tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth"), forms[form])
    loaded = encoder_of(file).encoder.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in loaded)
    assert loaded.keys() == weights.keys() - {"fc.weight", "fc.bias"}


def test_names_of_timm_fit_an_encoder_that_comes_from_timm(tmp_path):
    torch.manual_seed(1)
    name = "timm-mobilenetv3_small_minimal_100"
    other = encoder_of("", encoder=name).encoder.state_dict()
    tensors = {key.removeprefix("model."): tensor for key, tensor in other.items()} | {
        "classifier.weight": torch.ones(1)
    }
    torch.manual_seed(2)
    loaded = encoder_of(written(tmp_path / "w.pth", tensors), encoder=name).encoder.state_dict()
    assert all(torch.equal(loaded[key], other[key]) for key in other)


@pytest.mark.parametrize(("name", "channels", "bands"), [("siamese_difference", 4, 4), ("unet", 3, 6), ("unet", 1, 2)])
def test_other_bands_repeat_the_kernels_and_keep_the_sum(weights, tmp_path, name, channels, bands):
    first = encoder_of(written(tmp_path / "w.pth", weights), channels, name).encoder.conv1.weight
    assert first.shape == (64, bands, 7, 7)
    for band in range(bands):
        torch.testing.assert_close(first[:, band], weights["conv1.weight"][:, band % 3] * 3 / bands)
    if bands % 3 == 0:
        torch.testing.assert_close(first.sum(1), weights["conv1.weight"].sum(1))


def changed(weights: dict[str, Tensor], **changes: Tensor | None) -> dict[str, Tensor]:
    merged = weights | changes
    return {name: tensor for name, tensor in merged.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer3.0.conv1.weight": None}, r"layer3\.0\.conv1\.weight: found no such tensor"),
        ({"layer3.0.conv1.weight": torch.ones(3)}, r"layer3\.0\.conv1\.weight: found shape \[3\], expected \[256, 128"),
        ({"layer1.2.conv1.weight": torch.ones(3)}, r"layer1\.2\.conv1\.weight: found a tensor, expected none"),
        ({"bn1.bias": torch.full((64,), float("nan"))}, r"bn1\.bias: found values that are not finite"),
        ({"conv1.weight": torch.ones(64, 3, 3, 3)}, r"conv1\.weight: found shape \[64, 3, 3, 3\]"),
        ({"conv1.weight": torch.ones(64, 0, 7, 7)}, r"conv1\.weight: found shape \[64, 0, 7, 7\]"),
    ],
)
def test_what_does_not_fit_is_named(weights, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        encoder_of(written(tmp_path / "w.pth", changed(weights, **changes)))


def test_other_files_are_refused(weights, tmp_path):
    with pytest.raises(BadInput, match=r"nothing\.pth: file: found nothing"):
        encoder_of(str(tmp_path / "nothing.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(BadInput, match=r"text\.pth: contents"):
        encoder_of(str(tmp_path / "text.pth"))
    torch.save(torchvision.models.resnet18(weights=None), tmp_path / "pickle.pth")
    with pytest.raises(BadInput, match="a pickle that is damaged or would run code"):
        encoder_of(str(tmp_path / "pickle.pth"))
    other = torchvision.models.mobilenet_v2(weights=None).state_dict()
    with pytest.raises(BadInput, match=r"conv1\.weight: found no such tensor, expected one; is it a resnet18"):
        encoder_of(written(tmp_path / "other.pth", other))


def test_a_saved_model_does_not_need_the_file(weights, tmp_path):
    with torch.device("meta"):
        model = encoder_of(str(tmp_path / "nothing.pth"))
    assert model.encoder.conv1.weight.is_meta


@pytest.mark.parametrize("settings", [{"name": "cdmaskformer"}, {"pretrained": True}])
def test_models_without_such_an_encoder_refuse_it(settings):
    with pytest.raises(ValueError, match=r"model\.weights: found 'w\.pth'"):
        ModelConfig(weights="w.pth", **settings)
