"""Space-time axial attention: its equation, axes of length one, and outputs of the published model."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.helpers import close, randomised
from transect.core.attention.space_time import SpaceTimeAxialAttention


def space_time(dim: int = 4, heads: int = 2) -> SpaceTimeAxialAttention:
    return randomised(SpaceTimeAxialAttention(dim, heads))


def projections(module: SpaceTimeAxialAttention, axis: int) -> tuple[nn.Linear, nn.Linear]:
    """The packed q, k, v projection and the output projection of an axis, counted from time."""
    part, index = (module.time, 0) if axis == 0 else (module.space, axis - 1)
    return part.qkv[index], part.out[index]


def naive_axis(module: SpaceTimeAxialAttention, x: Tensor, axis: int, heads: int = 2) -> Tensor:
    """Multi-head attention of every line along one axis, in a loop."""
    qkv, out = projections(module, axis)
    lines = x.movedim(axis + 1, -2)
    size = x.shape[-1] // heads
    mixed = []
    for line in lines.reshape(-1, *lines.shape[-2:]):
        q, k, v = (line @ qkv.weight.T + qkv.bias).view(len(line), heads, 3, size).permute(2, 1, 0, 3)
        parts = [(q[h] @ k[h].T / math.sqrt(size)).softmax(-1) @ v[h] for h in range(heads)]
        mixed.append(torch.cat(parts, -1) @ out.weight.T + out.bias)
    return torch.stack(mixed).view(lines.shape).movedim(-2, axis + 1)


@pytest.mark.parametrize("grid", [(2, 3, 2, 4), (1, 2, 3, 2), (3, 1, 2, 2), (2, 1, 1, 3), (1, 1, 1, 4), (1, 1, 1, 1)])
def test_equals_its_equation(grid):
    module = space_time()
    x = torch.randn(2, *grid, 4).double()
    u = x if grid[0] == 1 else x + naive_axis(module, x, 0)
    close(module(x), u + sum(naive_axis(module, u, axis) for axis in (1, 2, 3)))


def test_an_axis_of_length_one_is_a_linear_map_of_the_values():
    module = space_time()
    x = torch.randn(2, 3, 1, 2, 2, 4).double()
    expected = module(x)
    qkv, _ = projections(module, 1)
    with torch.no_grad():
        rows = qkv.weight.view(2, 3, 2, 4)
        rows[:, :2] = math.nan  # q and k
        qkv.bias.view(2, 3, 2)[:, :2] = math.nan
    close(module(x), expected)


def test_one_time_leaves_the_weights_of_time_without_a_gradient():
    module = space_time()
    module(torch.randn(2, 1, 2, 2, 2, 4).double()).sum().backward()
    assert all(parameter.grad is None for parameter in module.time.parameters())
    assert all(parameter.grad.any() for parameter in module.space.parameters())
    module(torch.randn(2, 2, 2, 2, 2, 4).double()).square().sum().backward()
    assert all(parameter.grad.any() for parameter in module.time.parameters())


def test_sees_its_own_lines_through_all_times_and_nothing_else():
    module = space_time()
    x = torch.randn(2, 2, 3, 2, 3, 4).double().requires_grad_()
    place = (1, 0, 2, 1, 0)
    (gradient,) = torch.autograd.grad(module(x)[place].square().sum(), x)
    expected = torch.zeros(x.shape[:-1], dtype=torch.bool)
    for axis in (2, 3, 4):
        line: list[int | slice] = list(place)
        line[1] = line[axis] = slice(None)
        expected[tuple(line)] = True
    assert torch.equal(gradient.abs().amax(-1) > 0, expected)


def test_order_along_every_axis():
    module = space_time()
    x = torch.randn(2, 3, 2, 4, 3, 4).double()
    moved, expected = x, module(x)
    for axis in range(1, 5):
        order = torch.randperm(x.shape[axis])
        moved, expected = moved.index_select(axis, order), expected.index_select(axis, order)
    close(module(moved), expected)


def test_spatial_axes_are_alike_but_for_their_weights():
    module = space_time()
    swapped = copy.deepcopy(module)
    for part in (swapped.space.qkv, swapped.space.out):
        part[0], part[2] = part[2], part[0]
    x = torch.randn(2, 2, 3, 2, 4, 4).double()
    close(swapped(x.transpose(2, 4)), module(x).transpose(2, 4))


def test_hidden_tokens_are_absent_ones():
    module = space_time()
    x = torch.randn(2, 3, 2, 3, 4, 4).double()
    mask = torch.ones(2, 3, 2, 3, 4, dtype=torch.bool)
    mask[0, 2:] = False
    mask[1, :, :, 2:] = False
    found = module(x, mask)
    close(found[:1, :2], module(x[:1, :2]))
    close(found[1:, :, :, :2], module(x[1:, :, :, :2]))
    close(module(x, mask[:1])[:, :2], module(x[:, :2]))


def test_strides_do_not_matter():
    module = space_time()
    x = torch.randn(2, 3, 2, 3, 4, 4).double()
    strided = x.permute(5, 3, 0, 2, 4, 1).contiguous().permute(2, 5, 3, 1, 4, 0)
    assert not strided.is_contiguous()
    close(module(strided), module(x))


@pytest.mark.parametrize("times", [1, 2])
def test_gradients_by_finite_differences(times):
    module = space_time()
    mask = torch.rand(1, times, 2, 1, 3) < 0.7
    names, parameters = zip(*(module if times > 1 else module.space).named_parameters(), strict=True)
    prefix = "" if times > 1 else "space."

    def function(x: Tensor, *tensors: Tensor) -> Tensor:
        state = {prefix + name: tensor for name, tensor in zip(names, tensors, strict=True)}
        return torch.func.functional_call(module, state, (x, mask))

    inputs = [torch.randn(1, times, 2, 1, 3, 4).double(), *parameters]
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="dim: found 6, expected a multiple of heads = 4"):
        SpaceTimeAxialAttention(6, 4)
    with pytest.raises(ValueError, match="x: found rank 5"):
        space_time()(torch.randn(2, 3, 3, 3, 4).double())


# ---------------------------------------------------------------- outputs of the reference


def from_reference(state: dict[str, Tensor], heads: int) -> SpaceTimeAxialAttention:
    module = SpaceTimeAxialAttention(32, heads)
    for axis, name in enumerate("tdhw"):
        qkv, out = projections(module, axis)
        for kind in ("weight", "bias"):
            parts = [state[f"attn_{name}.{part}.base.{kind}"].unflatten(0, (heads, -1)) for part in "qkv"]
            getattr(qkv, kind).data = torch.stack(parts, 1).flatten(0, 2)
            getattr(out, kind).data = state[f"attn_{name}.o.base.{kind}"]
    return module


@pytest.mark.parametrize("name", ["axial_t1_2d", "axial_t3_3d", "axial_t2_1d"])
def test_equals_the_reference(fixtures, name):
    case = torch.load(fixtures / "pde" / "morph_modules.pt", weights_only=True)[name]
    tokens, grid = case["args"]
    found = from_reference(case["state_dict"], 4)(tokens.unflatten(2, grid)).flatten(2, 4)
    torch.testing.assert_close(found, case["output"], rtol=0, atol=2e-6)


def test_a_whole_block_equals_the_reference(fixtures):
    case = torch.load(fixtures / "pde" / "morph_modules.pt", weights_only=True)["encoder_block_t2_3d"]
    (x, grid), state = case["args"], case["state_dict"]
    mix = from_reference({name.removeprefix("axial_attn."): tensor for name, tensor in state.items()}, 4)
    normed = F.layer_norm(x, (32,), state["norm1.weight"], state["norm1.bias"])
    x = x + mix(normed.unflatten(2, grid)).flatten(2, 4)
    hidden = F.layer_norm(x, (32,), state["norm2.weight"], state["norm2.bias"])
    hidden = F.gelu(F.linear(hidden, state["mlp.0.base.weight"], state["mlp.0.base.bias"]))
    x = x + F.linear(hidden, state["mlp.3.base.weight"], state["mlp.3.base.bias"])
    torch.testing.assert_close(x, case["output"], rtol=0, atol=5e-6)


# ---------------------------------------------------------------- axes of length one, merged without gradients


CHANGES = {
    "in place": lambda module: module.space.out[0].weight.mul_(2),
    "loaded": lambda module: module.load_state_dict({k: 2 * v for k, v in module.state_dict().items()}),
    "replaced": lambda module: module.space.qkv[1].register_parameter(
        "weight", nn.Parameter(2 * module.space.qkv[1].weight)
    ),
    "assigned": lambda module: setattr(module.space.out[1], "bias", nn.Parameter(torch.ones(4).double())),
    "moved": lambda module: setattr(module.space.qkv[0].bias, "data", 2 * module.space.qkv[0].bias),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("without_gradients", [torch.no_grad, torch.inference_mode])
def test_merged_maps_of_short_axes_follow_their_weights(change, without_gradients):
    module = space_time()
    x = torch.randn(2, 2, 1, 1, 3, 4).double()
    for _ in range(2):
        with without_gradients():
            found = module(x)
        close(found, module(x).detach())
        with torch.no_grad():
            change(module)
    with torch.no_grad():
        close(module(x.transpose(2, 4)), module.requires_grad_(True)(x.transpose(2, 4)))
        assert copy.deepcopy(module).float()(x.float()).dtype == torch.float32


def test_merged_maps_are_what_is_computed_without_gradients(monkeypatch):
    module = space_time()
    x = torch.randn(2, 1, 1, 1, 3, 4).double()
    with torch.no_grad():
        expected = module(x)
        monkeypatch.setattr(module.space, "_value_rows", None)
        close(module(x), expected)
