"""Published SRMA-Mamba checkpoints: inferred sizes and the mapping of parameter names to this model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transect.apps.liver_mri.models.config import SRMAMambaConfig
from transect.apps.liver_mri.models.srma_mamba import STAGES, SRMAMamba
from transect.apps.published import fill, layer_numbers, load_reference, named, unwrapped
from transect.data_adapters.base import BadInput

__all__ = ["config_from_reference", "from_reference", "load_reference", "published_names"]

MODEL = "SRMA-Mamba"
ANCHOR = "encoder.patch_embed.0.weight"
SCANS = {
    "conv_weight": "conv2d.weight",
    "dt_proj_weight": "dt_projs_weight",
    "dt_proj_bias": "dt_projs_bias",
    "A_log": "A_logs",
    "D": "Ds",
}
"""Names of a scan's parameters that differ, ours to published."""
PLANES = ("sh", "sw", "sd")
NAMES = (
    (r"stem\.conv1\.", "encoder.patch_embed.0."),
    (r"stem\.norm1\.", "encoder.patch_embed.2."),
    (r"stem\.conv2\.", "encoder.patch_embed.5."),
    (r"stem\.norm2\.", "encoder.patch_embed.7."),
    (r"stages\.(\d)\.convolution\.local1\.", r"encoder.layers.\1.blocks.0.proj."),
    (r"stages\.(\d)\.convolution\.local2\.", r"encoder.layers.\1.blocks.0.proj2."),
    (r"stages\.(\d)\.convolution\.pointwise\.", r"encoder.layers.\1.blocks.0.proj3."),
    (r"stages\.(\d)\.convolution\.mix\.", r"encoder.layers.\1.blocks.0.proj4."),
    (r"downsamples\.(\d)\.conv\.", r"encoder.layers.\1.downsample.1."),
    (r"downsamples\.(\d)\.norm\.", r"encoder.layers.\1.downsample.3."),
    (r"norms\.(\d)\.", r"encoder.outnorm\1."),
    (r"coarse\.", "out_conv1.conv.conv."),
)
IN_BLOCK = (
    (r"norm1\.", "norm."),
    (r"norm2\.", "norm2."),
    (r"mlp\.0\.", "mlp.fc1."),
    (r"mlp\.2\.", "mlp.fc2."),
)


def published_names(name: str) -> tuple[str]:
    """The published name of a tensor of `SRMAMamba`, in a tuple as `published.fill` takes it."""
    if block := re.fullmatch(r"stages\.(\d)\.blocks\.(\d+)\.(.+)", name):
        return (f"encoder.layers.{block[1]}.blocks.{int(block[2]) + 1}.{_in_block(block[3])}",)
    if block := re.fullmatch(r"refinements\.(\d)\.block(\d)\.(.+)", name):
        return (f"attention{int(block[1]) + 1}.st_block{block[2]}.1.{_in_block(block[3])}",)
    if conv := re.fullmatch(r"refinements\.(\d)\.conv(\d)\.(.+)", name):
        return (f"attention{int(conv[1]) + 1}.ra_conv{conv[2]}.conv.conv.{conv[3]}",)
    if lateral := re.fullmatch(r"laterals\.(\d)\.(\d)\.(.+)", name):
        return (f"translayer{int(lateral[1]) + 1}_st.{('conv', 'bn')[int(lateral[2])]}.{lateral[3]}",)
    return (_renamed(name, NAMES),)


def _in_block(name: str) -> str:
    if scan := re.fullmatch(r"scan\.scans\.(\d)\.(.+)", name):
        return f"op.{PLANES[int(scan[1])]}.{SCANS.get(scan[2], scan[2])}"
    return _renamed(name, IN_BLOCK)


def _renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for ours, published in names:
        renamed, count = re.subn(f"^{ours}", published, name)
        if count:
            return renamed
    raise KeyError(name)


def config_from_reference(tensors: Mapping[str, Tensor], *, source: str | Path) -> SRMAMambaConfig:
    """The sizes of a checkpoint, from its names and shapes.

    Raises:
        BadInput: a stage has another structure than a gated convolution and scan blocks, or sizes are out of range.
    """
    depths = []
    for stage in range(STAGES):
        prefix = f"encoder.layers.{stage}.blocks."
        numbers = layer_numbers(tensors, prefix)
        scans = {number for number in numbers if f"{prefix}{number}.op.sh.A_logs" in tensors}
        if not scans or scans != set(range(1, len(numbers))):
            found = f"scan blocks {sorted(scans)} of {sorted(numbers)}"
            raise BadInput(source, prefix + "*", found, "a convolution, block 0, and then scan blocks")
        depths.append(len(scans))
    try:
        return SRMAMambaConfig(
            dim=len(named(tensors, "encoder.patch_embed.5.weight", source)),
            depths=(depths[0], depths[1], depths[2], depths[3]),
            states=named(tensors, "encoder.layers.0.blocks.1.op.sh.A_logs", source).shape[-1],
            decoder_dim=len(named(tensors, "translayer1_st.conv.weight", source)),
        )
    except ValueError as error:
        raise BadInput(source, "sizes", error, f"those of a {MODEL}") from error


def from_reference(state_dict: Mapping[str, Any], *, source: str | Path) -> SRMAMamba:
    """The model of a published state dict, with its weights.

    Args:
        state_dict: the content of the file, whose tensors may be nested or have a prefix.
        source: file name for errors.

    Raises:
        BadInput: a tensor is missing, left over or has another shape.
    """
    tensors = unwrapped(state_dict, ANCHOR, source=source, model=MODEL)
    with torch.device("meta"):
        model = SRMAMamba(config_from_reference(tensors, source=source))
    expected = model.state_dict()

    def join(name: str, parts: list[Tensor]) -> Tensor:
        """The directions of a scan are one axis with the channels in the published `A_logs` and `Ds`."""
        (part,) = parts
        if name.endswith((".A_log", ".D")) and part.numel() == expected[name].numel():
            return part.reshape(expected[name].shape)
        return part

    fill(model, tensors, published_names, source=source, join=join)
    return model
