"""The linear recurrence `h_t = a_t h_{t-1} + b_t` along a grid of any rank, read in raster order."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_LOOP = 128
"""Axes longer than this are cut into about square-root many chunks, so that `L` places take some `sqrt(L)` steps."""


def linear_recurrence(decay: Tensor, update: Tensor, axes: Sequence[int], *, reverse: bool = False) -> Tensor:
    r"""`h_t = decay_t h_{t-1} + update_t` with `h_{-1} = 0`, where t runs over the grid in raster order.

    Every other axis (batch, channels, states) holds independent recurrences. Exact but for the order of additions:
    no logarithm and no division, so a strong decay neither overflows nor loses digits.

    An axial scan: along the innermost axis of `axes` all lines advance together, each from zero, keeping the products
    `P_t = decay_t ... decay_start` of their decays; the ends of the lines are a recurrence of the same form on a grid
    of one rank less, which gives each line its true start `c`; then `h_t = local_t + P_t c`. So a grid
    `S_1 x ... x S_d` takes `sum S_i` steps rather than `prod S_i`, in either direction and any order of the axes,
    without a permuted or flipped copy.

    Cost: three passes over the tensor, `5 N` floating-point operations for N elements; memory for `2 N` elements,
    and as much again for the gradient, which is the same recurrence backwards in time.

    Fast where the last axis is contiguous and none of `axes`: a step is then one vectorised operation.

    Args:
        decay: `(batch, *grid, ...)`.
        update: of the same shape.
        axes: grid axes, outermost first, counted from 0 after the batch. The last one varies fastest along t.
        reverse: run t from the last place of the grid to the first.

    Returns:
        The states h, of the same shape; 16-bit inputs are computed and returned in float32.

    Raises:
        ValueError: the shapes differ, or axes are repeated or out of range.

    Source: Blelloch, "Prefix Sums and Their Applications" (1990), section 1.4, with chunks in place of a tree.
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


def previous(tensor: Tensor, axes: Sequence[int], *, reverse: bool = False) -> Tensor:
    """At each place of the grid what `tensor` holds at the place before in raster order; zero at the first place.

    Shapes, `axes` and `reverse` as for `linear_recurrence`. Cost: one copy.
    """
    return _shift(tensor, [axis + 1 for axis in axes], reverse)


def _compute(decay: Tensor, update: Tensor, axes: Sequence[int], reverse: bool) -> Tensor:
    return _scan(decay, update, list(axes), reverse).contiguous()


def _fake(decay: Tensor, update: Tensor, axes: Sequence[int], reverse: bool) -> Tensor:
    return update.new_empty(update.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    decay, _, ctx.axes, ctx.reverse = inputs
    ctx.save_for_backward(decay, output)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
    decay, states = ctx.saved_tensors
    # The gradient of h_t is grad_t plus what h_{t+1} hands back, decay_{t+1} times its own gradient.
    handed_back = torch.ops.transect.linear_recurrence(decay, decay * grad, ctx.axes, not ctx.reverse)
    total = grad + _shift(handed_back, ctx.axes, not ctx.reverse)
    return total * _shift(states, ctx.axes, ctx.reverse), total, None, None


def _scan(decay: Tensor, update: Tensor, axes: list[int], reverse: bool) -> Tensor:
    """The states, for axes of the tensors themselves."""
    *outer, inner = axes
    length = decay.shape[inner]
    if length > LONGEST_LOOP:
        chunk = _chunk(length)
        padding = [0, 0] * (decay.ndim - 1 - inner) + [0, -length % chunk]
        if padding[-1]:  # with places that hand the state on unchanged
            decay, update = F.pad(decay, padding, value=1.0), F.pad(update, padding)
        decay, update = torch.unflatten(decay, inner, (-1, chunk)), torch.unflatten(update, inner, (-1, chunk))
        axes = [axis + (axis > inner) for axis in outer] + [inner, inner + 1]
        return _scan(decay, update, axes, reverse).flatten(inner, inner + 1).narrow(inner, 0, length)

    products, states = torch.empty_like(decay, memory_format=torch.contiguous_format), update.new_empty(update.shape)
    decays, updates, product, state = (tensor.unbind(inner) for tensor in (decay, update, products, states))
    first, *later = range(length)[::-1] if reverse else range(length)
    product[first].copy_(decays[first])
    state[first].copy_(updates[first])
    last = first
    for t in later:
        torch.addcmul(updates[t], decays[t], state[last], out=state[t])
        if outer:
            torch.mul(decays[t], product[last], out=product[t])
        last = t
    if outer:
        ends = _scan(products.narrow(inner, last, 1), states.narrow(inner, last, 1), outer, reverse)
        states.addcmul_(products, _shift(ends, outer, reverse))
    return states


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
    """A length of chunks near the square root that needs little or no padding."""
    root = round(length**0.5)
    return min(range(root, 2 * root), key=lambda chunk: -length % chunk)


# An operator of its own: compilers and export see one node of any size instead of a loop over its lengths.
# Not by `torch.library.custom_op`, whose first call imports the whole compiler: seconds for every process.
_NAME = "transect::linear_recurrence"
torch.library.define(_NAME, "(Tensor decay, Tensor update, int[] axes, bool reverse) -> Tensor")
torch.library.impl(_NAME, "CompositeExplicitAutograd", _compute)
torch.library.register_fake(_NAME, _fake)
torch.library.register_autograd(_NAME, _gradient, setup_context=_save)
