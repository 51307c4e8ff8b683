"""Tied attention: its equation, independence of padding, and the layer it was published in."""

import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.helpers import close, randomised
from transect.core.attention.axial import AxialAttention
from transect.core.attention.folded_cross import FoldedCrossAttention
from transect.core.attention.tied import TiedAttention


def tied(dim: int = 6, heads: int = 2, **options) -> TiedAttention:
    return randomised(TiedAttention(dim, heads, **options))


def ragged() -> Tensor:
    """Alignments of 3 rows by 5 columns, of 4 by 3 with a gap, and an empty one, in a batch of 4 by 5."""
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[0, :3] = True
    mask[1, :, :3] = True
    mask[1, 2, 1:3] = False
    return mask


def naive(module: TiedAttention, x: Tensor, mask: Tensor, scale: float | None = None) -> Tensor:
    """`(batch, rows, columns, dim)`, one query-key product at a time."""
    batch, rows, columns, dim = x.shape
    size = dim // module.heads
    bias = 0 if module.qkv.bias is None else module.qkv.bias
    q, k, v = (x @ module.qkv.weight.T + bias).view(batch, rows, columns, module.heads, 3, size).unbind(4)
    mixed = torch.zeros(batch, rows, columns, module.heads, size).double()
    for n, head in itertools.product(range(batch), range(module.heads)):
        there = mask[n]
        count = int(there.any(1).sum())
        logits = torch.full((columns, columns), -math.inf).double()
        for i, j in itertools.product(range(columns), range(columns)):
            if there[:, j].any():
                both = [r for r in range(rows) if there[r, i] and there[r, j]]
                votes = sum((q[n, r, i, head] @ k[n, r, j, head] for r in both), torch.tensor(0.0).double())
                logits[i, j] = votes * (scale or (size * count) ** -0.5)
        if count:
            weights = logits.softmax(-1)
            for r in range(rows):
                mixed[n, r, :, head] = weights @ (v[n, r, :, head] * there[r, :, None])
    return mixed.flatten(-2) @ module.out.weight.T + module.out.bias


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_its_equation(masked, bias, scale):
    module = tied(qkv_bias=bias)
    x = torch.randn(3, 4, 5, 6).double()
    mask = ragged() if masked else None
    full = torch.ones(3, 4, 5, dtype=torch.bool)
    close(module(x, mask, scale=scale), naive(module, x, full if mask is None else mask, scale))


def test_a_list_does_not_depend_on_its_padding():
    module = tied(qkv_bias=True)
    small = torch.randn(1, 2, 3, 6).double()
    alone = module(small)
    for rows, columns in ((0, 2), (3, 0), (5, 4)):
        x = torch.randn(2, 2 + rows, 3 + columns, 6).double() * 100
        x[:1, :2, :3] = small
        mask = torch.ones(x.shape[:-1], dtype=torch.bool)
        mask[0, 2:], mask[0, :, 3:] = False, False
        close(module(x, mask)[:1, :2, :3], alone)


def test_the_scale_of_the_padded_batch_is_to_be_had():
    module = tied()
    x, mask = torch.randn(3, 4, 5, 6).double(), ragged()
    padded = module(x, mask, scale=(3 * 4) ** -0.5)
    close(padded, naive(module, x, mask, (3 * 4) ** -0.5))
    close(padded[1], module(x, mask)[1])  # an alignment with all four rows
    assert not torch.allclose(padded[0], module(x, mask)[0])


def test_one_row_is_plain_attention():
    module = tied()
    axial = AxialAttention(6, 2, axes=(1,)).double()
    axial.qkv[0].load_state_dict(module.qkv.state_dict())
    axial.out[0].load_state_dict(module.out.state_dict())
    x = torch.randn(3, 1, 5, 6).double()
    mask = torch.arange(5) < torch.tensor([[[5]], [[2]], [[1]]])
    close(module(x), axial(x))
    close(module(x, mask)[mask], axial(x, mask)[mask])


@pytest.mark.parametrize("masked", [False, True])
def test_order_of_rows_and_of_columns(masked):
    module = tied()
    x, mask = torch.randn(3, 4, 5, 6).double(), ragged()
    rows, columns = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 0, 3, 1, 2])
    moved = module(x[:, rows][:, :, columns], mask[:, rows][:, :, columns] if masked else None)
    close(moved, module(x, mask if masked else None)[:, rows][:, :, columns])


def test_padding_neither_gives_nor_gets_a_gradient():
    module, mask = tied(qkv_bias=True), ragged()
    x = torch.randn(3, 4, 5, 6).double().requires_grad_()
    found = module(x, mask)
    (gradient,) = torch.autograd.grad(found.square().sum(), x, retain_graph=True)
    assert torch.equal(gradient.abs().amax(-1) > 0, mask)
    found.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())


@pytest.mark.parametrize("columns", [3, 40])  # few and many keys take different kernels
def test_a_list_without_a_token_gives_zeros(columns):
    module = tied(qkv_bias=True)
    mask = torch.zeros(2, 4, columns, dtype=torch.bool)
    mask[0, :2, :3] = True
    with torch.no_grad():
        close(module(torch.randn(2, 4, columns, 6).double(), mask)[1], module.out.bias.expand(4, columns, 6))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("axes", "shared", "order"),
    [
        # (batch, *grid) to alignments: other axes join the batch, then rows, then columns.
        ((1,), (0,), (0, 3, 1, 2)),
        ((2,), (0,), (0, 2, 1, 3)),
        ((0,), (-1,), (0, 2, 3, 1)),
        ((-1,), (-2,), (0, 1, 2, 3)),
        ((1, 2), (0,), (0, 1, 2, 3)),
        ((0, 2), (1,), (0, 2, 1, 3)),
        ((2,), (0, 1), (0, 1, 2, 3)),
    ],
)
def test_any_axes_of_a_grid(axes, shared, order, masked):
    module, plain = tied(axes=axes, tied=shared), tied()
    x = torch.randn(2, 2, 3, 4, 6).double()
    mask = torch.rand(2, 2, 3, 4) < 0.7 if masked else None

    def lists(tensor: Tensor) -> Tensor:
        tensor = tensor.permute(*order, *range(4, tensor.ndim))
        if len(axes) == 2:
            return tensor.flatten(2, 3)
        return tensor.flatten(1, 2) if len(shared) == 2 else tensor.flatten(0, 1)

    close(lists(module(x, mask)), plain(lists(x), None if mask is None else lists(mask)))


def test_strides_do_not_matter():
    module, mask = tied(), ragged()
    x = torch.randn(3, 4, 5, 6).double()
    strided = x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    assert not strided.is_contiguous()
    close(module(strided), module(x))
    close(module(strided, mask.transpose(0, 2).contiguous().transpose(0, 2)), module(x, mask))


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_by_finite_differences(masked):
    module = tied(4, 2, qkv_bias=True)
    mask = ragged()[:, :3, :4] if masked else None
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, mask))

    inputs = [torch.randn(3, 3, 4, 4).double(), *module.parameters()]
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="dim: found 6, expected a multiple of heads = 4"):
        TiedAttention(6, 4)
    with pytest.raises(ValueError, match=r"tied: found \(1,\), expected axes other than the attended \(1,\)"):
        TiedAttention(6, 2, axes=(1,), tied=(1,))


# ---------------------------------------------------------------- outputs of the reference


@pytest.fixture(scope="module")
def block(fixtures: Path) -> dict:
    return torch.load(fixtures / "peptide" / "axial_block.pt", weights_only=True)


def load_packed(qkv: nn.Linear, out: nn.Linear, state: dict, heads: int) -> None:
    for name in ("weight", "bias"):
        parts = [state[f"{part}_proj.{name}"].unflatten(0, (heads, -1)) for part in "qkv"]
        getattr(qkv, name).data = torch.stack(parts, 1).flatten(0, 2)
        getattr(out, name).data = state[f"out_proj.{name}"]


def row_attention(state: dict, heads: int) -> TiedAttention:
    module = TiedAttention(32, heads, qkv_bias=True)
    load_packed(module.qkv, module.out, state, heads)
    return module


def column_attention(state: dict, heads: int) -> AxialAttention:
    module = AxialAttention(32, heads, axes=(0,), qkv_bias=True)
    load_packed(module.qkv[0], module.out[0], state, heads)
    return module


def near(found: Tensor, expected: Tensor, where: Tensor | None = None) -> None:
    """`found` (batch, rows, columns, dim) against the reference's (rows, columns, batch, dim)."""
    expected = expected.permute(2, 0, 1, 3)
    if where is not None:
        found, expected = found[where], expected[where]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_row_attention_equals_the_reference(block):
    module = row_attention(block["row"]["sd"], block["heads"])
    x, there = block["x"].permute(2, 0, 1, 3), ~block["pad"]
    near(module(x), block["row"]["out_nomask"])
    near(module(x, there, scale=(8 * 6) ** -0.5), block["row"]["out"], there)
    whole = there.any(2).all(1)  # by default the scale differs for an alignment with fewer rows than the batch
    assert whole.tolist() == [True, False, True]
    near(module(x, there)[whole], block["row"]["out"][:, :, whole], there[whole])


def test_column_attention_equals_the_reference(block):
    module = column_attention(block["col"]["sd"], block["heads"])
    x, there = block["x"].permute(2, 0, 1, 3), ~block["pad"]
    near(module(x), block["col"]["out_nomask"])
    near(module(x, there), block["col"]["out"], there)
    near(module(x[:, :1]), block["col"]["out_single_row"])


def test_a_whole_layer_equals_the_reference(block):
    state, heads = block["layer"]["sd"], block["heads"]

    def part(prefix: str) -> dict:
        return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}

    row = row_attention(part("row_self_attention.layer."), heads)
    column = column_attention(part("column_self_attention.layer."), heads)
    cross = FoldedCrossAttention(32, heads, qkv_bias=True)
    packed = part("cross_attention.layer.")
    for name in ("weight", "bias"):
        query, *pair = packed[f"in_proj_{name}"].chunk(3)
        getattr(cross.query, name).data = query
        getattr(cross.key_value, name).data = torch.stack([p.unflatten(0, (heads, -1)) for p in pair], 1).flatten(0, 2)
        getattr(cross.out, name).data = packed[f"out_proj.{name}"]
    mlp = part("feed_forward_layer.layer.")

    def normed(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (32,), state[f"{name}.layer_norm.weight"], state[f"{name}.layer_norm.bias"])

    x, there = block["x"].permute(2, 0, 1, 3), ~block["pad"]
    x = x + row(normed(x, "row_self_attention"), there, scale=(8 * 6) ** -0.5)
    x = x + column(normed(x, "column_self_attention"), there)
    x = x + cross(normed(x, "cross_attention"), block["memory"], ~block["memory_pad"])
    hidden = F.gelu(F.linear(normed(x, "feed_forward_layer"), mlp["fc1.weight"], mlp["fc1.bias"]))
    x = x + F.linear(hidden, mlp["fc2.weight"], mlp["fc2.bias"])
    near(x, block["layer"]["out"], there)
