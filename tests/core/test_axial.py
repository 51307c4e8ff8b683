"""All variants of axial attention against multi-head attention per line, and against other packages."""

import itertools

import pytest
import torch
from axial_attention import AxialAttention as LucidrainsAxialAttention
from torch import Tensor, nn

from transect.core.attention import AxialAttention

GRIDS = [(4,), (3, 4), (4, 4), (2, 3, 4), (2, 1, 2, 3)]
DIM, HEADS = 12, 12


def build(grid: tuple[int, ...], **options) -> AxialAttention:
    torch.manual_seed(0)
    module = AxialAttention(DIM, HEADS, ndim=len(grid), **options).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def line_attention(
    line: Tensor, qkv: nn.Linear, heads: range, every: int, visible=None, causal=False, added=None
) -> Tensor:
    """Concatenated heads of one line `(length, dim)`, from the definition."""
    width = qkv.in_features // every
    rows = qkv.weight.view(every, 3, width, -1)
    bias = torch.zeros(every, 3, width).double() if qkv.bias is None else qkv.bias.view(every, 3, width)
    seen = torch.ones(len(line), len(line), dtype=torch.bool) if visible is None else visible.expand(len(line), -1)
    seen = seen.tril() if causal else seen
    parts = []
    for head in heads:
        q, k, v = (line @ rows[head, i].T + bias[head, i] for i in range(3))
        logits = q @ k.T / width**0.5 + (0 if added is None else added[(head - heads.start) % len(added)])
        logits = logits.masked_fill(~seen, -torch.inf)
        parts.append(logits.softmax(-1).nan_to_num(0.0) @ v)
    return torch.cat(parts, -1)


def every_line(x: Tensor, axis: int, function) -> Tensor:
    lines = x.movedim(axis + 1, -2)
    out = [function(line, index) for index, line in enumerate(lines.flatten(0, -3))]
    return torch.stack(out).view(*lines.shape[:-1], -1).movedim(-2, axis + 1)


def projected(mixed: Tensor, out: nn.Linear) -> Tensor:
    return mixed @ out.weight.T + out.bias


def expected(module: AxialAttention, x: Tensor, mask: Tensor | None = None, biases=None) -> Tensor:
    total, current, parts = torch.zeros_like(x), x, []
    share = len(module.qkv) == 1
    for index, axis in enumerate(module.axes):
        number = 0 if share else index
        count = HEADS // len(module.axes) if module.order == "concatenate" else HEADS
        heads = range(index * count, (index + 1) * count) if module.order == "concatenate" else range(HEADS)
        shown = None if mask is None else mask.expand(len(x), *x.shape[1:-1]).movedim(axis + 1, -1).flatten(0, -2)

        added = None if biases is None else biases[index]

        def one(line, i, number=number, heads=heads, shown=shown, added=added):
            visible = None if shown is None else shown[i]
            return line_attention(line, module.qkv[number], heads, HEADS, visible, module.causal, added)

        mixed = every_line(current, axis, one)
        parts.append(mixed)
        if module.order == "sequential":
            current = projected(mixed, module.out[number])
        elif module.order == "sum" and not share:
            total = total + projected(mixed, module.out[number])
    if module.order == "sequential":
        return current
    if module.order == "concatenate":
        return projected(torch.cat(parts, -1), module.out[0])
    return projected(sum(parts), module.out[0]) if share else total


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"order": "sequential"},
        {"order": "concatenate"},
        {"share": True},
        {"share": True, "order": "sequential"},
        {"qkv_bias": True},
        {"causal": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "sum",
)
@pytest.mark.parametrize("masked", [False, True])
def test_equals_multi_head_attention_of_each_line(grid, options, masked):
    module = build(grid, **options)
    x = torch.randn(2, *grid, DIM).double()
    mask = torch.rand(2, *grid) < 0.6 if masked else None
    torch.testing.assert_close(module(x, mask), expected(module, x, mask), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("order", ["sum", "sequential", "concatenate"])
@pytest.mark.parametrize("share", [False, True])
def test_adds_the_bias_of_each_axis_to_its_logits(order, share):
    grid = (3, 4)
    module = build(grid, order=order, share=share)
    x, mask = torch.randn(2, *grid, DIM).double(), torch.rand(2, *grid) < 0.6
    heads = HEADS // 2 if order == "concatenate" else HEADS
    biases = [torch.randn(heads, 3, 3).double(), torch.randn(1, 4, 4).double()]
    torch.testing.assert_close(module(x, mask, biases), expected(module, x, mask, biases), rtol=1e-10, atol=1e-11)
    without = [None, biases[1]]
    shown = [torch.zeros(1, 3, 3).double(), biases[1]]
    torch.testing.assert_close(module(x, None, without), expected(module, x, None, shown), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0)])
def test_full_attention_adds_up_the_biases_of_the_axes(axes):
    grid = (2, 3, 4)
    module = build(grid, axes=axes, share=True, attention="full")
    x = torch.randn(2, *grid, DIM).double()
    biases = [torch.randn(HEADS, grid[axis], grid[axis]).double() for axis in axes]
    order = sorted(axes)
    cells = list(itertools.product(*(range(grid[axis]) for axis in order)))
    pairs = list(itertools.product(range(len(cells)), repeat=2))
    joint = torch.zeros(HEADS, len(cells), len(cells)).double()
    for axis, bias in zip(axes, biases, strict=True):
        for i, j in pairs:
            joint[:, i, j] += bias[:, cells[i][order.index(axis)], cells[j][order.index(axis)]]
    others = [axis for axis in range(3) if axis not in axes]
    lines = x.permute(0, *(axis + 1 for axis in others + order), 4)
    joined = [
        line_attention(line, module.qkv[0], range(HEADS), HEADS, added=joint)
        for line in lines.reshape(-1, len(cells), DIM)
    ]
    found = module(x, None, biases).permute(0, *(axis + 1 for axis in others + order), 4).reshape(-1, len(cells), DIM)
    torch.testing.assert_close(found, projected(torch.stack(joined), module.out[0]), rtol=1e-10, atol=1e-11)


def test_chosen_axes_alone_attend():
    module = build((2, 3, 4), axes=(2, 0))
    x = torch.randn(2, 2, 3, 4, DIM).double()
    torch.testing.assert_close(module(x), expected(module, x), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("grid", GRIDS)
def test_full_attention_joins_the_axes(grid):
    module = build(grid, share=True, attention="full", qkv_bias=True)
    x = torch.randn(2, *grid, DIM).double()
    joined = torch.stack([line_attention(sample, module.qkv[0], range(HEADS), HEADS) for sample in x.flatten(1, -2)])
    torch.testing.assert_close(module(x), projected(joined, module.out[0]).view(x.shape), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("side", "chosen"), [(11, "full"), (12, "axial")])
def test_auto_is_full_on_few_tokens_and_axial_on_many(side, chosen):
    torch.manual_seed(0)
    auto, other = (AxialAttention(8, 2, share=True, attention=kind) for kind in ("auto", chosen))
    other.load_state_dict(auto.state_dict())
    x = torch.randn(1, side, side, 8)
    torch.testing.assert_close(auto(x), other(x), rtol=0, atol=0)


@pytest.mark.parametrize("grid", [(4,), (3, 5), (2, 3, 4), (2, 3, 2, 3)])
@pytest.mark.parametrize("order", ["sum", "sequential"])
def test_equals_the_package_axial_attention_with_its_weights(grid, order):
    module = build(grid, order=order)
    peer = LucidrainsAxialAttention(DIM, len(grid), HEADS, sum_axial_out=order == "sum").double()
    for attention, qkv, out in zip(peer.axial_attentions, module.qkv, module.out, strict=True):
        query, key, value = qkv.weight.detach().unflatten(0, (HEADS, 3, -1)).unbind(1)
        attention.fn.to_q.weight.data = query.flatten(0, 1)
        attention.fn.to_kv.weight.data = torch.cat([key.flatten(0, 1), value.flatten(0, 1)])
        attention.fn.to_out.load_state_dict(out.state_dict())
    x = torch.randn(2, *grid, DIM).double()
    torch.testing.assert_close(module(x), peer(x), rtol=1e-12, atol=1e-13)


def test_equals_torch_attention_with_its_weights():
    module = build((3, 4), axes=(1,), qkv_bias=True)
    peer = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double()
    rows = module.qkv[0].weight.detach().unflatten(0, (HEADS, 3, -1)).transpose(0, 1).flatten(0, 2)
    peer.in_proj_weight.data = rows
    peer.in_proj_bias.data = module.qkv[0].bias.detach().unflatten(0, (HEADS, 3, -1)).transpose(0, 1).flatten()
    peer.out_proj.load_state_dict(module.out[0].state_dict())
    x = torch.randn(2, 3, 4, DIM).double()
    lines = x.flatten(0, 1)
    torch.testing.assert_close(module(x), peer(lines, lines, lines)[0].view(x.shape), rtol=1e-12, atol=1e-13)


def test_causal_output_never_depends_on_what_comes_later():
    module = build((3, 4), axes=(1,), causal=True)
    x = torch.randn(1, 3, 4, DIM).double().requires_grad_()
    for place in range(4):
        gradient = torch.autograd.grad(module(x)[0, 1, place].sum(), x)[0].abs().sum((0, 3))
        assert gradient[1, : place + 1].min() > 0
        assert gradient[1, place + 1 :].sum() == gradient[[0, 2]].sum() == 0


def test_moving_along_an_axis_moves_the_output():
    module = build((3, 4))
    x = torch.randn(2, 3, 4, DIM).double()
    for axis in (1, 2):
        order = torch.randperm(x.shape[axis])
        torch.testing.assert_close(
            module(x.index_select(axis, order)), module(x).index_select(axis, order), rtol=1e-12, atol=1e-12
        )


def test_an_axis_of_length_one_trains_the_value_alone():
    module = build((3, 1))
    module(torch.randn(2, 3, 1, DIM).double()).square().sum().backward()
    query, key, value = module.qkv[1].weight.grad.unflatten(0, (HEADS, 3, -1)).unbind(1)
    assert query.abs().sum() == key.abs().sum() == 0
    assert value.abs().min() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 10, "heads": 4}, "dim"),
        ({"order": "other"}, "order"),
        ({"order": "concatenate", "heads": 3}, "heads"),
        ({"attention": "other"}, "attention"),
        ({"attention": "auto"}, "share=True"),
        ({"attention": "full", "share": True, "causal": True}, "causal"),
    ],
)
def test_refuses_options_that_contradict_each_other(options, words):
    with pytest.raises(ValueError, match=words):
        AxialAttention(**{"dim": 12, "heads": 4, **options})


def test_refuses_a_grid_of_another_rank():
    with pytest.raises(ValueError, match="rank"):
        build((3, 4))(torch.zeros(1, 3, DIM).double())
