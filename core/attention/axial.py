"""Axial attention: attention along one axis of the grid at a time."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transect.core.attention.attend import attend

#: Most tokens for which "auto" uses full attention; up to about here one joint product is cheaper.
FULL_ATTENTION_TOKENS = 128


class AxialAttention(nn.Module):
    r"""Multi-head self-attention along each axis of a channel-last grid, for any rank.

    With `A_i(x) = attend(q, k, v, axis i)` and `q, k, v = W_qkv,i x` for each axis i of the d attended ones::

        order "sum":          y = sum_i (W_o,i A_i(x) + b_i)
        order "sequential":   x_0 = x,  x_i = W_o,i A_i(x_{i-1}) + b_i,  y = x_d
        order "concatenate":  y = W_o [A_1(x); ...; A_d(x)] + b,  heads / d separate heads for each A_i

    Residual connection and normalization are left to the enclosing block. Cost `4 N dim sum_i S_i` floating-point
    operations for N tokens on a grid `S_1 x ... x S_d`, plus `8 N dim^2` for each set of projections; full attention
    costs `4 N^2 dim`. Memory is linear in N.

    Args:
        dim: channels of a token.
        heads: number of heads of each axis; with order "concatenate", of all axes together.
        ndim: rank of the grid.
        axes: grid axes to attend along, by default all; the others are batch.
        order: how the axes are combined, see above.
        share: one set of projections for all axes: 1/d of the parameters and, with order "sum", of their time.
        causal: a token attends to itself and to earlier tokens only.
        qkv_bias: whether queries, keys and values have a bias.
        attention: "full" attends over all `axes` jointly with one set of projections; "auto" does so up to 128 tokens,
            where that is cheaper, and is axial with shared projections above. The two are different functions, so
            train "auto" on the side of the limit where it will be used.
        dropout: probability of dropping an attention weight in training.

    Shapes: `(batch, *grid, dim)` in, the same out.

    Raises:
        ValueError: dim is no multiple of heads, or the options contradict each other.

    Source: Ho et al., "Axial Attention in Multidimensional Transformers" (2019), section 3; heads split between
    the axes: Dong et al., "CSWin Transformer" (2022), section 3.2.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        *,
        ndim: int = 2,
        axes: Sequence[int] | None = None,
        order: Literal["sum", "sequential", "concatenate"] = "sum",
        share: bool = False,
        causal: bool = False,
        qkv_bias: bool = False,
        attention: Literal["axial", "full", "auto"] = "axial",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.axes = tuple(range(ndim)) if axes is None else tuple(axes)
        if dim % heads:
            raise ValueError(f"dim: found {dim}, expected a multiple of heads = {heads}")
        if order not in ("sum", "sequential", "concatenate"):
            raise ValueError(f"order: found {order!r}, expected 'sum', 'sequential' or 'concatenate'")
        if order == "concatenate" and heads % len(self.axes):
            raise ValueError(f"heads: found {heads}, expected a multiple of the {len(self.axes)} axes that share them")
        if attention not in ("axial", "full", "auto"):
            raise ValueError(f"attention: found {attention!r}, expected 'axial', 'full' or 'auto'")
        if attention != "axial" and (causal or not (share or order == "concatenate")):
            raise ValueError(f"attention: found {attention!r}, expected share=True and not causal, or 'axial'")
        self.heads, self.ndim, self.order, self.causal, self.attention = heads, ndim, order, causal, attention
        self.dropout = dropout
        self._cache: tuple[list[tuple[object, ...]], Tensor, Tensor] | None = None
        sets = 1 if share or order == "concatenate" else len(self.axes)
        self.qkv = nn.ModuleList(nn.Linear(dim, 3 * dim, bias=qkv_bias) for _ in range(sets))
        self.out = nn.ModuleList(nn.Linear(dim, dim) for _ in range(sets))

    def forward(self, x: Tensor, mask: Tensor | None = None, bias: Sequence[Tensor | None] | None = None) -> Tensor:
        """Mix `x` `(batch, *grid, dim)`.

        Args:
            x: the tokens.
            mask: `(batch | 1, *grid)`, True where a token may be attended to.
            bias: axis_bias to the logits, for each attended axis `(heads | 1, length, length)` or None; full attention
                adds the sum of all axes.
        """
        if x.ndim != self.ndim + 2:
            raise ValueError(f"x: found rank {x.ndim}, expected (batch, {self.ndim} grid axes, dim)")
        if self.attention == "full" or (self.attention == "auto" and self._tokens(x) <= FULL_ATTENTION_TOKENS):
            joint = None if bias is None else self._joint(bias, x.shape[1:-1])
            return self._project(0, self._attend(*self._read(0, x), self.axes, mask, joint))
        biases = [None] * len(self.axes) if bias is None else bias
        axes = list(zip(self.axes, biases, strict=True))
        if self.order == "concatenate":
            queries, keys, values = (tensor.chunk(len(self.axes), -2) for tensor in self._read(0, x))
            mixed = [
                self._attend(query, key, value, (axis,), mask, axis_bias)
                for (axis, axis_bias), query, key, value in zip(axes, queries, keys, values, strict=True)
            ]
            return self._project(0, torch.cat(mixed, -2))
        if self.order == "sequential":
            for index, (axis, axis_bias) in enumerate(axes):
                x = self._project(index, self._along(index, axis, x, mask, axis_bias))
            return x
        if len(self.qkv) == 1:
            query, key, value = self._read(0, x)
            total = self._attend(query, key, value, self.axes[:1], mask, biases[0])
            for axis, axis_bias in axes[1:]:
                total = total + self._attend(query, key, value, (axis,), mask, axis_bias)
            # The output projection is linear, so the sum is projected once.
            return self._project(0, total)
        singletons = [index for index, axis in enumerate(self.axes) if x.shape[1:-1][axis] == 1 and mask is None]
        merged = self._merged(singletons)
        terms = [] if merged is None else [F.linear(x, *merged)]
        for index, (axis, axis_bias) in enumerate(axes):
            if merged is None or index not in singletons:
                terms.append(self._project(index, self._along(index, axis, x, mask, axis_bias)))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _merged(self, singletons: Sequence[int]) -> tuple[Tensor, Tensor] | None:
        """Combined weight and bias of the axes of length one, `sum_i W_o,i (W_v,i x + b_v,i) + b_i`.

        Computing them costs as much as mapping `dim` tokens, so they are cached until a parameter is replaced, moved
        or modified in place (changes through `.data` go unnoticed). None where gradients or a compiled graph need the
        separate maps, or where the weights are recomputed at each access (parametrizations).
        """
        if not singletons or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        layers = [self._set(part, index) for index in singletons for part in (self.qkv, self.out)]
        parameters = [tensor for layer in layers for tensor in layer.parameters(recurse=False)]
        if any("weight" not in dict(layer.named_parameters(recurse=False)) for layer in layers) or any(
            not isinstance(tensor, nn.Parameter) or tensor.is_inference() for tensor in parameters
        ):
            return None
        state: list[tuple[object, ...]] = [
            (id(tensor), tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in parameters
        ]
        cached = self._cache
        if cached is None or cached[0] != state:
            maps, biases = [], []
            with torch.autocast(parameters[0].device.type, enabled=False):
                for index in singletons:
                    (weight, bias), out = self._value_rows(index), self._set(self.out, index)
                    maps.append(out.weight @ weight)
                    biases.append(out.bias if bias is None else F.linear(bias, out.weight, out.bias))
            self._cache = cached = state, torch.stack(maps).sum(0), torch.stack(biases).sum(0)
        return cached[1:]

    def _along(self, index: int, axis: int, x: Tensor, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        """`A_i(x)` as `(batch, *grid, heads, head_dim)`."""
        if x.shape[1:-1][axis] == 1 and mask is None:
            # A single token attends to itself only, so query and key have no effect.
            return torch.unflatten(F.linear(x, *self._value_rows(index)), -1, (self.heads, -1))
        return self._attend(*self._read(index, x), (axis,), mask, bias)

    def _value_rows(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the value projection."""
        qkv = self._set(self.qkv, index)
        weight = torch.unflatten(qkv.weight, 0, (self.heads, 3, -1))[:, 2].flatten(0, 1)
        bias = None if qkv.bias is None else torch.unflatten(qkv.bias, 0, (self.heads, 3, -1))[:, 2].flatten()
        return weight, bias

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        axes: Sequence[int],
        mask: Tensor | None,
        bias: Tensor | None = None,
    ) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return attend(query, key, value, axes, bias=bias, mask=mask, causal=self.causal, dropout=dropout)

    def _read(self, index: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value `(batch, *grid, heads, head_dim)`."""
        # q, k and v are adjacent for each token and head, so folding any axis is a view.
        query, key, value = torch.unflatten(self._set(self.qkv, index)(x), -1, (self.heads, 3, -1)).unbind(-2)
        return query, key, value

    def _project(self, index: int, mixed: Tensor) -> Tensor:
        out: Tensor = self._set(self.out, index)(mixed.flatten(-2))
        return out

    def _set(self, projections: nn.ModuleList, index: int) -> nn.Linear:
        """The projection of axis `index`, or the only one if projections are shared."""
        projection = projections[min(index, len(projections) - 1)]
        assert isinstance(projection, nn.Linear)
        return projection

    def _tokens(self, x: Tensor) -> int:
        """Number of tokens that full attention would attend over jointly."""
        tokens = 1
        for axis in self.axes:
            tokens *= x.shape[1:-1][axis]
        return tokens

    def _joint(self, biases: Sequence[Tensor | None], grid: Sequence[int]) -> Tensor:
        """The sum of the axes' biases for all tokens in row-major order, `(heads | 1, tokens, tokens)`."""
        total = self._set(self.out, 0).weight.new_zeros(1, 1, 1)
        for axis, bias in sorted(zip(self.axes, biases, strict=True), key=lambda pair: pair[0]):
            own = total.new_zeros(1, grid[axis], grid[axis]) if bias is None else bias
            pairs = total[:, :, None, :, None] + own[:, None, :, None, :]
            total = pairs.flatten(3, 4).flatten(1, 2)
        return total
