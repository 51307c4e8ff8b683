"""Numerical parity of CDMaskFormer and its modules with recorded outputs of the reference implementation."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from transect.apps.change_detection import losses, weights
from transect.apps.change_detection.models.cdmaskformer import change_score
from transect.apps.change_detection.models.change_extractor import ChangeExtractor
from transect.apps.change_detection.models.config import CDMaskFormerConfig
from transect.apps.change_detection.models.mask_decoder import AxialCrossLayer, MaskPrediction, axial_keys
from transect.apps.parity import Comparison, ModuleT, Runner, compared, filled, largest, output_of, recorded
from transect.core.attention import MultiScaleDeformableAttention, SceneAxialCrossAttention, SqueezeAxialAttention

# Tolerances relative to the largest magnitude of a quantity. In fp32 the whole model differs by about 3e-6 of it from
# float64, and the reference by up to 1e-5, depending on its number of threads; min-max normalization magnifies both.
PART, MODEL, SCORE = 1e-5, 5e-5, 1e-4


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare with a fixture: a whole model (it has a "state_dict") or a set of single modules.

    Raises:
        ValueError: the fixture has another form.
    """
    with torch.no_grad():
        return list(_model(fixture) if "state_dict" in fixture else _modules(fixture))


def _compared(quantity: str, ours: Tensor, reference: Tensor, relative: float) -> Comparison:
    return compared(quantity, ours, reference, relative * largest(reference))


def _model(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    model = weights.from_reference(fixture["state_dict"])
    modules = {f"tff{i}": extractor for i, extractor in enumerate(model.extractors, 1)}
    modules |= {f"backbone_{i}": stage for i, stage in enumerate(model.backbone.stages)}
    modules |= {"mask_features": model.pixel_decoder.mask_features, "encoder_memory": model.pixel_decoder.layers[-1]}
    with recorded(modules) as taps:
        prediction: MaskPrediction = model(fixture["a"], fixture["b"])

    for level, reference in enumerate(fixture.get("backbone_a", [])):
        yield _compared(f"backbone_a[{level}]", taps[f"backbone_{level}"].chunk(2)[0], reference, MODEL)
    for name, reference in fixture.get("taps", {}).items():
        yield _compared(name, taps[name], reference, MODEL)
    masks = prediction.masks[:-1].flatten(3)
    yield _compared("aux_logits", prediction.class_logits[:-1], fixture["aux_logits"], MODEL)
    yield _compared("aux_masks_mean", masks.mean(3), fixture["aux_masks_mean"], MODEL)
    yield _compared("aux_masks_std", masks.std(3), fixture["aux_masks_std"], MODEL)
    yield _compared("pred_logits", prediction.class_logits[-1], fixture["pred_logits"], MODEL)
    yield _compared("pred_masks", prediction.masks[-1], fixture["pred_masks"], MODEL)
    height, width = fixture["prob"].shape[2:]
    score = change_score(prediction.class_logits[-1], prediction.masks[-1], (height, width), "image")
    yield _compared("prob", score[:, None], fixture["prob"], SCORE)


def _modules(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Single modules by name."""
    for name, case in fixture.items():
        if name == "loss":
            yield from _loss(case)
        else:
            yield _compared(name, output_of(name, case, RUNNERS), case["out"], PART)


def _filled(module: ModuleT, case: Mapping[str, Any], ours: str, published: str) -> ModuleT:
    names = partial(weights.published_names, config=CDMaskFormerConfig())
    return filled(module, case["sd"], names, ours=ours, published=published)


def _extractor(case: Mapping[str, Any]) -> Tensor:
    module = ChangeExtractor(case["args"]["in_channel"])
    out: Tensor = _filled(module, case, "extractors.0.", "decoderhead.tff1.")(*case["inputs"])
    return out


def _squeeze_axial(case: Mapping[str, Any]) -> Tensor:
    args = case["args"]
    module = SqueezeAxialAttention(args["dim"], args["key_dim"], args["num_heads"], args["attn_ratio"])
    published = "backbone.trans1.transformer_blocks.0.attn."
    attention = _filled(module, case, "backbone.stages.2.2.attention.", published)
    out: Tensor = attention(case["inputs"].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return out


def _deformable(case: Mapping[str, Any]) -> Tensor:
    args, inputs = case["args"], case["inputs"]
    module = MultiScaleDeformableAttention(args["d_model"], args["n_levels"], args["n_heads"], args["n_points"])
    part = "transformer.encoder.layers.0.self_attn."
    module = _filled(module, case, "pixel_decoder.layers.0.attention.", weights.PIXEL + part)
    shapes = [(int(height), int(width)) for height, width in case["shapes"]]
    out: Tensor = module(inputs["query"], inputs["reference_points"], inputs["input_flatten"], shapes)
    return out


def _scene_axial(case: Mapping[str, Any]) -> Tensor:
    module = SceneAxialCrossAttention(case["args"]["embed_dim"], case["args"]["num_heads"])
    published = weights.PREDICTOR + "transformer_cross_attention_layers.3.multihead_attn."
    module = _filled(module, case, "mask_decoder.cross.3.attention.", published)
    query_x, query_y, key_x, key_y, value = case["inputs"]
    out: Tensor = module(query_x, query_y, key_x.mean(1), key_y.mean(2), value)
    return out.transpose(0, 1)


def _scene_axial_layer(case: Mapping[str, Any]) -> Tensor:
    module = AxialCrossLayer(case["args"]["d_model"], case["args"]["nhead"])
    published = weights.PREDICTOR + "transformer_cross_attention_layers.3."
    module = _filled(module, case, "mask_decoder.cross.3.", published)
    inputs = case["inputs"]
    # The reference takes query positions per image, though they are equal in the model: run one image at a time.
    images = range(inputs["tgt"].shape[1])
    outs = [
        module(
            inputs["tgt"][:, i][None],
            inputs["query_pos"][:, i],
            *axial_keys(inputs["memory"][i : i + 1], inputs["pos"][i : i + 1]),
        )
        for i in images
    ]
    return torch.cat(outs).transpose(0, 1)


def _loss(case: Mapping[str, Any]) -> Iterator[Comparison]:
    outputs = [*case["preds"]["aux_outputs"], case["preds"]]
    prediction = MaskPrediction(
        *(torch.stack([out[name] for out in outputs]) for name in ("pred_logits", "pred_masks"))
    )
    labels = case["target"]
    yield _compared("loss", losses.change_loss(prediction, labels), torch.tensor(case["value"]), PART)
    target = losses.Target(labels.flatten(1).float(), torch.ones_like(labels).flatten(1).float())
    images = target.changed.any(1)
    objects = losses.Target(target.changed[images], target.valid[images])
    last = outputs[-1]
    matched = losses.match(last["pred_logits"][images], last["pred_masks"][images], objects, tuple(labels.shape[1:]))
    expected = torch.cat([queries for queries, _ in case["match"]])
    yield Comparison("loss.match", float((matched != expected).sum()), 0.0)


RUNNERS: dict[str, Runner] = {
    "TFF": _extractor,
    "sea_attention": _squeeze_axial,
    "ms_deform_attn": _deformable,
    "scene_axial_attn": _scene_axial,
    "scene_axial_layer": _scene_axial_layer,
}
