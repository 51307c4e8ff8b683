"""Kernel selection for softmax attention; the only caller of `scaled_dot_product_attention`."""

from collections.abc import Iterable
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor

# On a CPU explicit batched products beat the fused kernel for up to FEW_KEYS keys of SHORT_FEATURES features, which
# are smaller than its blocks, and above LONG_FEATURES features, for which it is not optimized.
FEW_KEYS, SHORT_FEATURES, LONG_FEATURES = 16, 32, 256
# CUDA kernels map the batch and the heads to grid axes with this maximum size.
CUDA_GRID_LIMIT = 65535


def softmax_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    r"""`softmax(scale q k^T + bias) v` by the fastest path for its lengths, dtype, device and need of gradients.

    ==================================  ==========================================================================
    on a GPU                            the fused kernel (scaled_dot_product_attention)
    on a CPU, few keys, or features     explicit products: the fused kernel is slow for either
    longer than 256 and than the keys
    on a CPU, a bias that is trained,   explicit products: the fused kernel falls back to a slow path
    or dropout
    on a CPU, otherwise                 the fused kernel; its memory is linear in the tokens
    on a CPU, 16-bit numbers            computed in fp32, except bf16 without gradients in the fused kernel
    ==================================  ==========================================================================

    All inputs have rank 4: the Inductor of torch 2.14 miscompiles the fused kernel on permuted inputs of rank 5 and
    above, and eager mode is slow on them.

    Args:
        query: `(batch, heads, queries, dim)`; query, key and value may have any strides.
        key: `(batch, heads, keys, dim)`.
        value: `(batch, heads, keys, value_dim)`.
        bias: `(heads | 1, queries, keys)`.
        visible: bool, `(batch | 1, heads | 1, queries | 1, keys)`; a query without a visible key gives zeros.
        causal: a query attends to the keys up to its own position.
        scale: of the products, `dim ** -0.5` by default.
        dropout: probability of zeroing an attention weight; the others are scaled by `1 / (1 - dropout)`.

    Returns:
        `(batch, heads, queries, value_dim)`.
    """
    if query.device.type == "cuda" and max(query.shape[0], query.shape[1]) > CUDA_GRID_LIMIT:
        return _in_parts(query, key, value, bias, visible, causal, scale, dropout)
    if query.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # Autocast rounds the inputs only, as it does for a fused kernel; products are computed in fp32 here.
        casts = {torch.float32: torch.get_autocast_dtype("cpu")}
        query, key, value = (tensor.to(casts.get(tensor.dtype, tensor.dtype)) for tensor in (query, key, value))
        with torch.autocast("cpu", enabled=False):
            return softmax_attention(query, key, value, bias, visible, causal=causal, scale=scale, dropout=dropout)
    dtype = query.dtype
    trains = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (query, key, value, bias)
    )
    if query.device.type == "cpu":
        if dtype == torch.float16 or (dtype == torch.bfloat16 and trains):
            query, key, value = query.float(), key.float(), value.float()
        biased = trains and bias is not None and bias.requires_grad
        # A compiled graph uses the fused kernel for few keys too: a branch on their number would specialize it.
        if biased or dropout or (not torch.compiler.is_compiling() and _is_small(key)):
            query, key, value = (
                tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in (query, key, value)
            )
            return _explicit(query, key, value, bias, visible, causal, scale, dropout).to(dtype)
    plainly_causal = causal and bias is None and visible is None
    if causal and not plainly_causal:
        visible = _lower(query, key) if visible is None else visible & _lower(query, key)
    mask = visible
    if bias is not None:
        logits = bias.to(query.dtype)[None]
        mask = logits if visible is None else logits.masked_fill(~visible, float("-inf"))
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=plainly_causal, scale=scale, dropout_p=dropout
    )
    return mixed.to(dtype)


def attention_weights(
    query: Tensor,
    key: Tensor,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """The softmax map `(batch, heads, queries, keys)` of `softmax_attention`; rows without a visible key are zero."""
    batch, heads, queries, dim = query.shape
    keys = key.shape[2]
    scale = dim**-0.5 if scale is None else scale
    rows = query.reshape(batch * heads, queries, dim)
    columns = key.reshape(batch * heads, keys, dim).transpose(1, 2)
    if bias is None:
        products = torch.baddbmm(rows.new_empty(()), rows, columns, beta=0, alpha=scale)
    else:
        expanded = bias.to(rows.dtype).expand(batch, heads, queries, keys).reshape(batch * heads, queries, keys)
        products = torch.baddbmm(expanded, rows, columns, alpha=scale)
    logits = products.view(batch, heads, queries, keys)
    if causal:
        visible = _lower(query, key) if visible is None else visible & _lower(query, key)
    if visible is None:
        return logits.softmax(-1)
    # Not -inf: a fully masked row and its gradient would be NaN.
    weights = logits.masked_fill(~visible, torch.finfo(logits.dtype).min).softmax(-1)
    return weights.masked_fill(~visible.any(-1, keepdim=True), 0.0)


def _explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    causal: bool,
    scale: float | None,
    dropout: float,
) -> Tensor:
    weights = attention_weights(query, key, bias, visible, causal=causal, scale=scale)
    if dropout:
        weights = F.dropout(weights, dropout)
    batch, heads, queries, keys = weights.shape
    mixed = weights.view(-1, queries, keys) @ value.reshape(batch * heads, keys, -1)
    return mixed.view(batch, heads, queries, -1)


def _is_small(key: Tensor) -> bool:
    """Few keys of short features, or long features with so few keys that the map is smaller than the keys."""
    keys, dim = key.shape[2:]
    return (keys <= FEW_KEYS and dim <= SHORT_FEATURES) or (dim > LONG_FEATURES and keys <= dim)


def _lower(query: Tensor, key: Tensor) -> Tensor:
    return torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=key.device).tril()


def _in_parts(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    visible: Tensor | None,
    causal: bool,
    scale: float | None,
    dropout: float,
) -> Tensor:
    """Attention in chunks of the longer of batch and heads, each within the CUDA grid limit."""
    axis = 0 if query.shape[0] >= query.shape[1] else 1

    def parts(tensor: Tensor | None, along: int) -> Iterable[Tensor | None]:
        if tensor is None or along < 0 or tensor.shape[along] == 1:
            return repeat(tensor)
        return torch.split(tensor, CUDA_GRID_LIMIT, along)

    tensors = [torch.split(tensor, CUDA_GRID_LIMIT, axis) for tensor in (query, key, value)]
    # The bias has no batch axis.
    mixed = [
        softmax_attention(q, k, v, some_bias, some_visible, causal=causal, scale=scale, dropout=dropout)
        for q, k, v, some_bias, some_visible in zip(*tensors, parts(bias, axis - 1), parts(visible, axis), strict=False)
    ]
    return torch.cat(mixed, axis)
