"""Low-rank adaptation (LoRA) of models built from axial attention."""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from transect.apps.pde.models.config import LoraConfig
from transect.core.attention import AxialAttention

#: `alpha / rank` of the published models, whose alpha is twice the rank.
SCALE = 2.0
QKV = 3
#: Names of modules that are initially inactive options, and of position embeddings.
NEW, PLACES = {"fields", "extra", "conditioning"}, {"positions", "distance"}
#: Learning rate and weight decay of the published recipe relative to 1e-3 and 0.01, the trainer's.
SCRATCH, ADDED, KEPT, OPENED, WHOLE = (1.0, 1.0), (1.0, 0.0), (0.1, 0.0), (0.1, 1e-3), (0.1, 0.0)
ORIGINAL, UPDATE = ".parametrizations.weight.original", ".parametrizations.weight.0."


class LowRank(nn.Module):
    r"""A weight with a low-rank update `W + 2 B A`; B is initialized to zero, A Kaiming-uniform.

    Written here because peft adapts whole linear layers, and here queries, keys and values are one fused weight.
    A weight of fused projections has an A and a B for each. Its rows are the first head's query, key and value, then
    the second's, and so on; B is `(heads, parts, rows per head and part, rank)`, A `(parts, rank, in)`.

    Dropout on the inputs of A draws one mask per step for all tokens, where the reference draws one per token, since
    the update is added to the weight and not computed per token.

    Args:
        weight: `(out, in)`, the weight to be updated.
        rank: of the update.
        dropout: dropout rate of the inputs in training.
        heads: number of heads that share each projection.
        parts: number of fused projections.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), section 4.1.
    """

    def __init__(self, weight: Tensor, rank: int, dropout: float = 0.0, *, heads: int = 1, parts: int = 1) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.dropout = dropout
        self.A = nn.Parameter(weight.new_empty(parts, rank, columns))
        self.B = nn.Parameter(weight.new_zeros(heads, parts, rows // (heads * parts), rank))
        for part in self.A:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """The updated weight."""
        down: Tensor = self.A
        if self.training and self.dropout:
            down = down * F.dropout(torch.ones_like(down[:, :1]), self.dropout)
        return updated(weight, down, self.B)


def updated(weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """`weight` with the update of A `(parts, rank, in)` and B `(heads, parts, rows, rank)`."""
    return weight + SCALE * (up @ down).flatten(0, 2)


def add_lora(model: nn.Module, config: LoraConfig) -> nn.Module:
    """Add low-rank updates to every axial attention in `model` and to the linear maps of every part named `mlp`.

    Parameters that `parameter_groups` does not list are frozen. Existing updates are kept; levels 0 and 4 add none and
    train all parameters.
    """
    if config.level in (0, 4):
        return model.requires_grad_(True)
    attentions = [module for module in model.modules() if isinstance(module, AxialAttention)]
    mlps = [module for name, module in model.named_modules() if name.split(".")[-1] == "mlp"]
    for attention in attentions:
        for qkv in attention.qkv:
            _add(qkv, config.rank, config.dropout, heads=attention.heads, parts=QKV)
        for out in attention.out:
            _add(out, config.rank, config.dropout)
    for layer in (module for mlp in mlps for module in mlp.modules() if isinstance(module, nn.Linear)):
        _add(layer, config.mlp_rank, config.dropout)
    model.requires_grad_(False)
    for group in parameter_groups(model, config):
        for parameter in group["params"]:
            parameter.requires_grad_(True)
    return model


def _add(linear: nn.Module, rank: int, dropout: float, *, heads: int = 1, parts: int = 1) -> None:
    if parametrize.is_parametrized(linear, "weight"):
        return
    update = LowRank(cast(nn.Linear, linear).weight, rank, dropout, heads=heads, parts=parts)
    # Unsafe skips a trial forward pass: the update keeps the shape of the weight.
    parametrize.register_parametrization(linear, "weight", update, unsafe=True)


def parameter_groups(model: nn.Module, config: LoraConfig) -> list[dict[str, Any]]:
    """The parameters a level trains, with `learning_rate_scale` and `weight_decay_scale` relative to 1e-3 and 0.01.

    ======  ======================================================  ==================  ============
    level   weights                                                 learning rate       weight decay
    ======  ======================================================  ==================  ============
    0       all                                                     1                   1
    1       updates and options that published models lack          1                   0
    1       norms and positions                                     0.1                 0
    2       also all of a part named `embedding`                    0.1                 0.001
    3       also all of a part named `decoder`                      0.1                 0.001
    4       all                                                     0.1                 0
    ======  ======================================================  ==================  ============
    """
    if config.level in (0, 4):
        return [_group(list(model.parameters()), SCRATCH if config.level == 0 else WHOLE)]
    norms = {id(p) for module in model.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    opened = {part for level, part in ((2, "embedding"), (3, "decoder")) if config.level >= level}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {ADDED: [], KEPT: [], OPENED: []}
    for name, parameter in model.named_parameters():
        parts = set(name.split("."))
        if _is_update(name) or is_new(name):
            groups[ADDED].append(parameter)
        elif id(parameter) in norms or parts & PLACES:
            groups[KEPT].append(parameter)
        elif parts & opened:
            groups[OPENED].append(parameter)
    return [_group(parameters, scales) for scales, parameters in groups.items() if parameters]


def _group(parameters: list[nn.Parameter], scales: tuple[float, float]) -> dict[str, Any]:
    return {"params": parameters, "learning_rate_scale": scales[0], "weight_decay_scale": scales[1]}


def merged_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the same model without updates, which are merged into the weights."""
    merged = {}
    for name, tensor in state.items():
        if name.endswith(ORIGINAL):
            linear = name.removesuffix(ORIGINAL)
            down, up = (state[f"{linear}{UPDATE}{part}"] for part in "AB")
            merged[f"{linear}.weight"] = updated(tensor, down, up)
        elif not _is_update(name):
            merged[name] = tensor
    return merged


def is_new(name: str) -> bool:
    """Whether a parameter belongs to an option that published models lack and that is initially inactive."""
    return bool(NEW.intersection(name.split(".")))


def _is_update(name: str) -> bool:
    return name.endswith((UPDATE + "A", UPDATE + "B"))
