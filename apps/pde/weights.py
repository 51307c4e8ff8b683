"""Published MORPH checkpoints: inferred sizes and the mapping of parameter names to this model."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transect.apps.pde.models.config import LoraConfig, MorphConfig, Positions
from transect.apps.pde.models.lora import add_lora
from transect.apps.pde.models.morph import Morph
from transect.apps.published import fill, layer_numbers, load_reference, named, unwrapped
from transect.data_adapters.base import BadInput

__all__ = [
    "config_from_reference",
    "from_reference",
    "load_reference",
    "lora_from_reference",
    "published_names",
    "to_reference",
]

MODEL = "MORPH"
LIFT = "patch_embedding.conv_features.input_proj.weight"
TABLE = "pos_encoding.pos_embedding"
AXES = "dhw"
#: Heads of the published sizes, which cannot be inferred from the tensors, by width.
PUBLISHED_HEADS = {256: 4, 512: 8, 768: 12, 1024: 16, 1536: 24}
#: Width, depth and frames of L, which was trained with positions interpolated along time as well.
LARGE = (1024, 16, 16)

# Patterns of our names -> published names; {part} stands for each of the projections that are fused here.
NAMES = (
    (r"embedding\.convolution\.lift\.", "patch_embedding.conv_features.input_proj."),
    (r"embedding\.query", "patch_embedding.field_attn.q"),
    (r"embedding\.fusion\.", "patch_embedding.field_attn.attn."),
    (r"embedding\.", "patch_embedding."),
    (r"positions", TABLE),
    (r"blocks\.(\d+)\.attention\.time\.qkv\.0\.", r"transformer_blocks.\1.axial_attn.attn_t.{part}."),
    (r"blocks\.(\d+)\.attention\.time\.out\.0\.", r"transformer_blocks.\1.axial_attn.attn_t.o."),
    *(
        pair
        for index, axis in enumerate(AXES)
        for pair in (
            (
                rf"blocks\.(\d+)\.attention\.space\.qkv\.{index}\.",
                rf"transformer_blocks.\1.axial_attn.attn_{axis}.{{part}}.",
            ),
            (rf"blocks\.(\d+)\.attention\.space\.out\.{index}\.", rf"transformer_blocks.\1.axial_attn.attn_{axis}.o."),
        )
    ),
    (r"blocks\.", "transformer_blocks."),
    (r"norm\.", "decoder.norm."),
    (r"decoder\.", "decoder.linear."),
)
LOW_RANK = re.compile(r"parametrizations\.weight\.0\.([AB])$")
ADAPTED = re.compile(r"(\.(?:attn_[tdhw]\.[qkvo]|attn_[tdhw]\.\{part\}|mlp\.\d+)\.)(weight|bias)$")


def published_names(name: str) -> tuple[str, ...]:
    """The published tensors that make up the parameter `name` of a `Morph`, with or without LoRA, in order."""
    convolution = re.fullmatch(r"embedding\.convolution\.convolutions\.(\d+)\.weight", name)
    if convolution:
        return (f"patch_embedding.conv_features.conv_stack.{2 * int(convolution[1])}.weight",)
    plain = name.replace("parametrizations.weight.original", "weight")
    for pattern, published in NAMES:
        renamed, count = re.subn(rf"^{pattern}", published, LOW_RANK.sub(r"\1", plain))
        if count:
            renamed = ADAPTED.sub(r"\1base.\2", renamed)
            return tuple(renamed.format(part=part) for part in "qkv") if "{part}" in renamed else (renamed,)
    raise KeyError(name)


def from_reference(
    state_dict: Mapping[str, Any],
    *,
    positions: Positions | None = None,
    heads: int | None = None,
    fusion_heads: int = MorphConfig.fusion_heads,
    source: str | Path = "checkpoint",
) -> Morph:
    """The model of a published checkpoint, in evaluation mode, with low-rank updates where it has them.

    All sizes are inferred from the tensors. Names may carry a prefix ("module.") and the tensors may be nested under
    "model_state_dict" in a training checkpoint.

    Args:
        state_dict: content of the checkpoint.
        positions: interpolation of the position table, see `MorphConfig`; as in training by default. The reference's
            own scripts use "line" when fine-tuning L.
        heads: of the attention; the published number for the width by default.
        fusion_heads: of the attention that fuses the fields.
        source: file name for errors.

    Raises:
        BadInput: a tensor is missing, has another shape than the rest implies, or is unknown.
    """
    tensors = unwrapped(state_dict, LIFT, source=source, model=MODEL)
    config = config_from_reference(tensors, positions=positions, heads=heads, fusion_heads=fusion_heads, source=source)
    lora = lora_from_reference(tensors, source=source)
    with torch.device("meta"):
        model = Morph(config)
        if lora is not None:
            add_lora(model, lora)
    fill(model, tensors, published_names, source=source, join=partial(join, heads=config.heads))
    return model.eval()


def join(name: str, parts: list[Tensor], *, heads: int) -> Tensor:
    """Combine published tensors into the parameter `name`; rows of fused projections are grouped by head."""
    low_rank = LOW_RANK.search(name)
    if low_rank and low_rank[1] == "A":
        return torch.stack(parts)
    if len(parts) == 1:
        return parts[0][None, None] if low_rank else parts[0]
    by_head = torch.stack([part.unflatten(0, (heads, -1)) for part in parts], 1)
    return by_head if low_rank else by_head.flatten(0, 2)


def to_reference(tensors: Mapping[str, Tensor], *, heads: int) -> dict[str, Tensor]:
    """Convert the parameters of a `Morph`, or tensors of their shapes, to the published names and layout."""
    published: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        names = published_names(name)
        published |= zip(names, _split(name, tensor, len(names), heads), strict=True)
    return published


def _split(name: str, tensor: Tensor, parts: int, heads: int) -> list[Tensor]:
    """The inverse of `join`."""
    low_rank = LOW_RANK.search(name)
    if low_rank and low_rank[1] == "A":
        return list(tensor)
    if parts == 1:
        return [tensor[0, 0] if low_rank else tensor]
    by_head = tensor if low_rank else tensor.unflatten(0, (heads, parts, -1))
    return [part.flatten(0, 1) for part in by_head.unbind(1)]


def config_from_reference(
    state_dict: Mapping[str, Any],
    *,
    positions: Positions | None = None,
    heads: int | None = None,
    fusion_heads: int = MorphConfig.fusion_heads,
    source: str | Path = "checkpoint",
) -> MorphConfig:
    """The sizes of a published checkpoint; the arguments are those of `from_reference`.

    Raises:
        BadInput: a tensor that a size is inferred from is missing, the sizes are not valid together, or the number of
            heads is not known.
    """
    tensors = unwrapped(state_dict, LIFT, source=source, model=MODEL)
    _, context, patches, dim = _shape(tensors, TABLE, 4, source)
    components = _shape(tensors, LIFT, 5, source)[1]
    last = max(layer_numbers(tensors, "patch_embedding.conv_features.conv_stack."), default=0)
    filters = _shape(tensors, f"patch_embedding.conv_features.conv_stack.{last}.weight", 5, source)[0]
    features = _shape(tensors, "patch_embedding.projection.weight", 2, source)[1]
    patch = round((features / filters) ** (1 / 3))
    depth = len(layer_numbers(tensors, "transformer_blocks."))
    if heads is None and dim not in PUBLISHED_HEADS:
        raise BadInput(source, "heads", f"a width of {dim}", f"one of {[*PUBLISHED_HEADS]}", "say how many it has")
    if positions is None:
        positions = "line_and_time" if (dim, depth, context) == LARGE else "line"
    try:
        return MorphConfig(
            filters=filters,
            dim=dim,
            heads=PUBLISHED_HEADS[dim] if heads is None else heads,
            depth=depth,
            mlp=_shape(tensors, "transformer_blocks.0.mlp.0.base.weight", 2, source)[0],
            patch=patch,
            fusion_heads=fusion_heads,
            max_fields=_shape(tensors, "decoder.linear.weight", 2, source)[0] // (components * patch**3),
            max_components=components,
            max_patches=patches,
            max_context=context,
            positions=positions,
        )
    except (ValueError, ZeroDivisionError) as error:
        raise BadInput(source, "sizes", error, "those of a MORPH") from error


def lora_from_reference(state_dict: Mapping[str, Any], *, source: str | Path = "checkpoint") -> LoraConfig | None:
    """The ranks of a checkpoint's low-rank updates; None if it has none.

    Raises:
        BadInput: it is not a MORPH checkpoint, or only its attention has updates.
    """
    tensors = unwrapped(state_dict, LIFT, source=source, model=MODEL)
    attention, mlp = (f"transformer_blocks.0.{part}.A" for part in ("axial_attn.attn_t.q", "mlp.0"))
    if not any(name.endswith((".A", ".B")) for name in tensors):
        return None
    ranks = (len(named(tensors, name, source)) for name in (attention, mlp))
    return LoraConfig(1, *ranks)


def _shape(tensors: Mapping[str, Tensor], name: str, rank: int, source: str | Path) -> tuple[int, ...]:
    shape = tuple(named(tensors, name, source).shape)
    if len(shape) != rank:
        raise BadInput(source, name, f"shape {list(shape)}", f"{rank} axes", "is it another model's checkpoint?")
    return shape
