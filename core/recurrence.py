"""The linear recurrence `h_t = a_t h_{t-1} + b_t` over a grid of any rank in raster order."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_LOOP = 64
"""Longer axes are split into about `sqrt(L)` chunks, so that length `L` takes about `3 sqrt(L)` steps."""


def linear_recurrence(decay: Tensor, update: Tensor, axes: Sequence[int], *, reverse: bool = False) -> Tensor:
    r"""`h_t = decay_t h_{t-1} + update_t` with `h_{-1} = 0`, where t runs over the grid in raster order.

    All other axes (batch, channels, states) are independent recurrences. Exact up to the order of additions: without
    logarithms or divisions, a strong decay neither overflows nor loses precision.

    Computed as an axial scan: all lines along the innermost axis of `axes` advance in parallel, each from zero, for the
    state at their end and the product of their decays; these form a recurrence of the same form on a grid of one rank
    less, which gives each line its initial state; then all lines advance again from it. A grid `S_1 x ... x S_d` takes
    `2 sum S_i` steps rather than `prod S_i`, in either direction and any order of the axes, without permuted or flipped
    copies.

    Cost: two passes over the tensors, `5 N` floating-point operations for N elements; memory for the N states, and the
    same again for the gradient, which is the same recurrence reversed in time.

    Fastest when the last axis is contiguous and not in `axes`: each step is then one vectorized operation.

    Args:
        decay: `(batch, *grid, ...)`.
        update: the same shape.
        axes: grid axes, outermost first, counted from 0 after the batch. The last one varies fastest along t.
        reverse: run t from the last grid position to the first.

    Returns:
        The states h, the same shape; 16-bit inputs are computed and returned in float32.

    Raises:
        ValueError: the shapes differ, or axes are repeated or out of range.

    Source: Blelloch, "Prefix Sums and Their Applications" (1990), section 1.4, with chunks instead of a tree.
    """
    if decay.shape != update.shape:
        raise ValueError(f"update: found shape {tuple(update.shape)}, expected that of decay, {tuple(decay.shape)}")
    rank = decay.ndim - 1
    if not axes or len(set(axes)) < len(axes) or min(axes) < 0 or max(axes) >= rank:
        raise ValueError(f"axes: found {tuple(axes)}, expected distinct axes from 0 to {rank - 1}")
    dtype = torch.promote_types(torch.promote_types(decay.dtype, update.dtype), torch.float32)
    dims = [axis + 1 for axis in axes]
    states: Tensor = torch.ops.transect.linear_recurrence(decay.to(dtype), update.to(dtype), dims, reverse)
    return states


def linear_recurrence_(decay: Tensor, update: Tensor, axes: Sequence[int], *, reverse: bool = False) -> Tensor:
    """`linear_recurrence` without a gradient and without new memory: overwrites `update`, in whose type it computes.

    Returns the states, in the memory of `update` unless its innermost axis is long and needed padding.
    """
    return _scan(decay, update, [axis + 1 for axis in axes], reverse)


def previous(tensor: Tensor, axes: Sequence[int], *, reverse: bool = False) -> Tensor:
    """`tensor` delayed by one grid position in raster order; zero at the first position.

    Shapes, `axes` and `reverse` as for `linear_recurrence`. Cost: one copy.
    """
    return _shift(tensor, [axis + 1 for axis in axes], reverse)


def _compute(decay: Tensor, update: Tensor, axes: Sequence[int], reverse: bool) -> Tensor:
    return _scan(decay, update.clone(memory_format=torch.contiguous_format), list(axes), reverse).contiguous()


def _fake(decay: Tensor, update: Tensor, axes: Sequence[int], reverse: bool) -> Tensor:
    return update.new_empty(update.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    decay, _, ctx.axes, ctx.reverse = inputs
    ctx.save_for_backward(decay, output)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
    decay, states = ctx.saved_tensors
    # The gradient of h_t is grad_t plus decay_{t+1} times the gradient of h_{t+1}.
    propagated = torch.ops.transect.linear_recurrence(decay, decay * grad, ctx.axes, not ctx.reverse)
    total = grad + _shift(propagated, ctx.axes, not ctx.reverse)
    return total * _shift(states, ctx.axes, ctx.reverse), total, None, None


def _scan(decay: Tensor, update: Tensor, axes: list[int], reverse: bool) -> Tensor:
    """The states, for axes of the tensors themselves; overwrites `update`."""
    *outer, inner = axes
    length = decay.shape[inner]
    if length > LONGEST_LOOP:
        chunk = _chunk(length)
        padding = [0, 0] * (decay.ndim - 1 - inner) + [0, -length % chunk]
        if padding[-1]:  # padding that leaves the state unchanged
            decay, update = F.pad(decay, padding, value=1.0), F.pad(update, padding)
        decay, update = torch.unflatten(decay, inner, (-1, chunk)), torch.unflatten(update, inner, (-1, chunk))
        axes = [axis + (axis > inner) for axis in outer] + [inner, inner + 1]
        return _scan(decay, update, axes, reverse).flatten(inner, inner + 1).narrow(inner, 0, length)

    decays, states = decay.unbind(inner), update.unbind(inner)
    first, *later = range(length)[::-1] if reverse else range(length)
    if outer:
        end, product = states[first].clone(), decays[first].clone()
        for t in later:  # of one position each, so that both stay in the cache
            torch.addcmul(states[t], decays[t], end, out=end)
            product.mul_(decays[t])
        ends = _scan(product.unsqueeze(inner), end.unsqueeze(inner), outer, reverse)
        states[first].addcmul_(decays[first], _shift(ends, outer, reverse).squeeze(inner))
    state = states[first]
    for t in later:
        state = states[t].addcmul_(decays[t], state)
    return update


def _shift(tensor: Tensor, axes: Sequence[int], reverse: bool) -> Tensor:
    """`previous` for axes of the tensor itself."""
    *outer, inner = axes
    length = tensor.shape[inner]
    start, end = tensor.narrow(inner, 0, length - 1), tensor.narrow(inner, length - 1, 1)
    if reverse:
        start, end = tensor.narrow(inner, 1, length - 1), tensor.narrow(inner, 0, 1)
    border = _shift(end, outer, reverse) if outer else torch.zeros_like(end)
    return torch.cat((start, border) if reverse else (border, start), inner)


def _chunk(length: int) -> int:
    """A chunk length near the square root that needs little or no padding."""
    root = round(length**0.5)
    return min(range(root, 2 * root), key=lambda chunk: -length % chunk)


# A registered operator: compilation and export see one node of any size instead of a loop over its lengths.
# Not `torch.library.custom_op`, whose first call imports the compiler, which takes seconds in every process.
_NAME = "transect::linear_recurrence"
torch.library.define(_NAME, "(Tensor decay, Tensor update, int[] axes, bool reverse) -> Tensor")
torch.library.impl(_NAME, "CompositeExplicitAutograd", _compute)
torch.library.register_fake(_NAME, _fake)
torch.library.register_autograd(_NAME, _gradient, setup_context=_save)
