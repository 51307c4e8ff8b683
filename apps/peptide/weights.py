"""Published RankNovo checkpoints: inferred sizes and the mapping of parameter names to this model."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transect.apps.peptide.models.config import RerankerConfig
from transect.apps.peptide.models.reranker import Reranker
from transect.apps.published import fill, layer_numbers, load_reference, named, unwrapped
from transect.data_adapters.base import BadInput

__all__ = ["config_from_reference", "from_reference", "join", "load_reference", "published_names"]

MODEL = "RankNovo"
ANCHOR = "encoder.peak_encoder.int_encoder.weight"
#: Heads of the published model, which cannot be inferred from the tensors.
PUBLISHED_HEADS = 8
EMBEDDING = "msa_decoder.embed_tokens."

# Patterns of our names -> published names; several published projections may be fused here.
NAMES = (
    (r"encoder\.pseudo_intensity", ("encoder.zeroPeaks_intensity", "encoder.allPeaks_intensity")),
    (r"encoder\.intensity\.", ("encoder.peak_encoder.int_encoder.",)),
    (r"encoder\.layers\.(\d+)\.attention\.qkv\.0\.", (r"encoder.transformer_encoder.layers.\1.self_attn.in_proj_",)),
    (r"encoder\.layers\.(\d+)\.attention\.out\.0\.", (r"encoder.transformer_encoder.layers.\1.self_attn.out_proj.",)),
    (r"encoder\.layers\.", ("encoder.transformer_encoder.layers.",)),
    (r"embedding\.token\.", (EMBEDDING + "aa_encoder.",)),
    (r"embedding\.charge\.", (EMBEDDING + "charge_encoder.",)),
    (r"embedding\.position\.", ("msa_decoder.embed_positions.",)),
    (r"embedding\.norm\.", ("msa_decoder.emb_layer_norm_before.",)),
    *(
        pair
        for block in ("row", "column")
        for pair in (
            (
                rf"layers\.(\d+)\.{block}\.qkv\.(?:0\.)?",
                tuple(rf"msa_decoder.layers.\1.{block}_self_attention.layer.{part}_proj." for part in "qkv"),
            ),
            (
                rf"layers\.(\d+)\.{block}\.out\.(?:0\.)?",
                (rf"msa_decoder.layers.\1.{block}_self_attention.layer.out_proj.",),
            ),
            (rf"layers\.(\d+)\.{block}_norm\.", (rf"msa_decoder.layers.\1.{block}_self_attention.layer_norm.",)),
        )
    ),
    (r"layers\.(\d+)\.cross\.out\.", (r"msa_decoder.layers.\1.cross_attention.layer.out_proj.",)),
    (r"layers\.(\d+)\.cross\.(?:query|key_value)\.", (r"msa_decoder.layers.\1.cross_attention.layer.in_proj_",)),
    (r"layers\.(\d+)\.cross_norm\.", (r"msa_decoder.layers.\1.cross_attention.layer_norm.",)),
    (r"layers\.(\d+)\.mlp_norm\.", (r"msa_decoder.layers.\1.feed_forward_layer.layer_norm.",)),
    (r"layers\.(\d+)\.(fc[12])\.", (r"msa_decoder.layers.\1.feed_forward_layer.layer.\2.",)),
    (r"norm\.", ("msa_decoder.emb_layer_norm_after.",)),
    (r"peptide_deviation\.", ("global_final.",)),
    (r"residue_deviation\.", ("local_final.",)),
)
ENCODINGS = {
    "encoder.mass.wavelengths": "encoder.peak_encoder",
    "embedding.precursor_mass.wavelengths": EMBEDDING + "mass_encoder",
}


def published_names(name: str) -> tuple[str, ...]:
    """The published tensors that make up the tensor `name` of a `Reranker`, in order."""
    if name == "embedding.mass.wavelengths":
        return tuple(
            f"{EMBEDDING}{part}MassEncoder.{term}" for part in ("prefix", "suffix") for term in ("sin_term", "cos_term")
        )
    if name in ENCODINGS:
        return tuple(f"{ENCODINGS[name]}.{term}" for term in ("sin_term", "cos_term"))
    for pattern, published in NAMES:
        match = re.match(pattern, name)
        if match:
            return tuple(match.expand(other) + name[match.end() :] for other in published)
    raise KeyError(name)


def from_reference(state_dict: Mapping[str, Any], *, heads: int | None = None, source: str | Path = MODEL) -> Reranker:
    """The model of a published checkpoint.

    Args:
        state_dict: content of the checkpoint, possibly nested in a training checkpoint.
        heads: of every attention; those of the published model by default.
        source: file name for errors.

    Raises:
        BadInput: a tensor is missing, has another shape, or is not of this model.
    """
    tensors = unwrapped(state_dict, ANCHOR, source=source, model=MODEL)
    config = config_from_reference(tensors, heads=heads, source=source)
    with torch.device("meta"):
        model = Reranker(config)

    fill(model, tensors, published_names, source=source, join=partial(join, heads=config.heads))
    return model


def config_from_reference(
    tensors: Mapping[str, Tensor], *, heads: int | None = None, source: str | Path = MODEL
) -> RerankerConfig:
    """The sizes of a checkpoint, with the reference's scaling of attention and handling of gaps.

    Raises:
        BadInput: they contradict each other, or are not of this model.
    """
    try:
        return RerankerConfig(
            dim=len(named(tensors, ANCHOR, source)),
            heads=PUBLISHED_HEADS if heads is None else heads,
            feedforward=len(named(tensors, "encoder.transformer_encoder.layers.0.linear1.weight", source)),
            encoder_layers=len(layer_numbers(tensors, "encoder.transformer_encoder.layers.")),
            layers=len(layer_numbers(tensors, "msa_decoder.layers.")),
            max_length=len(named(tensors, "msa_decoder.embed_positions.weight", source)) - 2,
            max_charge=len(named(tensors, EMBEDDING + "charge_encoder.weight", source)),
            column_attention=any("column_self_attention" in name for name in tensors),
            row_scale="padded",
            mask_gaps=False,
            evidence=False,
        )
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(source, "sizes", error, f"those of a {MODEL} checkpoint") from error


def join(name: str, parts: list[Tensor], heads: int) -> Tensor:
    """Combine published tensors into the tensor `name` of a `Reranker`; fused projections are grouped by head."""
    if name.endswith("wavelengths"):
        if any(not torch.equal(parts[0], part) for part in parts):
            raise BadInput(MODEL, name, "sines and cosines of different wavelengths", "the same ones in both")
        return parts[0]
    if ".cross.query." in name:
        return parts[0].chunk(3)[0]
    if ".cross.key_value." in name:
        return _heads_first(parts[0].chunk(3)[1:], heads)
    if ".attention.qkv." in name:
        return _heads_first(parts[0].chunk(3), heads)
    if ".qkv." in name:
        return _heads_first(parts, heads)
    return torch.cat([part.flatten() for part in parts]) if name == "encoder.pseudo_intensity" else parts[0]


def _heads_first(parts: Any, heads: int) -> Tensor:
    return torch.stack([part.unflatten(0, (heads, -1)) for part in parts], 1).flatten(0, 2)
