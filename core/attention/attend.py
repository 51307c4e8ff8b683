"""Softmax attention along chosen axes of a channel-last grid of any rank; all mechanisms build on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from transect.core.attention.kernel import softmax_attention


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    axes: Sequence[int],
    *,
    tied: Sequence[int] = (),
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    pair_mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    r"""Softmax attention, jointly over the grid `axes`; every other grid axis is batch.

    `y_i = sum_j softmax_j(scale q_i . k_j + bias_ij) v_j`, with i and j running over the attended axes in row-major
    order. Cost `4 N L D` floating-point operations per head for N tokens that attend over L = the product of the
    attended lengths; memory linear in N.

    The `tied` axes share one map: `y_ri = sum_j softmax_j(scale sum_r q_ri . k_rj) v_rj`.

    Axes before the attended ones fold into the batch and axes after them into the heads, both as views, so adjacent
    axes cost no copy. Attended axes that are not adjacent are first made adjacent, and tied axes are moved next to
    the features; either costs one copy.

    Args:
        query: `(batch, *query_grid, heads, dim)`.
        key: `(batch, *key_grid, heads, dim)`; its grid may differ from the query's along `axes` only.
        value: `(batch, *key_grid, heads, value_dim)`.
        axes: grid axes to attend over, counted from 0 after the batch; negative ones count from the last grid axis.
        tied: grid axes along which all tokens share one map.
        bias: `(heads | 1, queries, keys)`, added to the logits.
        mask: `(batch | 1, *key_grid)`, True where a key may be attended to; with tied axes, a key is visible if it is
            True anywhere along them. A query without a visible key gives zeros.
        pair_mask: `(batch | 1, queries, keys)`, True where a query may attend to a key, the same along all other axes.
        causal: a query attends to the keys up to its own position; needs one attended axis of equal lengths.
        scale: of the logits, by default `dim ** -0.5`; with tied axes `(dim * product of their lengths) ** -0.5`.
        dropout: probability of zeroing an attention weight, the others are scaled by `1 / (1 - dropout)`; pass it in
            training only. On a CPU it needs memory for the whole map.

    Returns:
        `(batch, *query_grid, heads, value_dim)`.

    Raises:
        ValueError: axes are repeated or out of range, or the shapes disagree.

    Source: Vaswani et al., "Attention Is All You Need" (2017), eq. 1; axial use: Ho et al., "Axial Attention in
    Multidimensional Transformers" (2019); tied: Rao et al., "MSA Transformer" (2021), eq. 1.
    """
    rank = query.ndim - 3
    attended, shared = _checked(query, key, value, axes, tied, causal)
    others = [axis for axis in range(rank) if axis not in attended and axis not in shared]
    between = any(attended[0] < axis < attended[-1] for axis in others)
    if bias is not None or between:
        # The bias is per head, so no grid axis may fold into the heads.
        before, after = others, []
    else:
        before = [axis for axis in others if axis < attended[0]]
        after = others[len(before) :]
    order = [0, *(axis + 1 for axis in before + after), rank + 1, *(axis + 1 for axis in attended + shared), rank + 2]
    layout = Layout(order, len(before), len(after), len(attended))

    folded = softmax_attention(
        layout.fold(query),
        layout.fold(key),
        layout.fold(value),
        bias,
        layout.visible(key, mask, pair_mask, shared),
        causal=causal,
        scale=scale,
        dropout=dropout,
    )
    if observer is not None:
        observer(AttendCall(query, key, attended, shared, bias, mask, pair_mask, causal, scale))
    return layout.unfold(folded, query, value.shape[-1])


@dataclass(frozen=True)
class AttendCall:
    """The inputs that determine the map of one call of `attend`; axes sorted and non-negative."""

    query: Tensor
    key: Tensor
    axes: list[int]
    tied: list[int]
    bias: Tensor | None
    mask: Tensor | None
    pair_mask: Tensor | None
    causal: bool
    scale: float | None


#: Receives every call while maps are recorded. A plain global: a context variable would break compiled graphs.
observer: Callable[[AttendCall], None] | None = None


@dataclass(frozen=True)
class Layout:
    """Mapping of `(batch, *grid, heads, dim)` to the kernel's `(batch before, after heads, attended, tied dim)`.

    `order` permutes the former's dimensions into the latter's; the other fields count the grid axes of each part.
    """

    order: list[int]
    before: int
    after: int
    attended: int

    def fold(self, tensor: Tensor) -> Tensor:
        """Reshape to the kernel's four axes: a view where the strides allow it, else one copy."""
        moved = tensor.permute(self.order)
        heads = 1 + self.before
        length = heads + self.after + 1
        features = length + self.attended
        parts = ((0, heads), (heads, length), (length, features), (features, moved.ndim))
        return moved.reshape([_size(moved.shape[start:stop]) for start, stop in parts])

    def unfold(self, folded: Tensor, query: Tensor, value_dim: int) -> Tensor:
        """Inverse of `fold`, on the grid of the query."""
        sizes = [query.shape[axis] for axis in self.order[:-1]]
        inverse = [self.order.index(axis) for axis in range(len(self.order))]
        return folded.reshape(*sizes, value_dim).permute(inverse)

    def visible(self, key: Tensor, mask: Tensor | None, pair_mask: Tensor | None, tied: list[int]) -> Tensor | None:
        """Combine both masks, broadcastable to `(batch before, after heads, queries, keys)`; None if there are none."""
        visible = None
        if mask is not None:
            tokens = mask.expand(key.shape[0], *key.shape[1:-2])[..., None, None]
            for axis in tied:
                tokens = tokens.any(axis + 1, keepdim=True)
            visible = self.fold(tokens)[..., 0][:, :, None]
            if self.after:
                visible = visible.repeat_interleave(key.shape[-2], 1)
        if pair_mask is not None:
            lines = _size([key.shape[axis] for axis in self.order[1 : 1 + self.before]])
            pairs = pair_mask if pair_mask.shape[0] == 1 else pair_mask.repeat_interleave(lines, 0)
            visible = pairs[:, None] if visible is None else pairs[:, None] & visible
        return visible


def _checked(
    query: Tensor, key: Tensor, value: Tensor, axes: Sequence[int], tied: Sequence[int], causal: bool
) -> tuple[list[int], list[int]]:
    """Validate the arguments; return the attended and the tied axes, sorted and non-negative."""
    rank = query.ndim - 3
    attended, shared = (sorted(axis + rank if axis < 0 else axis for axis in group) for group in (axes, tied))
    every = attended + shared
    if not attended or min(every) < 0 or max(every) >= rank or len(set(every)) < len(every):
        tied_axes = f" and tied {tuple(tied)}" if tied else ""
        raise ValueError(f"axes: found {tuple(axes)}{tied_axes}, expected distinct axes of a grid of rank {rank}")
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(f"value: found shape {tuple(value.shape)}, expected the grid and heads of {tuple(key.shape)}")
    for axis in range(-1, rank + 1):  # the batch, the grid, the heads
        if (causal or axis not in attended) and query.shape[axis + 1] != key.shape[axis + 1]:
            raise ValueError(f"key: found shape {tuple(key.shape)}, expected {tuple(query.shape)} but for axes {axes}")
    if causal and len(attended) > 1:
        raise ValueError(f"causal: found {len(attended)} attended axes, expected one")
    return attended, shared


def _size(lengths: Sequence[int]) -> int:
    # A loop, since math.prod over a generator breaks a full-graph compile.
    size = 1
    for length in lengths:
        size *= length
    return size
