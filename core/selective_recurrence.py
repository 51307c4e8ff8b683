"""The recurrence of a selective state-space model, computed in blocks so that its states never fill the memory."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from transect.core.recurrence import linear_recurrence_, previous

BLOCK_ELEMENTS = 2**19
"""States per block on a CPU: 2 MiB, which the allocator reuses instead of requesting new pages."""
ACCELERATOR_BLOCKS = 128
"""How many times larger blocks are on an accelerator, where few large operations are faster."""


def selective_recurrence(
    u: Tensor,
    delta: Tensor,
    bias: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    axes: Sequence[int],
    *,
    reverse: bool = False,
) -> Tensor:
    r"""Selective scan of `u` over a grid in raster order.

    With E channels of N states each::

        s_t = softplus(delta_t + bias)
        h_t = exp(s_t rates) h_{t-1} + s_t u_t write_t,   h_{-1} = 0
        y_t = sum_n read_t[n] h_t[n]

    The grid is split into blocks along the outermost of `axes`; the steps, decays and states of a block are discarded
    after use, and only its last state is passed to the next block. The backward pass recomputes them. So besides inputs
    and output, memory is that of one block: neither `T E N` states nor `T E` steps for T tokens are stored.

    Cost `11 T E N` floating-point operations, three times that with the gradient. Computed in float32
    (float64 for float64 inputs), also for 16-bit inputs.

    Args:
        u: `(batch, *grid, channels)`.
        delta: the step before bias and softplus, the same shape.
        bias: `(channels,)`.
        rates: `(states, channels)`, negative for decaying states.
        write: `(batch, *grid, states)`, often called B.
        read: `(batch, *grid, states)`, often called C.
        axes: all grid axes, outermost first, counted from 0 after the batch.
        reverse: run t from the last grid position to the first.

    Returns:
        `(batch, *grid, channels)`, float32 or float64.

    Raises:
        ValueError: the shapes disagree, or `axes` is not a permutation of the grid axes.

    Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), algorithm 2 and
    section 3.3.2 (recomputation).
    """
    if sorted(axes) != list(range(u.ndim - 2)):
        raise ValueError(f"axes: found {tuple(axes)}, expected a permutation of the {u.ndim - 2} grid axes")
    channels, states = u.shape[-1], rates.shape[0]
    per_token = (*u.shape[:-1], states)
    for name, tensor, expected in (
        ("delta", delta, u.shape),
        ("bias", bias, (channels,)),
        ("rates", rates, (states, channels)),
        ("write", write, per_token),
        ("read", read, per_token),
    ):
        if tensor.shape != expected:
            raise ValueError(f"{name}: found shape {tuple(tensor.shape)}, expected {tuple(expected)}")
    y: Tensor
    y, _ = torch.ops.transect.selective_recurrence(u, delta, bias, rates, write, read, list(axes), reverse)
    return y


def _forward(
    u: Tensor,
    delta: Tensor,
    bias: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    axes: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """The outputs, and the initial state of each block."""
    dtype = _dtype(u)
    y, starts = torch.empty(u.shape, dtype=dtype, device=u.device), _starts(u, rates, axes)
    state = starts.new_zeros(starts.shape[1:])
    for index, block in _blocks(u, len(starts), axes, reverse):
        starts[index] = state
        x, d, w, r = (tensor.narrow(*block).to(dtype) for tensor in (u, delta, write, read))
        _, _, states = _states(x, d, w, bias, rates, state, axes, reverse)
        if rates.shape[0] == 1:
            torch.mul(states.squeeze(-2), r, out=y.narrow(*block))
        else:
            y.narrow(*block).copy_((r[..., None, :] @ states).squeeze(-2))
        state = _corner(states, axes, last=not reverse).clone()
        del states  # before the next block is computed
    return y, starts


def _fake_forward(
    u: Tensor,
    delta: Tensor,
    bias: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    axes: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty(u.shape, dtype=_dtype(u), device=u.device), _starts(u, rates, axes)


def _backward(
    grad: Tensor,
    u: Tensor,
    delta: Tensor,
    bias: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    starts: Tensor,
    axes: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of u, delta, bias, rates, write and read."""
    inputs = (u, delta, write, read)
    grads = [torch.empty(tensor.shape, dtype=tensor.dtype, device=u.device) for tensor in inputs]
    wide_rates = rates.to(starts.dtype)
    grad_bias, grad_rates = starts.new_zeros(bias.shape), starts.new_zeros(rates.shape)
    carry = starts.new_zeros(starts.shape[1:])
    for index, block in reversed(list(_blocks(u, len(starts), axes, reverse))):
        x, d, w, r, y = (tensor.narrow(*block).to(starts.dtype) for tensor in (*inputs, grad))
        step, decay, states = _states(x, d, w, bias, rates, starts[index], axes, reverse)

        # The gradient of h_t comes from y_t and from h_{t+1}.
        total = y[..., None, :] * r[..., None]
        _corner(total, axes, last=not reverse).add_(carry)
        propagated = linear_recurrence_(decay, decay * total, axes, reverse=not reverse)
        carry = _corner(propagated, axes, last=reverse)
        total += previous(propagated, axes, reverse=not reverse)

        before = previous(states, axes, reverse=reverse)
        _corner(before, axes, last=reverse).copy_(starts[index])
        exponent = before.mul_(decay).mul_(total)
        grad_update = (total * w[..., None]).sum(-2)
        grad_delta = ((exponent * wide_rates).sum(-2) + grad_update * x) * torch.sigmoid(d + bias.to(d.dtype))

        block_grads = (
            grad_update * step,
            grad_delta,
            (total * (step * x)[..., None, :]).sum(-1),
            (states * y[..., None, :]).sum(-1),
        )
        for out, part in zip(grads, block_grads, strict=True):
            out.narrow(*block).copy_(part)
        grad_bias += grad_delta.flatten(0, -2).sum(0)
        grad_rates += (exponent * step[..., None, :]).flatten(0, -3).sum(0)
    return grads[0], grads[1], grad_bias.to(bias.dtype), grad_rates.to(rates.dtype), grads[2], grads[3]


def _fake_backward(
    grad: Tensor,
    u: Tensor,
    delta: Tensor,
    bias: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    starts: Tensor,
    axes: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (u, delta, bias, rates, write, read))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.axes, ctx.reverse = inputs
    ctx.save_for_backward(*tensors, output[1])


def _gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return (
        *torch.ops.transect.selective_recurrence_backward(grad, *ctx.saved_tensors, ctx.axes, ctx.reverse),
        None,
        None,
    )


def _states(
    u: Tensor,
    delta: Tensor,
    write: Tensor,
    bias: Tensor,
    rates: Tensor,
    start: Tensor,
    axes: Sequence[int],
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The steps, decays and states of a block with initial state `start`."""
    step = _softplus(delta + bias.to(delta.dtype))
    # States before channels, so that the innermost axis of every operation is the long one.
    decay = torch.mul(step[..., None, :], rates.to(step.dtype) / math.log(2)).exp2_()
    update = (step * u)[..., None, :] * write[..., None]
    _corner(update, axes, last=reverse).addcmul_(_corner(decay, axes, last=reverse), start)
    return step, decay, linear_recurrence_(decay, update, axes, reverse=reverse)


def _softplus(x: Tensor) -> Tensor:
    """`max(x, 0) + log(1 + p)` with `p = exp(-|x|)`, overwrites `x`.

    As `log(1 + p) = 2 atanh(p / (2 + p))`, which is vectorized on CPUs; `F.softplus` and `log1p` take three times as
    long there.
    """
    p = x.abs().neg_().exp_()
    return x.clamp_(min=0).add_(p.div_(p + 2).atanh_(), alpha=2)


def _dtype(u: Tensor) -> torch.dtype:
    return torch.promote_types(u.dtype, torch.float32)


def _starts(u: Tensor, rates: Tensor, axes: Sequence[int]) -> Tensor:
    """Empty buffer for a state `(batch, 1, ..., states, channels)` per block."""
    length, elements = u.shape[axes[0] + 1], u.numel() * rates.shape[0]
    count = -(-elements // (BLOCK_ELEMENTS * (1 if u.device.type == "cpu" else ACCELERATOR_BLOCKS)))
    blocks = torch.sym_max(1, torch.sym_min(count, length))
    shape = (blocks, u.shape[0], *[1] * (u.ndim - 2), *rates.shape)
    return torch.empty(shape, dtype=_dtype(u), device=u.device)


def _blocks(u: Tensor, count: int, axes: Sequence[int], reverse: bool) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Index and `narrow` arguments of the blocks in scan order: nearly equal parts of the first axis."""
    axis = axes[0] + 1
    borders = [u.shape[axis] * index // count for index in range(count + 1)]
    blocks = [(axis, start, end - start) for start, end in pairwise(borders)]
    return enumerate(blocks[::-1] if reverse else blocks)


def _corner(tensor: Tensor, axes: Sequence[int], *, last: bool) -> Tensor:
    """The first or the last grid position, as a view."""
    for axis in axes:
        tensor = tensor.narrow(axis + 1, tensor.shape[axis + 1] - 1 if last else 0, 1)
    return tensor


# Registered operators: compilation and export see one node of any size, and the gradient can recompute the states.
_TENSORS = "Tensor u, Tensor delta, Tensor bias, Tensor rates, Tensor write, Tensor read"
_NAME = "transect::selective_recurrence"
torch.library.define(_NAME, f"({_TENSORS}, int[] axes, bool reverse) -> (Tensor, Tensor)")
torch.library.define(
    f"{_NAME}_backward",
    f"(Tensor grad, {_TENSORS}, Tensor starts, int[] axes, bool reverse)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
torch.library.impl(_NAME, "CompositeExplicitAutograd", _forward)
torch.library.impl(f"{_NAME}_backward", "CompositeExplicitAutograd", _backward)
torch.library.register_fake(_NAME, _fake_forward)
torch.library.register_fake(f"{_NAME}_backward", _fake_backward)
torch.library.register_autograd(_NAME, _gradient, setup_context=_save)
