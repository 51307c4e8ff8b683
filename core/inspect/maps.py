"""Record the softmax attention maps of a running model without changing its outputs."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from transect.core.attention.attend import AttendCall, Layout
from transect.core.attention.kernel import attention_weights
from transect.core.inspect.measures import entropy, mean_distance

# Imported by name: in the package, the attribute `attend` is the function, not the module.
_attend = importlib.import_module("transect.core.attention.attend")


@dataclass(frozen=True)
class AttentionMap:
    r"""`w_ij = softmax_j(scale q_i . k_j + bias_ij)` of one call of `attend`, computed on demand.

    It stores q and k, as views of the model's tensors; every method recomputes the map, in float32 or above: `2 N L D`
    floating-point operations and `N L` numbers per head, for N tokens that attend over L.

    Grid axes are those of the call. A mechanism that flattens its tokens before the attention (windows, folded grids)
    has flattened axes: `unflatten` restores the grid.
    """

    name: str  # dotted name of the innermost module that made the call, "" for the recorded module itself
    call: AttendCall

    @property
    def axes(self) -> list[int]:
        """The attended grid axes, in order."""
        return self.call.axes

    @property
    def tied(self) -> list[int]:
        """The grid axes along which this map is shared."""
        return self.call.tied

    @property
    def query_grid(self) -> tuple[int, ...]:
        """Lengths of the grid of the queries."""
        return tuple(self.call.query.shape[1:-2])

    @property
    def key_grid(self) -> tuple[int, ...]:
        """Lengths of the grid of the keys; they differ along the attended axes only."""
        return tuple(self.call.key.shape[1:-2])

    def weights(self) -> Tensor:
        """`(batch, *other axes, heads, queries, keys)`.

        Queries and keys run over the attended axes in row-major order; other axes are neither attended nor tied. Rows
        sum to one, or are zero where a query has no visible key.
        """
        call, others = self.call, self._others
        heads = call.query.ndim - 2
        order = [axis + 1 for axis in (*others, heads - 1, *call.axes, *call.tied)]
        layout = Layout([0, *order, heads + 1], len(others), 0, len(call.axes))
        dtype = torch.promote_types(call.query.dtype, torch.float32)
        with torch.no_grad():
            weights = attention_weights(
                layout.fold(call.query.to(dtype)),
                layout.fold(call.key.to(dtype)),
                call.bias,
                layout.visible(call.key, call.mask, call.pair_mask, call.tied),
                causal=call.causal,
                scale=call.scale,
            )
        return torch.unflatten(weights, 0, [len(call.query), *(self.query_grid[axis] for axis in others)])

    def entropy(self) -> Tensor:
        """Entropy of each row in nats: `(batch, *query_grid, heads)`, tied axes of length 1; 0 if no key is visible."""
        return self._on_grid(entropy(self.weights()))

    def distance(self, spacing: Sequence[float] | None = None) -> Tensor:
        r"""Mean attention distance `sum_j w_ij |x_i - x_j|`, Euclidean along the attended axes.

        If the grids of queries and keys differ in length, they are assumed to cover the same extent: the centre of
        key cell j of S_k is at `(j + 1/2) S_q / S_k - 1/2` in cells of the queries' S_q.

        Args:
            spacing: length of a query cell along each attended axis, by default 1.

        Returns:
            `(batch, *query_grid, heads)`, tied axes of length 1, in cells or in the unit of `spacing`.

        Raises:
            ValueError: the number of spacings differs from that of the attended axes.
        """
        weights = self.weights()
        queries, keys = ([grid[axis] for axis in self.axes] for grid in (self.query_grid, self.key_grid))
        ratios = weights.new_tensor([key / query for query, key in zip(queries, keys, strict=True)])
        places = torch.stack(
            torch.meshgrid([weights.new_tensor(range(length)) for length in queries], indexing="ij"), -1
        )
        in_key_cells = (places.flatten(0, -2) + 0.5) * ratios - 0.5
        cell = weights.new_tensor([1.0] * len(queries) if spacing is None else list(spacing))
        if len(cell) != len(queries):
            raise ValueError(f"spacing: found {len(cell)} lengths, expected one for each attended axis of {self.axes}")
        return self._on_grid(mean_distance(torch.unflatten(weights, -1, keys), in_key_cells, (cell / ratios).tolist()))

    def at(self, place: Sequence[int]) -> Tensor:
        """Weights of the query at `place` of the query grid: `(batch, heads, *key_grid)`, zero off its line.

        The sum over the maps of a mechanism's axes is its whole attention. Computes the map of one line only.

        Raises:
            ValueError: the place is not on the grid.
        """
        grid = self.query_grid
        if len(place) != len(grid) or any(not 0 <= i < length for i, length in zip(place, grid, strict=True)):
            raise ValueError(f"place: found {tuple(place)}, expected one on the grid {grid}")
        own = [slice(i, i + 1) if axis in self._others else slice(None) for axis, i in enumerate(place)]
        line = (slice(None), *own)
        call = self.call
        mask = None if call.mask is None else call.mask.expand(-1, *self.key_grid)[line]
        weights = replace(self, call=replace(call, query=call.query[line], key=call.key[line], mask=mask)).weights()
        row = 0
        for axis in self.axes:
            row = row * grid[axis] + place[axis]
        batch, heads = len(weights), weights.shape[-3]
        whole = weights.new_zeros(batch, heads, *self.key_grid)
        read = [slice(None) if axis in self.axes else i for axis, i in enumerate(place)]
        lengths = [self.key_grid[axis] for axis in self.axes]
        whole[(slice(None), slice(None), *read)] = weights[..., row, :].reshape(batch, heads, *lengths)
        return whole

    def unflatten(self, axis: int, lengths: Sequence[int], key_lengths: Sequence[int] | None = None) -> "AttentionMap":
        """The map with grid axis `axis` (from 0) split into several, `lengths` for queries, `key_lengths` for keys."""
        call, more = self.call, len(lengths) - 1
        mask = None if call.mask is None else call.mask.expand(-1, *self.key_grid)
        keys = lengths if key_lengths is None else key_lengths

        def renumbered(axes: list[int]) -> list[int]:
            moved = [range(a, a + more + 1) if a == axis else [a + more * (a > axis)] for a in axes]
            return [a for group in moved for a in group]

        return replace(
            self,
            call=replace(
                call,
                query=torch.unflatten(call.query, axis + 1, lengths),
                key=torch.unflatten(call.key, axis + 1, keys),
                mask=None if mask is None else torch.unflatten(mask, axis + 1, keys),
                axes=renumbered(call.axes),
                tied=renumbered(call.tied),
            ),
        )

    @property
    def _others(self) -> list[int]:
        return [axis for axis in range(len(self.query_grid)) if axis not in self.axes and axis not in self.tied]

    def _on_grid(self, values: Tensor) -> Tensor:
        """`(batch, *other axes, heads, queries)` to `(batch, *query_grid, heads)`, tied axes of length 1."""
        others, heads = self._others, -1
        values = torch.unflatten(values, -1, [self.query_grid[axis] for axis in self.axes])
        values = values[(..., *[None] * len(self.tied))]
        order = [*others, heads, *self.axes, *self.tied]
        return values.permute(0, *(1 + order.index(axis) for axis in (*range(len(self.query_grid)), heads)))


@contextmanager
def record(model: nn.Module) -> Iterator[list[AttentionMap]]:
    """Context manager that collects the map of every softmax attention inside `model`, in the order of the calls.

    `with record(model) as maps: model(x)`. Outputs and gradients are bit-identical to a run without it, since nothing
    extra is computed. Queries and keys are kept as views, `2 N D` numbers per call; this keeps alive the storage that
    they share with the values. Recordings nest; only one thread may record at a time.

    Mechanisms without a softmax map, and axes of length 1, record nothing: use `influence` for them. For a compiled
    model, record the eager module.
    """
    maps: list[AttentionMap] = []
    running: list[str] = []
    previous = _attend.observer

    def observe(call: AttendCall) -> None:
        if running:
            bias = None if call.bias is None else call.bias.detach()
            kept = replace(call, query=call.query.detach(), key=call.key.detach(), bias=bias)
            maps.append(AttentionMap(running[-1], kept))
        if previous is not None:
            previous(call)

    def leave(*_: object) -> None:
        running.pop()

    handles = []
    for name, module in model.named_modules():
        if type(module).__module__.startswith("torch."):
            continue  # These never call `attend`, and hooks would disable the fused path of some.
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: running.append(name), prepend=True))
        handles.append(module.register_forward_hook(leave, always_call=True))
    _attend.observer = observe  # type: ignore[attr-defined]
    try:
        yield maps
    finally:
        _attend.observer = previous  # type: ignore[attr-defined]
        for handle in handles:
            handle.remove()
