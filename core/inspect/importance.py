"""Importance of each attention head for a loss, by gradient or by ablation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from transect.core.conv import ConvBN

#: The layers whose input is the concatenation of a module's heads, and their channel axis.
PROJECTIONS = {"out": -1, "out_proj": -1, "output_proj": -1, "encode": 1}


def head_importance(
    model: nn.Module, loss: Callable[[], Tensor], *, by: Literal["gradient", "ablation"] = "gradient"
) -> dict[str, Tensor]:
    r"""Importance of each head of each layer for a loss, with a gate `g_h = 1` on the output of head h.

    By gradient `I_h = mean_n |d L_n / d g_h|`, a first-order estimate of the effect of removing the head, for all heads
    at the cost of one backward pass per sample. By ablation `I_h = mean_n L_n(g_h = 0) - mean_n L_n`, signed, exact for
    the removal of one head, at the cost of one forward pass per head.

    `loss` defines the samples. If it returns losses `(samples,)`, the absolute value of each derivative is averaged, as
    published. If it returns a scalar, that is a single sample: contributions of opposite sign cancel within it.

    Args:
        model: any module; its mode, parameters and their `.grad` are left unchanged.
        loss: runs the model and returns `()` or `(samples,)`. It must be deterministic: call `model.eval()` before, and
            use the same data each time.
        by: "gradient" or "ablation".

    Returns:
        `(heads,)` for each output projection, by its dotted name in the model: `blocks.0.attention.out.1` are the heads
        of the second axis. A projection that the loss does not depend on has zeros. In `SqueezeAxialAttention`, where
        a convolution follows the heads after `relu6`, the gate is on the input of that convolution.

    Raises:
        ValueError: the model has no output projection of heads, or `by` is neither of the two.

    Source: Michel et al., "Are Sixteen Heads Really Better than One?" (2019), eq. 2, and section 3.2 for ablation.
    """
    if by not in ("gradient", "ablation"):
        raise ValueError(f"by: found {by!r}, expected 'gradient' or 'ablation'")
    with _gated(model) as gates:
        if not gates:
            raise ValueError(f"model: found no attention heads in {type(model).__name__}, expected `heads` and `out`")
        return _by_gradient(loss, gates) if by == "gradient" else _by_ablation(loss, gates)


def _by_gradient(loss: Callable[[], Tensor], gates: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.enable_grad():
        for gate in gates.values():
            gate.requires_grad_()
        losses = loss().flatten()
    total = [torch.zeros_like(gate) for gate in gates.values()]
    for sample_loss in losses:
        gradients = torch.autograd.grad(sample_loss, list(gates.values()), retain_graph=True, materialize_grads=True)
        total = [sum_ + gradient.abs() for sum_, gradient in zip(total, gradients, strict=True)]
    return {name: sum_ / len(losses) for name, sum_ in zip(gates, total, strict=True)}


@torch.no_grad()
def _by_ablation(loss: Callable[[], Tensor], gates: dict[str, Tensor]) -> dict[str, Tensor]:
    baseline = loss().mean()
    importance = {name: torch.zeros_like(gate) for name, gate in gates.items()}
    for name, gate in gates.items():
        for head in range(len(gate)):
            gate[head] = 0
            importance[name][head] = loss().mean() - baseline
            gate[head] = 1
    return importance


@contextmanager
def _gated(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Insert a gate `(heads,)` of ones before every output projection; yields the gates by projection name."""
    gates, handles = {}, []
    for name, layer, heads, axis in _projections(model):
        gate = torch.ones_like(next(layer.parameters()).detach().flatten()[:heads])

        def apply(_: nn.Module, inputs: tuple[Tensor], gate: Tensor = gate, axis: int = axis) -> Tensor:
            x = torch.unflatten(inputs[0].movedim(axis, -1), -1, (len(gate), -1))
            return (x * gate[:, None].to(x.dtype)).flatten(-2).movedim(-1, axis)

        gates[name] = gate
        handles.append(layer.register_forward_pre_hook(apply))
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def _projections(model: nn.Module) -> Iterator[tuple[str, nn.Module, int, int]]:
    """Name, layer, heads and channel axis of each output projection; a `ModuleList` gives one per grid axis."""
    for name, module in model.named_modules():
        heads = getattr(module, "heads", None)
        if not isinstance(heads, int):
            continue
        for attribute, axis in PROJECTIONS.items():
            projection = getattr(module, attribute, None)
            layers = projection.named_children() if isinstance(projection, nn.ModuleList) else [("", projection)]
            for index, layer in layers:
                if isinstance(layer, nn.Linear | ConvBN):
                    yield ".".join(part for part in (name, attribute, index) if part), layer, heads, axis
