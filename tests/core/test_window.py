"""Window attention against full attention with the equivalent mask, and against timm and CoBEVT."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.helpers import randomised
from transect.core.attention.axial import AxialAttention
from transect.core.attention.grid import fit, from_windows, merge, split, to_windows
from transect.core.attention.window import WindowAttention

DIM, HEADS = 6, 2
# Grid, window: whole windows first, then partial ones, then windows longer than the grid.
CASES = [
    ((6,), (3,)),
    ((4, 6), (2, 3)),
    ((4, 4), (2, 2)),
    ((2, 4, 3), (2, 2, 1)),
    ((2, 2, 2, 4), (1, 2, 2, 2)),
    ((7,), (3,)),
    ((5, 7), (2, 3)),
    ((3, 5, 4), (2, 2, 3)),
    ((3, 5), (8, 2)),
    ((3, 5, 4), (None, 2, 3)),
]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def window_of(cell: tuple[int, ...], grid: tuple[int, ...], window: tuple, partition: str) -> tuple[int, ...]:
    """The window of a cell: index // length for blocks, index % number of windows for grids."""
    lengths = [size if length is None else min(length, size) for length, size in zip(window, grid, strict=True)]
    if partition == "block":
        return tuple(place // length for place, length in zip(cell, lengths, strict=True))
    numbers = [math.ceil(size / length) for length, size in zip(lengths, grid, strict=True)]
    return tuple(place % number for place, number in zip(cell, numbers, strict=True))


def dense(module: WindowAttention, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """Full attention over the whole grid; cells of other windows are masked."""
    grid, heads = x.shape[1:-1], module.heads
    cells = list(itertools.product(*map(range, grid)))
    windows = [window_of(cell, grid, module.window, module.partition) for cell in cells]
    same = torch.tensor([[one == other for other in windows] for one in windows])
    bias = torch.zeros(heads, len(cells), len(cells), dtype=torch.float64)
    if module.relative_bias is not None:
        # The position within the window along each axis.
        places = []
        for cell in cells:
            if module.partition == "block":
                lengths = [min(length, size) for length, size in zip(module.window, grid, strict=True)]
                places.append([place % length for place, length in zip(cell, lengths, strict=True)])
            else:
                numbers = [math.ceil(s / min(p, s)) for p, s in zip(module.window, grid, strict=True)]
                places.append([place // number for place, number in zip(cell, numbers, strict=True)])
        for i, j in itertools.product(range(len(cells)), repeat=2):
            if same[i, j]:
                offset = [q - k + w - 1 for q, k, w in zip(places[i], places[j], module.window, strict=True)]
                bias[:, i, j] = module.relative_bias.table[tuple(offset)]
    tokens = x.flatten(1, -2)
    weight, qkv_bias = module.qkv.weight, module.qkv.bias
    projected = (tokens @ weight.T + (0 if qkv_bias is None else qkv_bias)).view(len(x), len(cells), heads, 3, -1)
    query, key, value = projected.permute(3, 0, 2, 1, 4)
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
    shown = same.expand_as(logits)
    if mask is not None:
        shown = shown & mask.expand(len(x), *grid).flatten(1)[:, None, None, :]
    weights = logits.masked_fill(~shown, -torch.inf).softmax(-1).nan_to_num(0.0)
    mixed = (weights @ value).transpose(1, 2).flatten(-2)
    return F.linear(mixed, module.out.weight, module.out.bias).view_as(x)


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("partition", ["block", "grid"])
@pytest.mark.parametrize(("grid", "window"), CASES[:5])
def test_split_is_a_view_of_the_cells_of_each_window(grid, window, partition):
    x = torch.arange(2 * math.prod(grid)).view(2, *grid)
    windows = split(x, window, partition)
    assert windows.data_ptr() == x.data_ptr()
    for cell in itertools.product(*map(range, grid)):
        numbers = [size // length for size, length in zip(grid, window, strict=True)]
        if partition == "block":
            inner = [place % length for place, length in zip(cell, window, strict=True)]
        else:
            inner = [place // number for place, number in zip(cell, numbers, strict=True)]
        where = (*window_of(cell, grid, window, partition), *inner)
        assert torch.equal(windows[(slice(None), *where)], x[(slice(None), *cell)])
    assert torch.equal(merge(windows, len(grid), partition), x)


@pytest.mark.parametrize("partition", ["block", "grid"])
@pytest.mark.parametrize(("grid", "window"), CASES[5:8])
def test_padding_is_masked_and_taken_off_again(grid, window, partition):
    x = torch.randn(2, *grid, 3) + 10
    tokens, visible = to_windows(x, window, partition)
    assert torch.equal(visible.expand(tokens.shape[:-1]), tokens.abs().sum(-1) > 0)
    assert int(visible.sum()) == math.prod(grid)
    assert torch.equal(from_windows(tokens, window, grid, partition), x)


def test_nothing_is_masked_where_nothing_is_padded():
    assert to_windows(torch.randn(1, 4, 6, 3), (2, 3))[1] is None


def test_an_axis_shorter_than_its_window_is_taken_whole_without_padding():
    assert fit((8, None, 2), (3, 5, 4)) == [3, 5, 2]
    tokens, visible = to_windows(torch.randn(1, 3, 4, 3), fit((8, 2), (3, 4)))
    assert tokens.shape == (1, 2, 6, 3)
    assert visible is None


# ---------------------------------------------------------------- the equation


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("partition", ["block", "grid"])
@pytest.mark.parametrize(("grid", "window"), CASES)
def test_equals_full_attention_inside_each_window(grid, window, partition, bias):
    relative = None not in window
    options = {"window": window, "partition": partition, "relative_bias": relative, "bias": bias}
    module = randomised(WindowAttention(DIM, HEADS, **options))
    x = torch.randn(2, *grid, DIM).double()
    mask = torch.rand(2, *grid) < 0.6
    close(module(x), dense(module, x))
    close(module(x, mask), dense(module, x, mask))
    close(module(x, mask[:1]), dense(module, x, mask[:1]))


@pytest.mark.parametrize("partition", ["block", "grid"])
def test_hidden_cells_cannot_leak_whatever_they_hold(partition):
    module = randomised(WindowAttention(DIM, HEADS, window=(2, 4), partition=partition, relative_bias=True))
    x = torch.randn(1, 5, 7, DIM).double()
    mask = torch.ones(1, 6, 8, dtype=torch.bool)
    mask[:, 5:], mask[:, :, 7:] = False, False
    for fill in (0.0, 1e6):
        padded = F.pad(x, [0, 0, 0, 1, 0, 1], value=fill).requires_grad_()
        out = module(padded, mask)[:, :5, :7]
        close(out, module(x))
        (gradient,) = torch.autograd.grad(out.square().sum(), padded)
        assert gradient[:, 5:].abs().max() == 0
        assert gradient[:, :, 7:].abs().max() == 0
        assert gradient[:, :5, :7].abs().amin((0, 3)).min() > 0


@pytest.mark.parametrize("relative", [False, True])
def test_window_without_any_key_gives_zeros_and_finite_gradients(relative):
    module = randomised(WindowAttention(DIM, HEADS, window=(2, 3), relative_bias=relative))
    nn.init.zeros_(module.out.bias)
    x = torch.randn(2, 4, 6, DIM).double().requires_grad_()
    mask = torch.ones(2, 4, 6, dtype=torch.bool)
    mask[0, :2, 3:] = False
    out = module(x, mask)
    assert torch.equal(out[0, :2, 3:], torch.zeros(2, 3, DIM).double())
    assert out[0, :2, :3].abs().min() > 0
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())


# ---------------------------------------------------------------- identities


@pytest.mark.parametrize("partition", ["block", "grid"])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 2)])
def test_window_of_the_whole_grid_is_full_attention(grid, partition):
    module = randomised(WindowAttention(DIM, HEADS, window=grid, partition=partition))
    peer = nn.MultiheadAttention(DIM, HEADS, batch_first=True).double()
    heads_first = module.qkv.weight.view(HEADS, 3, -1, DIM), module.qkv.bias.view(HEADS, 3, -1)
    peer.in_proj_weight.data = heads_first[0].transpose(0, 1).reshape(-1, DIM)
    peer.in_proj_bias.data = heads_first[1].transpose(0, 1).reshape(-1)
    peer.out_proj.load_state_dict(module.out.state_dict())
    x = torch.randn(2, *grid, DIM).double()
    tokens = x.flatten(1, -2)
    close(module(x).flatten(1, -2), peer(tokens, tokens, tokens)[0])


@pytest.mark.parametrize("partition", ["block", "grid"])
@pytest.mark.parametrize(("grid", "axis"), [((4, 5), 0), ((4, 5), 1), ((2, 3, 4), 1)])
def test_window_along_one_axis_is_axial_attention(grid, axis, partition):
    window = [None if i == axis else 1 for i in range(len(grid))]
    module = randomised(WindowAttention(DIM, HEADS, window=window, partition=partition))
    axial = AxialAttention(DIM, HEADS, ndim=len(grid), axes=(axis,)).double()
    axial.qkv[0].weight.data, axial.out[0].weight.data = module.qkv.weight.data, module.out.weight.data
    axial.out[0].bias.data = module.out.bias.data
    nn.init.zeros_(module.qkv.bias)
    x = torch.randn(2, *grid, DIM).double()
    close(module(x), axial(x))


def test_grid_is_block_once_near_and_far_change_places():
    blocks = randomised(WindowAttention(DIM, HEADS, window=(2, 3), relative_bias=True))
    spread = randomised(WindowAttention(DIM, HEADS, window=(2, 3), partition="grid", relative_bias=True))
    x = torch.randn(2, 8, 6, DIM).double()
    swapped = merge(split(x, (2, 3), "grid"), 2, "block")
    close(spread(x), merge(split(blocks(swapped), (2, 3), "block"), 2, "grid"))


def test_one_agent_in_the_window_is_no_agent():
    joint = randomised(WindowAttention(DIM, HEADS, window=(1, 2, 3), relative_bias=True))
    alone = WindowAttention(DIM, HEADS, window=(2, 3), relative_bias=True).double()
    alone.load_state_dict({**joint.state_dict(), "relative_bias.table": joint.relative_bias.table[0].detach()})
    x = torch.randn(2, 1, 4, 6, DIM).double()
    close(joint(x)[:, 0], alone(x[:, 0]))


def test_absent_agents_are_the_same_as_hidden_ones():
    module = randomised(WindowAttention(DIM, HEADS, window=(4, 2, 3), relative_bias=True))
    x = torch.randn(2, 4, 4, 6, DIM).double()
    mask = torch.ones(1, 4, 4, 6, dtype=torch.bool)
    mask[:, 2:] = False
    close(module(x, mask)[:, :2], module(x[:, :2]))


def test_order_of_agents_does_not_matter_without_relative_bias():
    module = randomised(WindowAttention(DIM, HEADS, window=(None, 2, 3)))
    x = torch.randn(2, 3, 4, 6, DIM).double()
    close(module(x[:, [2, 0, 1]]), module(x)[:, [2, 0, 1]])


@pytest.mark.parametrize("partition", ["block", "grid"])
def test_gradients_by_finite_differences(partition):
    module = randomised(WindowAttention(4, 2, window=(2, 2), partition=partition, relative_bias=True))
    names, parameters = zip(*module.named_parameters(), strict=True)

    def function(x: Tensor, *tensors: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, tensors, strict=True)), (x,))

    x = torch.randn(1, 3, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)


# ---------------------------------------------------------------- timm


@pytest.mark.parametrize("head_first", [True, False])
@pytest.mark.parametrize("partition", ["block", "grid"])
def test_equals_the_attention_block_of_timm(partition, head_first):
    maxxvit = pytest.importorskip("timm.models.maxxvit", reason="needs timm")
    config = maxxvit.MaxxVitTransformerCfg(
        dim_head=4, head_first=head_first, window_size=(2, 3), grid_size=(2, 3), rel_pos_type="bias", init_values=0.5
    )
    peer = randomised(maxxvit.PartitionAttentionCl(8, partition, config))
    module = WindowAttention(8, 2, window=(2, 3), partition=partition, relative_bias=True).double()
    load_timm(module, peer.attn)
    x = torch.randn(2, 4, 9, 8).double()
    mixed = x + peer.ls1(module(peer.norm1(x)))
    torch.testing.assert_close(mixed + peer.ls2(peer.mlp(peer.norm2(mixed))), peer(x), rtol=1e-12, atol=1e-12)


def test_equals_a_whole_maxvit_block_of_timm():
    maxxvit = pytest.importorskip("timm.models.maxxvit", reason="needs timm")
    attention = maxxvit.MaxxVitTransformerCfg(dim_head=8, window_size=(4, 4), grid_size=(4, 4), rel_pos_type="bias")
    peer = randomised(maxxvit.MaxxVitBlock(16, 16, transformer_cfg=attention))
    blocks = WindowAttention(16, 2, window=(4, 4), relative_bias=True).double()
    spread = WindowAttention(16, 2, window=(4, 4), partition="grid", relative_bias=True).double()
    image = torch.randn(2, 16, 8, 12).double()
    x = peer.conv(image).permute(0, 2, 3, 1)
    for module, part in ((blocks, peer.attn_block), (spread, peer.attn_grid)):
        load_timm(module, part.attn)
        x = x + part.ls1(module(part.norm1(x)))
        x = x + part.ls2(part.mlp(part.norm2(x)))
    torch.testing.assert_close(x.permute(0, 3, 1, 2), peer(image), rtol=1e-12, atol=1e-12)


def load_timm(module: WindowAttention, peer: nn.Module) -> None:
    weight, bias = peer.qkv.weight.data, peer.qkv.bias.data
    if not peer.head_first:  # (3, heads, head_dim) in the reference
        weight, bias = (
            tensor.unflatten(0, (3, module.heads, -1)).transpose(0, 1).flatten(0, 2) for tensor in (weight, bias)
        )
    module.qkv.weight.data, module.qkv.bias.data = weight, bias
    module.out.load_state_dict(peer.proj.state_dict())
    table = peer.rel_pos.relative_position_bias_table.data
    module.relative_bias.table.data = table.view_as(module.relative_bias.table)


# ---------------------------------------------------------------- CoBEVT


def cobevt(state: dict[str, Tensor], window: tuple[int, ...], partition: str = "block", prefix: str = "") -> nn.Module:
    """A window attention with the weights of a CoBEVT attention."""
    module = WindowAttention(32, 4, window=window, partition=partition, relative_bias=True, bias=False)
    weight = state[f"{prefix}to_qkv.weight"].unflatten(0, (3, 4, -1)).transpose(0, 1).flatten(0, 2)
    (table,) = (state[prefix + name] for name in TABLES if prefix + name in state)
    module.load_state_dict(
        {
            "qkv.weight": weight,
            "out.weight": state[f"{prefix}to_out.0.weight"],
            "relative_bias.table": table.view_as(module.relative_bias.table),
        }
    )
    return module.requires_grad_(False)


TABLES = ("rel_pos_bias.weight", "relative_position_bias_table.weight")


@pytest.mark.parametrize("name", ["Attention2D_relpos", "FAX_self_attn_opv2v"])
def test_equals_the_plane_attention_of_cobevt(fixtures, shared_file, name):
    opv2v = name.endswith("opv2v")
    path = fixtures / "bev/fax_modules_opv2v.pt" if opv2v else shared_file("parity/bev/fax_modules_nuscenes.pt")
    case = torch.load(path, weights_only=True)[name]
    found = cobevt(case["state_dict"], (8, 8))(case["x"].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, case["out"], rtol=0, atol=1e-5)


def test_equals_the_agent_attention_of_cobevt(fixtures):
    case = torch.load(fixtures / "bev/fax_modules_opv2v.pt", weights_only=True)["Attention3D"]
    module = cobevt(case["state_dict"], (3, 4, 4))
    # (batch, agents, X, Y, p, p, dim) and (batch, X, Y, p, p, 1, agents) in the reference: already partitioned.
    x = case["x"].permute(0, 1, 2, 4, 3, 5, 6).reshape(2, 3, 8, 12, 32)
    mask = case["mask"][..., 0, :].permute(0, 5, 1, 3, 2, 4).reshape(2, 3, 8, 12) > 0
    for visible, name in ((None, "out"), (mask, "out_masked")):
        expected = case[name].permute(0, 1, 2, 4, 3, 5, 6).reshape(2, 3, 8, 12, 32)
        torch.testing.assert_close(module(x, visible), expected, rtol=0, atol=1e-5)


def test_equals_the_fusion_block_of_cobevt(fixtures):
    case = torch.load(fixtures / "bev/fax_modules_opv2v.pt", weights_only=True)["SwapFusionBlockMask"]
    state = case["state_dict"]
    x, mask = case["x"].permute(0, 1, 3, 4, 2), case["mask"][..., 0, :].permute(0, 3, 1, 2) > 0

    def norm(x: Tensor, part: str) -> Tensor:
        return F.layer_norm(x, (32,), state[f"{part}.norm.weight"], state[f"{part}.norm.bias"])

    for name, partition in (("window", "block"), ("grid", "grid")):
        attention = cobevt(state, (3, 4, 4), partition, f"{name}_attention.fn.")
        x = x + attention(norm(x, f"{name}_attention"), mask)
        net = f"{name}_ffd.fn.net."
        hidden = F.gelu(F.linear(norm(x, f"{name}_ffd"), state[f"{net}0.weight"], state[f"{net}0.bias"]))
        x = x + F.linear(hidden, state[f"{net}3.weight"], state[f"{net}3.bias"])
    torch.testing.assert_close(x.permute(0, 1, 4, 2, 3), case["out"], rtol=0, atol=1e-5)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 7, "window": (2, 2)}, "dim"),
        ({"window": ()}, "window"),
        ({"window": (2, 0)}, "window"),
        ({"window": (2, 2), "partition": "stripe"}, "partition"),
        ({"window": (None, 2), "relative_bias": True}, "window"),
    ],
)
def test_refuses_options_that_make_no_sense(options, words):
    with pytest.raises(ValueError, match=f"{words}: found"):
        WindowAttention(options.pop("dim", DIM), HEADS, **options)


def test_refuses_a_grid_or_a_mask_of_another_shape():
    module = WindowAttention(DIM, HEADS, window=(2, 2))
    x = torch.randn(2, 4, 4, DIM)
    with pytest.raises(ValueError, match="grid: found"):
        module(x[:, 0])
    for mask in (torch.ones(2, 4, 4), torch.ones(2, 4, 5, dtype=torch.bool), torch.ones(3, 4, 4, dtype=torch.bool)):
        with pytest.raises(ValueError, match="mask: found"):
            module(x, mask)
