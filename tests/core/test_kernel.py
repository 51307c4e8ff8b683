"""Every path of the kernel against one formula in float64, path selection, and compilation."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from transect.core.attention import attend, kernel

BATCH, HEADS, QUERIES, DIM = 2, 3, 7, 4
OPTIONS = list(itertools.product([False, True], [False, True], [False, True]))


def inputs(keys: int, dtype: torch.dtype = torch.float64, queries: int = QUERIES) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(BATCH, HEADS, length, DIM).to(dtype) for length in (queries, keys, keys)]


def formula(query, key, value, bias, visible, causal, scale) -> Tensor:
    query, key, value = query.double(), key.double(), value.double()
    logits = scale * query @ key.transpose(-1, -2)
    if bias is not None:
        logits = logits + bias.double()
    seen = torch.ones_like(logits, dtype=torch.bool) if visible is None else visible.expand_as(logits)
    if causal:
        seen = seen & torch.ones(logits.shape[-2:], dtype=torch.bool).tril()
    return logits.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num(0.0) @ value


class Calls(TorchFunctionMode):
    """The ranks of the tensors passed to the fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.ranks: list[int] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.ranks += [tensor.ndim for tensor in args]
        return func(*args, **(kwargs or {}))


# Few keys take explicit products, many the fused kernel.
@pytest.mark.parametrize("keys", [kernel.FEW_KEYS - 3, kernel.FEW_KEYS + 5])
@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(("biased", "masked", "causal"), OPTIONS)
def test_every_path_is_the_formula(keys, trains, biased, masked, causal):
    query, key, value = (tensor.requires_grad_(trains) for tensor in inputs(keys, queries=keys if causal else QUERIES))
    bias = torch.randn(HEADS, query.shape[2], keys, dtype=torch.float64, requires_grad=trains) if biased else None
    visible = torch.rand(BATCH, 1, 1, keys) < 0.6 if masked else None
    if visible is not None:
        visible[0] = False
    given = {"bias": bias, "visible": visible, "causal": causal, "scale": 0.7}
    found = kernel.softmax_attention(query, key, value, **given)
    expected = formula(query, key, value, bias, visible, causal, 0.7)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    if trains:
        leaves = [tensor for tensor in (query, key, value, bias) if tensor is not None]
        towards = torch.randn_like(found)
        for one, other in zip(
            torch.autograd.grad(found, leaves, towards), torch.autograd.grad(expected, leaves, towards), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "dim", "trains", "bias_trains", "fused"),
    [
        (16, 32, False, False, False),
        (17, 32, False, False, True),
        (16, 33, False, False, True),
        (16, 32, True, False, False),
        (17, 32, True, False, True),
        (100, 256, False, False, True),
        (100, 257, False, False, False),
        (100, 257, True, False, False),
        (257, 257, False, False, False),
        (258, 257, False, False, True),
        (100, 32, True, True, False),
        (100, 32, False, True, True),
    ],
)
def test_the_path_follows_the_sizes_and_the_gradients(keys, dim, trains, bias_trains, fused):
    query, key, value = (torch.randn(BATCH, HEADS, length, dim) for length in (QUERIES, keys, keys))
    query.requires_grad_(trains)
    bias = torch.zeros(HEADS, QUERIES, keys, requires_grad=bias_trains) if bias_trains else None
    with torch.set_grad_enabled(trains), Calls() as calls:
        kernel.softmax_attention(query, key, value, bias, scale=1.0)
    assert calls.ranks == ([4, 4, 4] if fused else [])


@pytest.mark.parametrize("keys", [8, 64, 256])
@pytest.mark.parametrize("trains", [False, True])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.bfloat16, 2.5e-3), (torch.float16, 3.5e-4)])
def test_short_numbers_lose_only_their_own_digits(keys, trains, dtype, limit):
    query, key, value = (tensor.requires_grad_(trains) for tensor in inputs(keys, dtype, queries=64))
    found = kernel.softmax_attention(query, key, value, scale=DIM**-0.5)
    expected = formula(query, key, value, None, None, False, DIM**-0.5)
    assert found.dtype == dtype
    error = (found.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < limit


@pytest.mark.parametrize("keys", [8, 64])
@pytest.mark.parametrize("trains", [False, True])
def test_autocast_rounds_nothing_inside(keys, trains):
    query, key, value = (tensor.requires_grad_(trains) for tensor in inputs(keys, torch.bfloat16, queries=64))
    expected = formula(query, key, value, None, None, False, DIM**-0.5)
    with torch.autocast("cpu", torch.bfloat16):
        found = kernel.softmax_attention(query, key, value, scale=DIM**-0.5)
    error = (found.double() - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < 2.5e-3


@pytest.mark.parametrize("keys", [8, 64])
def test_dropout_drops_weights_and_lets_the_others_grow(keys):
    query, key, _ = inputs(keys)
    each = torch.eye(keys, dtype=torch.float64).expand(BATCH, HEADS, keys, keys)
    weights = kernel.softmax_attention(query, key, each, scale=0.7)
    dropped = kernel.softmax_attention(query, key, each, scale=0.7, dropout=0.25)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / 0.75, rtol=1e-12, atol=0)
    assert 0.65 < kept.double().mean() < 0.85


def test_large_logits_do_not_overflow():
    for keys in (8, 64):
        query, key, value = inputs(keys, torch.float32)
        found = kernel.softmax_attention(1e4 * query, 1e4 * key, value, scale=1.0)
        expected = formula(1e4 * query, 1e4 * key, value, None, None, False, 1.0)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("batch", "heads"), [(11, 2), (2, 11), (7, 7)])
@pytest.mark.parametrize("options", ["plain", "causal", "bias", "shared bias", "mask"])
def test_parts_of_a_long_batch_or_of_many_heads_are_the_whole(monkeypatch, batch, heads, options):
    """Chunking on a GPU when the folded axes exceed the limit of a CUDA grid."""
    monkeypatch.setattr(kernel, "CUDA_GRID_LIMIT", 4)
    torch.manual_seed(0)
    query, key, value = (torch.randn(batch, heads, 5, DIM, dtype=torch.float64) for _ in range(3))
    bias = {"bias": torch.randn(heads, 5, 5), "shared bias": torch.randn(1, 5, 5)}.get(options)
    visible = torch.rand(batch, 1, 1, 5) < 0.7 if options == "mask" else None
    causal = options == "causal"
    found = kernel._in_parts(query, key, value, bias, visible, causal, 0.5, 0.0)
    torch.testing.assert_close(found, formula(query, key, value, bias, visible, causal, 0.5), rtol=1e-12, atol=1e-13)


def permuted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention along the first axis of a two-dimensional grid without folding."""
    query, key, value = (tensor.transpose(1, -2) for tensor in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value).transpose(1, -2)


def test_the_fused_kernel_is_never_given_more_than_four_axes():
    for rank in (1, 2, 3, 4):
        query = torch.randn(2, *(3,) * (rank - 1), 40, HEADS, DIM)
        with torch.no_grad(), Calls() as calls:
            attend(query, query, query, (rank - 1,))
            attend(query.movedim(-3, 1), query.movedim(-3, 1), query.movedim(-3, 1), (0,))
        assert calls.ranks == 6 * [4]


@pytest.mark.skipif(
    not torch.__version__.startswith("2.14."),
    reason="Inductor's fault was seen in torch 2.14, another one is installed",
)
def test_five_axes_are_what_the_compiler_gets_wrong():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, 4, 4, 8) for _ in range(3))
    expected = permuted(query, key, value)
    assert (torch.compile(permuted)(query, key, value) - expected).abs().max() > 0.1
    # The same attention by the primitive: the middle axes are batch, the last but one acts as heads.
    fold = lambda q, k, v: attend(q, k, v, (0,))  # noqa: E731
    found = torch.compile(fold)(query, key, value)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
