"""Numerical parity of MORPH, its modules and its metrics with recorded outputs of the reference implementation."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from transect.apps.parity import Comparison, ModuleT, Runner, compared, filled, largest, output_of, recorded
from transect.apps.pde import metrics, weights
from transect.apps.pde.measures import frame_measures
from transect.apps.pde.models.config import MorphConfig
from transect.apps.pde.models.lora import SCALE, LowRank
from transect.apps.pde.models.morph import EncoderBlock, Morph, interpolated
from transect.apps.pde.models.morph_embedding import ComponentConvolution, patch_shape, split_patches
from transect.core.attention import FewQueryAttention, SpaceTimeAxialAttention

#: Absolute, and relative to the largest magnitude of a quantity where that is below one.
TOLERANCE = 5e-6
#: Gradients whose norm is smaller than this part of the largest one are dominated by cancellation.
CANCELLED = 1e-4
BLOCK = "transformer_blocks.0."
#: Of the modules in the fixture, which does not record them.
HEADS, FUSION_HEADS = 4, 8


def compare(fixture: Mapping[str, Any]) -> list[Comparison]:
    """Compare with a fixture: a whole model (it has a "state_dict"), predictions to be measured, or single modules.

    Raises:
        ValueError: the fixture has another form.
    """
    if "state_dict" in fixture:
        return list(_model(fixture))
    with torch.no_grad():
        if "pred" in fixture:
            return list(_metrics(fixture))
        return [_compared(name, output_of(name, case, RUNNERS), case["output"]) for name, case in fixture.items()]


def _compared(quantity: str, ours: Tensor, reference: Tensor) -> Comparison:
    return compared(quantity, ours, reference, TOLERANCE * min(1.0, largest(reference)))


def _model(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    """Outputs, and the gradients of the mean of the output's squares."""
    settings = fixture["kwargs"]
    model = weights.from_reference(
        fixture["state_dict"],
        heads=settings["cfg"][2],
        fusion_heads=settings["heads_xa"],
        positions="line_and_time" if str(settings.get("model_size", "")).upper() == "L" else None,
        source="fixture",
    )
    x = fixture["input"].clone().requires_grad_()
    with recorded({"enc": model.embedding, "z": model.blocks[-1]}) as taps:
        output = model(x)
    for name, tokens in taps.items():
        yield _compared(name, tokens.detach().flatten(2, 4), fixture[name])
    yield _compared("output", output.detach(), fixture["output"])
    if "input_grad" in fixture:
        output.square().mean().backward()
        assert x.grad is not None
        yield _compared("input_grad", x.grad, fixture["input_grad"])
        yield from _gradients(model, fixture)


def _gradients(model: Morph, fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    gradients = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }
    published = weights.to_reference(gradients, heads=model.config.heads)
    norms = {name: float(gradient.norm()) for name, gradient in published.items()}
    reference: Mapping[str, float] = fixture["param_grad_norms"]
    without = fixture["params_without_grad"]
    unknown = norms.keys() ^ {*reference, *without}
    if unknown:
        raise ValueError(f"param_grad_norms: found other parameters than the model's: {min(unknown)}")
    least = CANCELLED * max(reference.values())
    errors = [abs(norms[name] - norm) / (norm + least) for name, norm in reference.items()]
    yield Comparison("param_grad_norms", max(error if error == error else float("inf") for error in errors), TOLERANCE)
    yield Comparison("params_without_grad", float(sum(norms[name] != 0 for name in without)), 0.0)


def _metrics(fixture: Mapping[str, Any]) -> Iterator[Comparison]:
    trajectories = [
        frame_measures(predicted.flatten(1, 2).numpy(), true.flatten(1, 2).numpy(), true[0].flatten(0, 1).numpy(), ())
        for predicted, true in zip(fixture["pred"], fixture["truth"], strict=True)
    ]
    for name, score in (("nrmse", metrics.morph_nrmse), ("vrmse", metrics.morph_vrmse)):
        yield _compared(name, torch.tensor([score([measures]) for measures in trajectories]), fixture[name])


def _filled(module: ModuleT, case: Mapping[str, Any], ours: str, published: str) -> ModuleT:
    tensors = {name: tensor for name, tensor in case["state_dict"].items() if name != "q"}
    join = partial(weights.join, heads=HEADS)
    return filled(module, tensors, weights.published_names, ours=ours, published=published, join=join)


def _component_convolution(case: Mapping[str, Any]) -> Tensor:
    lift = case["state_dict"]["input_proj.weight"]
    (x,) = case["args"]
    module = ComponentConvolution(lift.shape[1], case["output"].shape[1])
    module = _filled(module, case, "embedding.convolution.", "patch_embedding.conv_features.")
    out: Tensor = module(x[:, None])[:, 0]
    return out


def _field_attention(case: Mapping[str, Any]) -> Tensor:
    (tokens,) = case["args"]
    module = FewQueryAttention(tokens.shape[-1], FUSION_HEADS)
    module = _filled(module, case, "embedding.fusion.", "patch_embedding.field_attn.")
    out: Tensor = module(case["state_dict"]["q"], tokens, tokens)[:, 0]
    return out


def _axial(case: Mapping[str, Any]) -> Tensor:
    tokens, grid = case["args"]
    module = SpaceTimeAxialAttention(tokens.shape[-1], HEADS)
    module = _filled(module, case, "blocks.0.attention.", BLOCK + "axial_attn.")
    out: Tensor = module(tokens.unflatten(2, tuple(grid))).flatten(2, 4)
    return out


def _block(case: Mapping[str, Any]) -> Tensor:
    tokens, grid = case["args"]
    mlp = len(case["state_dict"]["mlp.0.base.weight"])
    module = EncoderBlock(MorphConfig(dim=tokens.shape[-1], heads=HEADS, mlp=mlp, fusion_heads=1))
    module = _filled(module, case, "blocks.0.", BLOCK)
    out: Tensor = module(tokens.unflatten(2, tuple(grid))).flatten(2, 4)
    return out


def _low_rank(case: Mapping[str, Any]) -> Tensor:
    if case["scaling"] != SCALE:
        raise ValueError(f"scaling: found {case['scaling']}, expected {SCALE}")
    state = case["state_dict"]
    update = LowRank(state["base.weight"], len(state["A"]))
    update.load_state_dict({"A": state["A"][None], "B": state["B"][None, None]})
    (x,) = case["args"]
    return nn.functional.linear(x, update(state["base.weight"]), state["base.bias"])


def _positions(case: Mapping[str, Any], along_time: bool) -> Tensor:
    (x,) = case["args"]
    rows = interpolated(case["state_dict"]["pos_embedding"], (x.shape[1], 1, 1, x.shape[2]), along_time)
    return rows.flatten(2, 4).expand(x.shape)


def _patches(case: Mapping[str, Any]) -> Tensor:
    x, patch = case["args"]
    return split_patches(x[:, None, None], patch_shape(x.shape[2:], max(patch))).flatten(1, 5)


RUNNERS: dict[str, Runner] = {
    "component_conv": _component_convolution,
    "field_cross_attention": _field_attention,
    "axial": _axial,
    "encoder_block": _block,
    "lora_linear": _low_rank,
    "pos_slin": partial(_positions, along_time=False),
    "pos_stbilinear": partial(_positions, along_time=True),
    "patchify": _patches,
}
