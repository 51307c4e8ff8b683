"""Published SinBEVT checkpoints: inferred sizes and the mapping of parameter names to this model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transect.apps.bev.config import Config
from transect.apps.bev.models.config import ModelConfig, SinBEVTConfig
from transect.apps.bev.models.sinbevt import SinBEVT
from transect.apps.published import fill, layer_numbers, load_reference, named, unwrapped
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig
from transect.data_adapters.bev.grid import Grid

__all__ = ["config_from_reference", "from_reference", "load_reference", "published_names"]

MODEL = "SinBEVT"
ANCHOR = "encoder.bev_embedding.learned_features"
HEAD_DIM = 32
"""Channels of each attention head of the reference, which tensors do not show."""
CLASSES: dict[int, tuple[str, ...]] = {1: ("road",), 2: ("vehicle",)}
"""What a checkpoint shows, by its number of channels of logits."""
CONSTANTS = {"mean", "std", "image_plane", "grid", "grid0", "grid1", "grid2"}
"""Buffers of the reference that are computed from settings."""
IN_BLOCK = {
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "gate.reduce": "_se_reduce",
    "gate.expand": "_se_expand",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
}
FEATURES = {"key": "proj", "value": "linear"}
IN_ATTENTION = {
    "ray": "img_embed",
    "camera": "cam_embed",
    "place": "bev_embed",
    "near_mlp.norm": "prenorm_1",
    "near_mlp.widen": "mlp_1.0",
    "near_mlp.narrow": "mlp_1.2",
    "far_mlp.norm": "prenorm_2",
    "far_mlp.widen": "mlp_2.0",
    "far_mlp.narrow": "mlp_2.2",
    "norm": "postnorm",
} | {
    f"{ours}.{part}": f"cross_win_attend_{number}.{published}"
    for number, ours in ((1, "near"), (2, "far"))
    for part, published in (
        ("query_norm", "to_q.0"),
        ("attention.query", "to_q.1"),
        ("key_norm", "to_k.0"),
        ("attention.key", "to_k.1"),
        ("value_norm", "to_v.0"),
        ("attention.value", "to_v.1"),
        ("attention.out", "proj"),
    )
}
IN_BOTTLENECK = {
    f"{ours}.{part}": f"{published}{number}"
    for number, ours in enumerate(("narrow", "mix", "widen"), 1)
    for part, published in (("conv", "conv"), ("norm", "bn"))
}
IN_DOWN = {"reduce": "0", "mix.conv": "2", "mix.norm": "3", "project.conv": "5", "project.norm": "6"}
IN_UP = {"mix.conv": "conv.1", "mix.norm": "conv.2", "widen.conv": "conv.4", "widen.norm": "conv.5", "skip": "up"}
GROUPS = (
    (r"backbone\.stem\.", "encoder.backbone.layers.0.", {"conv.conv": "0", "conv.norm": "1"}),
    (r"attention\.(\d+)\.", r"encoder.cross_views.\1.", IN_ATTENTION),
    (r"refine\.(\d+\.\d+)\.", r"encoder.layers.\1.", IN_BOTTLENECK),
    (r"down\.(\d+)\.", r"encoder.downsample_layers.\1.0.", IN_DOWN),
    (r"decoder\.blocks\.(\d+)\.", r"decoder.layers.\1.", IN_UP),
    (r"decoder\.", "to_logits.", {"mix.conv": "0", "mix.norm": "1", "classify": "3"}),
)
"""Prefixes of our names, of the published ones, and the names of the parts that follow."""
EMBEDDINGS = r"attention\.\d+\.(ray|camera|place)\.weight"
"""Linear layers that are 1x1 convolutions in the reference."""


def published_names(name: str) -> tuple[str]:
    """The published name of a tensor of `SinBEVT`, in a tuple as `published.fill` takes it."""
    if name == "prior":
        return (ANCHOR,)
    if block := re.fullmatch(r"backbone\.stages\.(\d+)\.(\d+)\.(.+)\.(\w+)", name):
        return (f"encoder.backbone.layers.{int(block[1]) + 1}.{block[2]}.{IN_BLOCK[block[3]]}.{block[4]}",)
    if layer := re.fullmatch(r"attention\.(\d+)\.(key|value)_features\.(.+)", name):
        return (f"encoder.cross_views.{layer[1]}.feature_{FEATURES[layer[2]]}.{layer[3]}",)
    for pattern, published, parts in GROUPS:
        if found := re.match(pattern, name):
            part, _, tensor = name[found.end() :].rpartition(".")
            return (f"{found.expand(published)}{parts[part]}.{tensor}",)
    raise KeyError(name)


def join(name: str, parts: list[Tensor]) -> Tensor:
    """The published part of a tensor, as `published.fill` takes it."""
    (part,) = parts
    return part.flatten(1) if re.fullmatch(EMBEDDINGS, name) else part


def config_from_reference(tensors: Mapping[str, Tensor], *, source: str | Path) -> Config:
    """The settings of a checkpoint, from its names and shapes.

    Tensors do not show the size of the images, the resolution of the map, windows and heads: those are the published
    ones, 224 x 480 pixels, 0.5 m and heads of 32 channels. One channel of logits is a map of the road; two are vehicles
    and their centres.

    Args:
        tensors: By their published names without a prefix.
        source: File name for errors.

    Raises:
        BadInput: a tensor that a size is inferred from is missing, or the sizes are not valid together.
    """
    levels = range(len(layer_numbers(tensors, "encoder.cross_views.")))
    blocks = range(len(layer_numbers(tensors, "decoder.layers.")))
    dims = tuple(named(tensors, f"encoder.cross_views.{k}.postnorm.weight", source).numel() for k in levels)
    prior, logits = named(tensors, ANCHOR, source), named(tensors, "to_logits.3.bias", source).numel()
    if prior.ndim != 3 or logits not in CLASSES:
        found = f"a map of shape {list(prior.shape)}, {logits} channels of logits"
        raise BadInput(source, "sizes", found, "(channels, H, W), and 1 (road) or 2 (vehicles and their centres)")
    try:
        sizes = SinBEVTConfig(
            dims=dims,
            heads=tuple(dim // HEAD_DIM for dim in dims),
            query_windows=SinBEVTConfig().query_windows[-len(dims) :],
            bottlenecks=tuple(len(layer_numbers(tensors, f"encoder.layers.{k}.")) for k in levels),
            bev_embedding=tuple(f"encoder.cross_views.{k}.bev_embed.weight" in tensors for k in levels),
            decoder=tuple(named(tensors, f"decoder.layers.{k}.up.bias", source).numel() for k in blocks),
        )
        factor = 2.0 ** (len(sizes.decoder) - len(dims) + 1)
        grid = Grid(height=int(prior.shape[1] * factor), width=int(prior.shape[2] * factor))
        return Config(model=ModelConfig(sinbevt=sizes), read=ReadConfig(grid=grid), classes=CLASSES[logits])
    except ValueError as error:
        raise BadInput(source, "sizes", error, f"those of a {MODEL}") from error


def from_reference(content: Mapping[str, Any], *, source: str | Path) -> tuple[Config, SinBEVT]:
    """The settings and the model of a published checkpoint, in evaluation mode.

    Args:
        content: Of the checkpoint. The tensors may be nested under "state_dict", and their names may have a prefix such
            as "backbone."; names with another prefix are ignored.
        source: File name for errors.

    Raises:
        BadInput: a tensor is missing, left over or has another shape.
    """
    tensors = unwrapped(content, ANCHOR, source=source, model=MODEL)
    tensors = {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[2] not in CONSTANTS}
    config = config_from_reference(tensors, source=source)
    with torch.device("meta"):
        model = SinBEVT(config.model, config.read, len(config.outputs))
    fill(model, tensors, published_names, source=source, join=join)
    return config, model.eval()
