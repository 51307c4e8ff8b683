"""Published CDMaskFormer checkpoints: inferred sizes and the mapping of parameter names to this model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transect.apps.change_detection.models.cdmaskformer import CDMaskFormer
from transect.apps.change_detection.models.config import CDMaskFormerConfig, StageConfig
from transect.apps.published import fill, layer_numbers, load_reference, named, unwrapped
from transect.data_adapters.base import BadInput

__all__ = ["config_from_reference", "from_reference", "load_reference", "published_names"]

MODEL = "CDMaskFormer"
STAGES = 5  # of the published backbone; the last one and its classifier are not used
ANCHOR = "backbone.smb1.stem_block.0.c.weight"  # its prefix is the prefix of all names
PIXEL, PREDICTOR = "decoderhead.sem_seg_head.pixel_decoder.", "decoderhead.sem_seg_head.predictor."

# Our name -> published names, longest first where one is a prefix of another. Several published tensors may be fused.
BLOCK_NAMES = {
    "attention.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "attention.row.encode": ("attn.proj_encode_row.1",),
    "attention.row.query_position": ("attn.pos_emb_rowq.pos_embed",),
    "attention.row.key_position": ("attn.pos_emb_rowk.pos_embed",),
    "attention.column.encode": ("attn.proj_encode_column.1",),
    "attention.column.query_position": ("attn.pos_emb_columnq.pos_embed",),
    "attention.column.key_position": ("attn.pos_emb_columnk.pos_embed",),
    "attention.project": ("attn.proj.1",),
    "attention.detail_depthwise": ("attn.dwconv",),
    "attention.detail_pointwise": ("attn.pwconv",),
    "widen": ("mlp.fc1",),
    "depthwise": ("mlp.dwconv",),
    "narrow": ("mlp.fc2",),
}
EXTRACTOR_NAMES = {
    "channel_gate.squeeze": tuple(f"senetv2.fc{branch}.0" for branch in (1, 2, 3, 4)),
    "channel_gate.excite": ("senetv2.fc.0",),
    "before_gate": ("convA",),
    "before": ("catconvA",),
    "after_gate": ("convB",),
    "after": ("catconvB",),
    "fuse": ("catconv",),
}
DECODER_NAMES = (
    (r"pixel_decoder\.project\.", PIXEL + "input_proj."),
    (r"pixel_decoder\.position\.", PIXEL + "pos_linear."),
    (r"pixel_decoder\.level_embedding", PIXEL + "transformer.level_embed"),
    (r"pixel_decoder\.layers\.(\d+)\.attention\.", PIXEL + r"transformer.encoder.layers.\1.self_attn."),
    (r"pixel_decoder\.layers\.", PIXEL + "transformer.encoder.layers."),
    (r"pixel_decoder\.lateral\.", PIXEL + "adapter_1."),
    (r"pixel_decoder\.smooth\.", PIXEL + "layer_1."),
    (r"pixel_decoder\.", PIXEL),
    (r"mask_decoder\.query_feature", PREDICTOR + "query_feat.weight"),
    (r"mask_decoder\.query_position", PREDICTOR + "query_embed.weight"),
    (r"mask_decoder\.query_place", PREDICTOR + "query_pos_embed.weight"),
    (r"mask_decoder\.level_embedding", PREDICTOR + "level_embed.weight"),
    (
        r"mask_decoder\.cross\.(\d+)\.attention\.scene\.",
        PREDICTOR + r"transformer_cross_attention_layers.\1.multihead_attn.lin.",
    ),
    (r"mask_decoder\.cross\.(\d+)\.attention\.", PREDICTOR + r"transformer_cross_attention_layers.\1.multihead_attn."),
    (r"mask_decoder\.cross\.(\d+)\.place\.", PREDICTOR + r"transformer_cross_attention_layers.\1.adapt_pos1d."),
    (r"mask_decoder\.cross\.", PREDICTOR + "transformer_cross_attention_layers."),
    (r"mask_decoder\.mix\.(\d+)\.attention\.", PREDICTOR + r"transformer_self_attention_layers.\1.self_attn."),
    (r"mask_decoder\.mix\.(\d+)\.norm1\.", PREDICTOR + r"transformer_self_attention_layers.\1.norm."),
    (r"mask_decoder\.mix\.(\d+)\.norm2\.", PREDICTOR + r"transformer_ffn_layers.\1.norm."),
    (r"mask_decoder\.mix\.", PREDICTOR + "transformer_ffn_layers."),
    (r"mask_decoder\.norm\.", PREDICTOR + "decoder_norm."),
    (r"mask_decoder\.classify\.", PREDICTOR + "class_embed."),
    (r"mask_decoder\.mask_embedding\.0\.", PREDICTOR + "mask_embed.layers.0."),
    (r"mask_decoder\.mask_embedding\.2\.", PREDICTOR + "mask_embed.layers.1."),
    (r"mask_decoder\.mask_embedding\.4\.", PREDICTOR + "mask_embed.layers.2."),
)


def published_names(name: str, config: CDMaskFormerConfig) -> tuple[str, ...]:
    """The published tensors that make up the parameter or buffer `name` of `CDMaskFormer(config)`, in order."""
    part, _, rest = name.partition(".")
    if part == "backbone":
        return tuple(_conv_bn(published) for published in _backbone_names(rest, config))
    if part == "extractors":
        level, _, rest = rest.partition(".")
        return tuple(f"decoderhead.tff{int(level) + 1}.{published}" for published in _renamed(rest, EXTRACTOR_NAMES))
    for pattern, published in DECODER_NAMES:
        renamed, count = re.subn(rf"^{pattern}", published, name)
        if count:
            return (renamed,)
    raise KeyError(name)


def _backbone_names(name: str, config: CDMaskFormerConfig) -> tuple[str, ...]:
    if name.startswith("stem."):
        return (name.replace("stem.", "backbone.smb1.stem_block.0.", 1),)
    _, stage_text, block_text, rest = name.split(".", 3)
    stage, block = int(stage_text), int(block_text)
    settings = config.stages[stage]
    if block < len(settings.channels):
        part, _, rest = rest.partition(".")
        parts = ("widen", "depthwise", "narrow") if settings.expansions[block] != 1 else ("depthwise", "narrow")
        return (f"backbone.smb{stage + 1}.layer{block + 1}.conv.{2 * parts.index(part)}.{rest}",)
    first = next(i for i, other in enumerate(config.stages) if other.depth)
    group = f"backbone.trans{stage - first + 1}.transformer_blocks.{block - len(settings.channels)}."
    return tuple(group + published for published in _renamed(rest, BLOCK_NAMES))


def _renamed(name: str, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    for ours, published in names.items():
        if name == ours or name.startswith(f"{ours}."):
            return tuple(other + name[len(ours) :] for other in published)
    raise KeyError(name)


def _conv_bn(name: str) -> str:
    return name.replace(".conv.weight", ".c.weight").replace(".norm.", ".bn.")


def from_reference(state_dict: Mapping[str, Any], *, source: str | Path = "checkpoint") -> CDMaskFormer:
    """The model of a published checkpoint, in evaluation mode.

    All sizes are inferred from the tensors. Names may carry a prefix ("net.", "model.") and the tensors may be nested
    under "state_dict", as training frameworks save them; names with another prefix are ignored.

    Args:
        state_dict: content of the checkpoint.
        source: file name for errors.

    Raises:
        BadInput: a tensor is missing, has another shape than the rest implies, or is unknown.
    """
    tensors = unwrapped(state_dict, ANCHOR, source=source, model=MODEL)
    config = config_from_reference(tensors, source=source)
    with torch.device("meta"):
        model = CDMaskFormer(config, channels=tensors[ANCHOR].shape[1])
    live = {name: tensor for name, tensor in tensors.items() if not _dead(name, tensors)}
    fill(model, live, lambda name: published_names(name, config), source=source)
    return model.eval()


def config_from_reference(state_dict: Mapping[str, Any], *, source: str | Path = "checkpoint") -> CDMaskFormerConfig:
    """The sizes of a published checkpoint.

    The number of heads cannot be inferred from the tensors. The decoders are assumed to have the paper's 8; the
    backbone one per 16 channels of its first attention, between 4 and 8, as SeaFormer's variants have.

    Raises:
        BadInput: a tensor that a size is inferred from is missing, or the sizes are not valid together.
    """
    tensors = unwrapped(state_dict, ANCHOR, source=source, model=MODEL)
    width = named(tensors, ANCHOR, source).shape[0]
    stages = []
    for stage in range(STAGES - 1):
        stages.append(_stage(tensors, stage, width, source))
        width = stages[-1].channels[-1]
    encoder, predictor = PIXEL + "transformer.encoder.layers.", PREDICTOR + "transformer_cross_attention_layers."
    hidden, dim = named(tensors, encoder + "0.linear1.weight", source).shape
    levels = len(named(tensors, PIXEL + "transformer.level_embed", source))
    samples = len(named(tensors, encoder + "0.self_attn.attention_weights.bias", source))
    try:
        return CDMaskFormerConfig(
            stem=tensors[ANCHOR].shape[0],
            stages=tuple(stages),
            dim=dim,
            points=samples // (levels * CDMaskFormerConfig.heads),
            encoder_layers=_count(tensors, encoder),
            decoder_layers=_count(tensors, predictor),
            feedforward=hidden,
            queries=len(named(tensors, PREDICTOR + "query_feat.weight", source)),
        )
    except ValueError as error:
        raise BadInput(source, "sizes", error, "those of a CDMaskFormer") from error


def _stage(tensors: Mapping[str, Tensor], stage: int, width: int, source: str | Path) -> StageConfig:
    """One stage of the backbone, whose input has `width` channels."""
    prefix = f"backbone.smb{stage + 1}.layer"
    channels, expansions, kernel = [], [], 3
    for block in range(1, _count(tensors, prefix, first=1) + 1):
        widened = f"{prefix}{block}.conv.4.c.weight" in tensors
        depthwise = named(tensors, f"{prefix}{block}.conv.{2 if widened else 0}.c.weight", source)
        narrow = named(tensors, f"{prefix}{block}.conv.{4 if widened else 2}.c.weight", source)
        kernel = depthwise.shape[-1]
        expansions.append(len(depthwise) / width)
        width = len(narrow)
        channels.append(width)
    attention: dict[str, Any] = {}
    groups = _count(tensors, "backbone.trans", first=1)
    group = stage + 1 - (STAGES - groups)  # the groups follow the last stages
    if group >= 1:
        blocks = f"backbone.trans{group}.transformer_blocks."
        keys = len(named(tensors, f"{blocks}0.attn.to_q.c.weight", source))
        first_keys = len(named(tensors, "backbone.trans1.transformer_blocks.0.attn.to_q.c.weight", source))
        heads = min(max(first_keys // 16, 4), 8)
        attention = {
            "depth": _count(tensors, blocks),
            "heads": heads,
            "key_dim": keys // heads,
            "value_ratio": len(named(tensors, f"{blocks}0.attn.to_v.c.weight", source)) // keys,
            "mlp_ratio": len(named(tensors, f"{blocks}0.mlp.fc1.c.weight", source)) / width,
        }
    try:
        return StageConfig(tuple(channels), tuple(expansions), kernel, **attention)
    except ValueError as error:
        raise BadInput(source, prefix.removesuffix("layer"), error, "a stage of SeaFormer") from error


def _count(tensors: Mapping[str, Tensor], prefix: str, first: int = 0) -> int:
    """The number of consecutive layer indices from `first` that follow `prefix` in the names."""
    numbers = layer_numbers(tensors, prefix)
    count = 0
    while first + count in numbers:
        count += 1
    return count


def _dead(name: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a published tensor belongs to a module that change detection never uses."""
    last_group = _count(tensors, "backbone.trans", first=1)
    return name.startswith((f"backbone.smb{STAGES}.", f"backbone.trans{last_group}.", "backbone.linear."))
