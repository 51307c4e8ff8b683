"""Few-query attention with a query shared by the batch, and with single tokens."""

import pytest
import torch
from torch import Tensor, nn

from transect.core.attention import FewQueryAttention


def few_query(dim: int = 12, heads: int = 3) -> FewQueryAttention:
    torch.manual_seed(0)
    module = FewQueryAttention(dim, heads)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def reference(module: FewQueryAttention, query: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Torch's own multi-head attention with the same parameters."""
    peer = nn.MultiheadAttention(query.shape[-1], module.heads, batch_first=True).double()
    peer.load_state_dict(module.state_dict())
    query = query.expand(len(tokens), -1, -1)
    hidden = None if mask is None else ~mask.repeat_interleave(module.heads, 0)
    return peer(query, tokens, tokens, attn_mask=hidden, need_weights=False)[0]


@pytest.mark.parametrize("queries", [1, 2])
@pytest.mark.parametrize("tokens", [1, 3, 20])
@pytest.mark.parametrize("shared", [True, False])
def test_equals_multi_head_attention(queries, tokens, shared):
    module = few_query()
    query = torch.randn(1 if shared else 5, queries, 12).double().requires_grad_()
    key = torch.randn(5, tokens, 12).double().requires_grad_()
    inputs = [query, key, *module.parameters()]
    direction = torch.randn(5, queries, 12).double()
    found, expected = module(query, key, key), reference(module, query, key)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
    of_inputs = torch.autograd.grad((found * direction).sum(), inputs[:2], allow_unused=tokens == 1)
    for ours, theirs in zip(of_inputs, torch.autograd.grad((expected * direction).sum(), inputs[:2]), strict=True):
        ours = torch.zeros_like(theirs) if ours is None else ours
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_shared_query_sees_what_its_mask_shows(tokens):
    module = few_query()
    query, key = torch.randn(1, 2, 12).double(), torch.randn(5, tokens, 12).double()
    mask = torch.rand(5, 2, tokens) < 0.6
    mask[..., 0] = True
    torch.testing.assert_close(
        module(query, key, key, mask), reference(module, query, key, mask), rtol=1e-10, atol=1e-11
    )


def test_a_shared_query_never_projects_keys():
    module = few_query()
    query, key = torch.randn(1, 1, 12).double(), torch.randn(5, 3, 12).double()
    shapes = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is torch.nn.functional.linear:
                shapes.append((args[0].shape[-2], args[1].shape[0]))
            return function(*args, **(kwargs or {}))

    with Spy():
        module(query, key, key)
    # Query, scores of three heads, values, output: no second full-width projection of the tokens.
    assert shapes.count((3, 12)) == 1
