"""Folded cross-attention equals multi-head attention on the repeated context."""

import pytest
import torch
from torch import Tensor, nn

from tests.core.helpers import close, randomised
from transect.core.attention.few_query import FewQueryAttention
from transect.core.attention.folded_cross import FoldedCrossAttention


def folded(dim: int = 8, heads: int = 2, **options) -> FoldedCrossAttention:
    return randomised(FoldedCrossAttention(dim, heads, **options))


def from_multi_head(peer: nn.MultiheadAttention) -> FoldedCrossAttention:
    """The same weights, arranged as (heads, 2, head_dim) for k and v."""
    module = FoldedCrossAttention(peer.embed_dim, peer.num_heads, qkv_bias=True).to(peer.in_proj_weight.dtype).eval()
    for name in ("weight", "bias"):
        query, key, value = getattr(peer, f"in_proj_{name}").detach().chunk(3)
        pairs = torch.stack([part.unflatten(0, (peer.num_heads, -1)) for part in (key, value)], 1)
        getattr(module.query, name).data = query
        getattr(module.key_value, name).data = pairs.flatten(0, 2)
        getattr(module.out, name).data = getattr(peer.out_proj, name).detach()
    return module


def multi_head() -> nn.MultiheadAttention:
    torch.manual_seed(2)
    peer = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return peer


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 1, 3), (2, 3, 2, 2)])
def test_equals_multi_head_attention_on_the_expanded_context(grid, masked):
    peer = multi_head()
    x, context = torch.randn(3, *grid, 8).double(), torch.randn(3, 7, 8).double()
    mask = torch.arange(7) < torch.tensor([[4], [7], [1]]) if masked else None
    rows = x.flatten(1, -3) if len(grid) > 1 else x[:, None]  # (batch, rows, columns, dim)
    count = rows.shape[1]
    expected = peer(
        rows.flatten(0, 1),
        context.repeat_interleave(count, 0),
        context.repeat_interleave(count, 0),
        key_padding_mask=~mask.repeat_interleave(count, 0) if masked else None,
    )[0]
    close(from_multi_head(peer)(x, context, mask), expected.view(x.shape))


def test_projects_each_context_token_once():
    module, seen = folded(), []
    module.key_value.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output.shape)))
    module(torch.randn(2, 10, 4, 8).double(), torch.randn(2, 6, 8).double())
    assert seen == [((2, 6, 8), (2, 6, 16))]


def test_reads_a_context_of_another_width_and_grid():
    module = folded(context_dim=5)
    x, context, mask = torch.randn(2, 3, 8).double(), torch.randn(2, 4, 3, 5).double(), torch.rand(2, 4, 3) < 0.7
    close(module(x, context, mask), module(x, context.flatten(1, 2), mask.flatten(1)))


def test_a_hidden_token_is_an_absent_one():
    module = folded()
    x, context = torch.randn(2, 3, 2, 8).double(), torch.randn(2, 6, 8).double().requires_grad_()
    mask = torch.tensor([True, True, False, True, False, False])[None]
    found = module(x, context, mask)
    close(found, module(x, context[:, mask[0]]))
    (gradient,) = torch.autograd.grad(found.square().sum(), context)
    assert torch.equal(gradient.abs().amax((0, 2)) > 0, mask[0])


def test_masks_belong_to_their_sample_and_nothing_to_read_gives_zeros():
    module = folded(qkv_bias=True)
    x, context = torch.randn(2, 3, 8).double().requires_grad_(), torch.randn(2, 4, 8).double()
    mask = torch.tensor([[False] * 4, [True, False, True, True]])
    found = module(x, context, mask)
    close(found[0], module.out.bias.expand(3, 8))
    close(found[1:], module(x[1:], context[1:], mask[1:]))
    found.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in (x, *module.parameters()))


def test_order_of_queries_and_of_context():
    module = folded()
    x, context = torch.randn(2, 4, 3, 8).double(), torch.randn(2, 5, 8).double()
    rows, tokens = torch.randperm(4), torch.randperm(5)
    close(module(x[:, rows], context[:, tokens]), module(x, context)[:, rows])


def test_strides_do_not_matter():
    module = folded()
    x, context = torch.randn(2, 4, 3, 8).double(), torch.randn(2, 5, 8).double()
    strided = [tensor.transpose(1, -1).contiguous().transpose(1, -1) for tensor in (x, context)]
    assert not any(tensor.is_contiguous() for tensor in strided)
    close(module(*strided), module(x, context))


def test_gradients_by_finite_differences():
    module = folded(4, 2, context_dim=3, qkv_bias=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, context: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, context, mask))

    inputs = [torch.randn(2, 2, 2, 4).double(), torch.randn(2, 3, 3).double(), *module.parameters()]
    assert torch.autograd.gradcheck(function, [tensor.detach().requires_grad_() for tensor in inputs])


@pytest.mark.parametrize("fields", ["field_cross_attention", "field_cross_attention_F1"])
def test_one_learned_query_over_fields_equals_the_reference(fixtures, fields):
    case = torch.load(fixtures / "pde" / "morph_modules.pt", weights_only=True)[fields]
    tokens, state = case["args"][0], dict(case["state_dict"])
    query = state.pop("q").expand(len(tokens), -1, -1)
    peer = nn.MultiheadAttention(32, 8, batch_first=True)
    peer.load_state_dict({name.removeprefix("attn."): tensor for name, tensor in state.items()})
    torch.testing.assert_close(from_multi_head(peer)(query, tokens)[:, 0], case["output"], rtol=0, atol=1e-6)
    few = FewQueryAttention(32, 8)  # the faster algorithm for few queries
    few.load_state_dict(peer.state_dict())
    torch.testing.assert_close(few(query, tokens, tokens)[:, 0], case["output"], rtol=0, atol=1e-6)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="dim: found 6, expected a multiple of heads = 4"):
        FoldedCrossAttention(6, 4)
    with pytest.raises(ValueError, match="context: found a batch of 3, expected 2"):
        folded()(torch.randn(2, 3, 8).double(), torch.randn(3, 3, 8).double())
