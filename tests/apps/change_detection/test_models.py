"""The change detectors against recorded reference values, and the guarantees of their interface."""

import copy
import itertools
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from transect.apps.change_detection.losses import change_loss
from transect.apps.change_detection.models.build import build
from transect.apps.change_detection.models.cdmaskformer import change_score
from transect.apps.change_detection.models.config import CDMaskFormerConfig, ModelConfig, StageConfig
from transect.apps.change_detection.models.mask_decoder import sine_embedding
from transect.apps.change_detection.weights import from_reference

TINY = CDMaskFormerConfig(
    stem=8,
    stages=(
        StageConfig((16, 32), (1, 2)),
        StageConfig((32,), (2,), kernel=5),
        StageConfig((32,), (2,), depth=1, heads=2, key_dim=4),
        StageConfig((64,), (2,), depth=2, heads=2, key_dim=4),
    ),
    dim=32,
    heads=4,
    points=2,
    encoder_layers=1,
    decoder_layers=5,
    feedforward=32,
    queries=3,
)
NAMES = ["unet", "siamese_concat", "siamese_difference", "cdmaskformer"]


def model(name: str, seed: int = 0) -> nn.Module:
    """A small model whose weights hide nothing: no gate or norm starts at zero."""
    torch.manual_seed(seed)
    built = build(ModelConfig(name=name, cdmaskformer=TINY))
    for part in built.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.1)
        if hasattr(part, "attention_weights"):
            nn.init.normal_(part.attention_weights.weight, std=0.1)
            nn.init.normal_(part.sampling_offsets.weight, std=0.1)
    return built


def pair(height: int, width: int, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(7)
    return torch.randn(count, 3, height, width), torch.randn(count, 3, height, width)


@pytest.fixture(scope="module")
def small(shared_file):
    return torch.load(shared_file("parity/change_detection/cdmaskformer_small.pt"), weights_only=True)


# ---------------------------------------------------------------- sizes


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_the_paper():
    with torch.device("meta"):
        paper = build(ModelConfig(name="cdmaskformer"))
    assert parameters(paper) == 33_523_772 - 7_786_984
    # Stage 5 of the published backbone (convolutions and attention) and its classifier are not built.
    assert parameters(paper.backbone) == 14_046_504 - (905_344 + 6_560_640 + 321_000)
    assert [parameters(each) for each in paper.extractors] == [30_146, 111_490, 244_034, 427_778]
    assert parameters(paper.pixel_decoder) == 3_780_224
    assert parameters(paper.mask_decoder) == 14_883_596


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "segnet"}, "model.name: found 'segnet'"),
        ({"cdmaskformer": {"dim": 100}}, "cdmaskformer.dim: found 100"),
        ({"cdmaskformer": {"heads": 7}}, "cdmaskformer.heads: found 7"),
        ({"cdmaskformer": {"queries": 0}}, "cdmaskformer.queries: found 0"),
        ({"cdmaskformer": {"normalize": "max"}}, "cdmaskformer.normalize: found 'max'"),
        ({"cdmaskformer": {"stages": TINY.stages[:3]}}, "cdmaskformer.stages: found 3"),
    ],
)
def test_config_names_what_is_wrong(change, words):
    with pytest.raises(ValueError, match=words):
        ModelConfig(
            **{key: replace(TINY, **value) if isinstance(value, dict) else value for key, value in change.items()}
        )


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match=r"model\.encoder: found 'resnet19'"):
        build(ModelConfig(encoder="resnet19"))


def test_config_needs_no_torch_and_cdmaskformer_no_smp():
    code = "import sys, transect.apps.change_detection.config; assert 'torch' not in sys.modules\n"
    code += "from transect.apps.change_detection import losses, weights\n"
    code += "from transect.apps.change_detection.models import cdmaskformer\n"
    code += "assert 'segmentation_models_pytorch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ---------------------------------------------------------------- promises


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(50, 70), (64, 32)])
def test_score_has_the_size_of_the_images(name, height, width):
    score = model(name).eval().score(*pair(height, width, count=2))
    assert score.shape == (2, height, width)
    assert score.dtype == torch.float32
    assert not score.requires_grad
    assert 0 <= score.min() < score.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_score_of_250_is_that_of_256_continued_by_its_edge(name):
    detector = model(name).double().eval()
    images = [image.double() for image in pair(250, 250)]
    continued = [torch.cat([i, i[:, :, -1:].expand(-1, -1, 6, -1)], 2) for i in images]
    continued = [torch.cat([i, i[..., -1:].expand(-1, -1, -1, 6)], 3) for i in continued]
    score = detector.score(*images)
    assert score.shape == (1, 250, 250)
    torch.testing.assert_close(score, detector.score(*continued)[:, :250, :250], rtol=0, atol=1e-6)


def test_score_is_that_of_the_last_masks():
    detector = model("cdmaskformer").eval()
    images = pair(64, 96)
    with torch.no_grad():
        prediction = detector(*images)
    expected = change_score(prediction.class_logits[-1], prediction.masks[-1], (64, 96), "absolute")
    torch.testing.assert_close(detector.score(*images), expected, rtol=0, atol=1e-6)


def test_query_without_a_mask_looks_everywhere(monkeypatch):
    detector, images = model("cdmaskformer").eval(), pair(64, 64)
    scores = []
    for threshold in (0.0, 2.0):  # no pixel is blocked, every pixel is blocked
        monkeypatch.setattr("transect.apps.change_detection.models.mask_decoder.MASK_THRESHOLD", threshold)
        scores.append(detector.score(*images))
    assert torch.equal(*scores)


def test_absolute_score_is_the_chance_that_any_query_is_right():
    logits = torch.tensor([[[0.0, 0.0], [0.0, torch.log(torch.tensor(3.0))]]])  # p = 1/2 and 3/4
    masks = torch.zeros(1, 2, 2, 2)  # sigmoid = 1/2 everywhere
    score = change_score(logits, masks, (7, 8), "absolute")
    assert score.shape == (1, 7, 8)
    torch.testing.assert_close(score, torch.full((1, 7, 8), 1 - (1 - 1 / 4) * (1 - 3 / 8)))


def test_image_score_stretches_each_image_and_keeps_a_constant_one_at_zero():
    masks = torch.zeros(2, 1, 2, 2)
    masks[0, 0, 0, 0] = 1e-3
    score = change_score(torch.zeros(2, 1, 2), masks, (8, 8), "image")
    assert (score[0].min(), score[0].max()) == (0, 1)
    assert torch.equal(score[1], torch.zeros(8, 8))


def test_absolute_score_of_a_place_does_not_depend_on_other_masks_far_away():
    masks = torch.randn(1, 3, 8, 8)
    other = masks.clone()
    other[..., 4:, :] = 9.0
    logits = torch.randn(1, 3, 2)
    first, second = (change_score(logits, each, (32, 32), "absolute") for each in (masks, other))
    assert torch.equal(first[:, :12], second[:, :12])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_do_not_see_each_other(name):
    detector = model(name).double().eval()
    before, after = (image.double() for image in pair(64, 64, count=2))
    alone = [detector.score(before[i : i + 1], after[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(detector.score(before, after), torch.cat(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_memory_format_does_not_matter(name):
    detector, images = model(name).double().eval(), [image.double() for image in pair(64, 64)]
    expected = detector.score(*images)
    last = copy.deepcopy(detector).to(memory_format=torch.channels_last)
    actual = last.score(*(image.contiguous(memory_format=torch.channels_last) for image in images))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["unet", "siamese_concat", "siamese_difference"])
def test_bf16_moves_the_score_of_a_unet_little(name):
    detector, images = model(name).eval(), pair(64, 64)
    expected = detector.score(*images)
    with torch.autocast("cpu", torch.bfloat16):
        actual = detector.score(*images)
    assert actual.dtype == torch.float32
    step = 2**-8  # of bf16 between 1 and 2
    assert 0 < (actual - expected).square().mean().sqrt() < 4 * step


def test_bf16_moves_cdmaskformer_about_as_much_as_rounding_its_weights(small):
    """On the recorded model: the tiny one normalises single channels of four pixels, which magnifies any rounding.

    Products in bf16 round weights and inputs alike, so the error is at most twice that of rounded weights; which of the
    two is larger on one image differs between processors.
    """
    detector = from_reference(small["state_dict"])
    rounded = copy.deepcopy(detector)
    for parameter in rounded.parameters():
        parameter.data = parameter.data.bfloat16().float()
    errors = {"bf16": 0.0, "weights": 0.0}
    for row, column in itertools.product((0, 64), repeat=2):
        images = [small[name][:1, :, row : row + 64, column : column + 64] for name in "ab"]
        expected = detector.score(*images)
        with torch.autocast("cpu", torch.bfloat16):
            actual = detector.score(*images)
        assert actual.dtype == torch.float32
        errors["bf16"] += float((actual - expected).square().mean())
        errors["weights"] += float((rounded.score(*images) - expected).square().mean())
    assert 0 < errors["bf16"] ** 0.5 < 2 * errors["weights"] ** 0.5


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name):
    detector = model(name).train()
    for part in detector.modules():
        if hasattr(part, "rate"):
            part.rate = 0.0  # stochastic depth off
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[:, 10:40, 20:50] = 1
    change_loss(detector(*pair(64, 64, count=2)), labels).backward()
    assert [key for key, value in detector.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    from transect.core.drop_path import DropPath

    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop.train()(torch.ones(4000, 2, 1, 1)).flatten(1)
    assert torch.equal(out[:, 0], out[:, 1])
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(out.mean() - 1) < 0.03
    assert torch.equal(drop.eval()(torch.ones(2, 2, 1, 1)), torch.ones(2, 2, 1, 1))


def test_dates_are_told_apart_unless_only_their_difference_counts():
    before, after = pair(64, 64)
    for name in NAMES:
        detector = model(name).eval()
        same = torch.allclose(detector.score(before, after), detector.score(after, before), atol=1e-5)
        assert same == (name == "siamese_difference"), name


def test_sine_embedding_by_hand():
    actual = sine_embedding(torch.tensor([0.25]), 4)
    angle = torch.tensor(0.5 * torch.pi)
    expected = torch.stack([angle.sin(), angle.cos(), (angle / 100).sin(), (angle / 100).cos()])[None]
    torch.testing.assert_close(actual, expected)


def test_published_weights_give_a_model_ready_to_use(small):
    loaded = from_reference(small["state_dict"])
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    score = loaded.score(small["a"][:1, :, :50, :70], small["b"][:1, :, :50, :70])
    assert score.shape == (1, 50, 70)
