"""The one primitive: softmax attention along chosen axes of a channel-last grid of any rank."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    axes: Sequence[int],
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    r"""Softmax attention, jointly over the grid `axes`; every other grid axis is batch.

    `y_i = sum_j softmax_j(scale q_i . k_j + bias_ij) v_j`, with i and j running over the attended axes in row-major
    order. Cost `4 N L D` floating-point operations per head for N tokens that attend over L = the product of the
    attended lengths; memory stays linear in N.

    Axes before the attended run fold into the batch and axes after it into the heads, both as views, so adjacent
    axes cost no copy. Attended axes that are not adjacent are first brought together, which costs one.

    Args:
        query: `(batch, *query_grid, heads, dim)`.
        key: `(batch, *key_grid, heads, dim)`; its grid may differ from the query's along `axes` only.
        value: `(batch, *key_grid, heads, value_dim)`.
        axes: grid axes to attend over, counted from 0 after the batch; negative ones count from the grid's end.
        bias: `(heads | 1, queries, keys)`, added to the logits.
        mask: `(batch | 1, *key_grid)`, True where a key may be attended. A query without any key gives zeros.
        causal: a query sees the keys up to its own place; for one attended axis of equal lengths.
        scale: of the logits, `dim ** -0.5` by default.

    Returns:
        `(batch, *query_grid, heads, value_dim)`.

    Raises:
        ValueError: axes are repeated or out of range, or the shapes disagree.

    Source: Vaswani et al., "Attention Is All You Need" (2017), eq. 1; axial use: Ho et al., "Axial Attention in
    Multidimensional Transformers" (2019).
    """
    rank = query.ndim - 3
    attended = _checked_axes(query, key, value, axes, causal)
    first, last = attended[0], attended[-1]
    adjacent = last - first + 1 == len(attended)
    if bias is not None or not adjacent:
        # A bias belongs to the heads alone: the batch axes that would join them must go in front instead.
        order = [axis for axis in range(rank) if axis not in attended] + attended
        permutation = [0, *(axis + 1 for axis in order), rank + 1, rank + 2]
        query, key, value = (tensor.permute(permutation) for tensor in (query, key, value))
        mask = mask.permute(permutation[:-2]) if mask is not None else None
        first, last = rank - len(attended), rank - 1
    else:
        permutation = None

    folded = F.scaled_dot_product_attention(
        _fold(query, first, last),
        _fold(key, first, last),
        _fold(value, first, last),
        attn_mask=_logit_mask(query, key, first, last, bias, mask, causal),
        is_causal=causal and bias is None and mask is None,
        scale=scale,
    )
    out = folded.transpose(1, 2).reshape(*query.shape[:-1], value.shape[-1])
    if permutation is None:
        return out
    inverse = [permutation.index(axis) for axis in range(len(permutation))]
    return out.permute(inverse)


def _checked_axes(query: Tensor, key: Tensor, value: Tensor, axes: Sequence[int], causal: bool) -> list[int]:
    """The attended axes in order, from 0."""
    rank = query.ndim - 3
    attended = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if not attended or attended[0] < 0 or attended[-1] >= rank or len(set(attended)) < len(attended):
        raise ValueError(f"axes: found {tuple(axes)}, expected distinct axes of a grid of rank {rank}")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"value: found shape {tuple(value.shape)}, expected the grid and heads of {tuple(key.shape)}")
    for axis in range(-1, rank + 1):  # the batch, the grid, the heads
        differ = query.shape[axis + 1] != key.shape[axis + 1]
        if differ and (causal or axis not in attended):
            raise ValueError(f"key: found shape {tuple(key.shape)}, expected {tuple(query.shape)} but for axes {axes}")
    if causal and len(attended) > 1:
        raise ValueError(f"causal: found {len(attended)} attended axes, expected one")
    return attended


def _fold(tensor: Tensor, first: int, last: int) -> Tensor:
    """`(batch, *grid, heads, dim)` to `(batch * before, after * heads, length, dim)`: 4-D, as every kernel wants it."""
    # Inductor of torch 2.14 miscompiles this kernel on permuted inputs of rank 5 and above; rank 4 is right.
    before, length, after = (
        _product(tensor, 0, first + 1),
        _product(tensor, first + 1, last + 2),
        tensor.shape[last + 2 : -1],
    )
    folded = tensor.reshape(before, length, _size(after), tensor.shape[-1])
    return folded.transpose(1, 2)


def _logit_mask(
    query: Tensor, key: Tensor, first: int, last: int, bias: Tensor | None, mask: Tensor | None, causal: bool
) -> Tensor | None:
    """What the kernel adds to or hides from the logits: broadcastable to `(batch, heads, queries, keys)` as folded."""
    visible = None
    if mask is not None:
        heads = key.shape[-2]
        shown = mask.expand(key.shape[0], *key.shape[1:-2])[..., None].expand(*key.shape[:-1])
        visible = _fold(shown[..., None], first, last).transpose(-1, -2)
        if last + 2 == key.ndim - 2:  # no grid axis went into the heads: one row serves them all
            visible = visible[:, :1] if heads > 1 else visible
    if causal and (bias is not None or visible is not None):
        length = key.shape[first + 1]
        lower = torch.ones(length, length, dtype=torch.bool, device=key.device).tril()
        visible = lower if visible is None else visible & lower
    if bias is None:
        return visible
    logits = bias.to(query.dtype)[None]
    return logits if visible is None else logits.masked_fill(~visible, float("-inf"))


def _product(tensor: Tensor, start: int, stop: int) -> int:
    return _size(tensor.shape[start:stop])


def _size(lengths: Sequence[int]) -> int:
    # A loop, not math.prod over a generator: that one breaks a full-graph compile.
    size = 1
    for length in lengths:
        size *= length
    return size
