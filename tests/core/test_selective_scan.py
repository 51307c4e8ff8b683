"""The selective scan against its equation, position by position in float64, and against the reference."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.core.helpers import close, randomised
from transect.core import selective_recurrence as selective
from transect.core.attention.selective_scan import SelectiveScan, TriPlaneScan
from transect.core.selective_recurrence import selective_recurrence

GRIDS = [((5,), (0,)), ((3, 4), (0, 1)), ((3, 4), (1, 0)), ((2, 3, 2), (2, 0, 1)), ((2, 1, 2, 3), (1, 3, 0, 2))]
NAMES = {
    "x_proj_weight": "x_proj_weight",
    "dt_projs_weight": "dt_proj_weight",
    "dt_projs_bias": "dt_proj_bias",
    "A_logs": "A_log",
    "Ds": "D",
    "conv2d.weight": "conv_weight",
    "in_proj.weight": "in_proj.weight",
    "out_norm.weight": "out_norm.weight",
    "out_norm.bias": "out_norm.bias",
    "out_proj.weight": "out_proj.weight",
}


def places(grid: tuple[int, ...], order: tuple[int, ...] | list[int], reverse: bool) -> list[tuple[int, ...]]:
    """The grid positions in scan order."""
    found = []
    for index in itertools.product(*(range(grid[axis]) for axis in order)):
        found.append(tuple(index[list(order).index(axis)] for axis in range(len(grid))))
    return found[::-1] if reverse else found


def recurrence_loop(u, delta, bias, rates, write, read, order, reverse) -> Tensor:
    """Loop over samples and positions."""
    y = torch.zeros_like(u)
    for sample in range(len(u)):
        state = torch.zeros_like(rates)
        for place in places(u.shape[1:-1], order, reverse):
            at = (sample, *place)
            step = torch.log1p(torch.exp(delta[at] + bias))
            state = torch.exp(step * rates) * state + write[at][:, None] * (step * u[at])
            y[at] = read[at] @ state
    return y


def scan_loop(module: SelectiveScan, x: Tensor) -> Tensor:
    """The equation of the module, with the convolution as a sum over neighbours."""
    grid, (rank, states, _) = x.shape[1:-1], module.splits
    inner = x @ module.in_proj.weight.T
    conv = torch.zeros_like(inner)
    for place in itertools.product(*map(range, grid)):
        for offset in itertools.product((-1, 0, 1), repeat=len(grid)):
            other = tuple(p + o for p, o in zip(place, offset, strict=True))
            if all(0 <= p < size for p, size in zip(other, grid, strict=True)):
                tap = module.conv_weight[(slice(None), 0, *(o + 1 for o in offset))]
                conv[(slice(None), *place)] += tap * inner[(slice(None), *other)]
    u, total = conv * torch.sigmoid(conv), 0
    count = len(module.orders)
    for k in range(2 * count):
        parts = u @ module.x_proj_weight[k].T
        low_rank, write, read = parts[..., :rank], parts[..., rank : rank + states], parts[..., rank + states :]
        delta, rates = low_rank @ module.dt_proj_weight[k].T, -torch.exp(module.A_log[k]).T
        order = module.orders[k % count]
        total = total + recurrence_loop(u, delta, module.dt_proj_bias[k], rates, write, read, order, k >= count)
        total = total + module.D[k] * u
    centred = total - total.mean(-1, keepdim=True)
    normal = centred / (centred.square().mean(-1, keepdim=True) + module.out_norm.eps).sqrt()
    return (normal * module.out_norm.weight + module.out_norm.bias) @ module.out_proj.weight.T


def coefficients(grid: tuple[int, ...], states: int = 2, channels: int = 3) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    token, numbers = (2, *grid, channels), (2, *grid, states)
    shapes = (token, token, (channels,), (states, channels), numbers, numbers)
    u, delta, bias, rates, write, read = (torch.randn(shape).double() for shape in shapes)
    return u, delta, bias, -rates.abs(), write, read


# ---------------------------------------------------------------- the recurrence


@pytest.mark.parametrize("block", [1, 30, 2**21])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "order"), GRIDS)
def test_recurrence_equals_the_loop_over_places(grid, order, reverse, block, monkeypatch):
    monkeypatch.setattr(selective, "BLOCK_ELEMENTS", block)
    tensors = coefficients(grid)
    close(selective_recurrence(*tensors, order, reverse=reverse), recurrence_loop(*tensors, order, reverse))


@pytest.mark.parametrize("block", [30, 2**21])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "order"), GRIDS)
def test_recurrence_gradients_by_finite_differences(grid, order, reverse, block, monkeypatch):
    monkeypatch.setattr(selective, "BLOCK_ELEMENTS", block)
    tensors = tuple(tensor.requires_grad_() for tensor in coefficients(grid))
    assert torch.autograd.gradcheck(
        lambda *tensors: selective_recurrence(*tensors, order, reverse=reverse), tensors, fast_mode=True
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_no_place_learns_of_later_ones(reverse, monkeypatch):
    monkeypatch.setattr(selective, "BLOCK_ELEMENTS", 30)
    grid, order = (3, 2, 3), (1, 2, 0)
    u, delta, bias, rates, write, read = (tensor.requires_grad_() for tensor in coefficients(grid))
    y = selective_recurrence(u, delta, bias, rates, write, read, order, reverse=reverse)
    sequence = places(grid, order, reverse)
    for now, place in enumerate(sequence):
        seen = torch.autograd.grad(y[(0, *place)].sum(), (u, delta, write, read), retain_graph=True)
        assert all((grad[1] == 0).all() for grad in seen)  # the other sample
        for then, other in enumerate(sequence):
            by_u, by_delta, by_write, by_read = (grad[(0, *other)] for grad in seen)
            for grad in (by_u, by_delta, by_write):
                assert bool((grad != 0).all()) == (then <= now)
                assert bool((grad == 0).all()) == (then > now)
            assert bool((by_read != 0).all()) == (then == now)


def test_gradient_keeps_no_states():
    tensors = tuple(tensor.requires_grad_() for tensor in coefficients((40, 50), states=16))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        selective_recurrence(*tensors, (0, 1))
    assert sum(kept) < 1.01 * sum(tensor.numel() for tensor in tensors)


def test_long_sequences_with_any_decay_stay_finite():
    torch.manual_seed(0)
    u, delta = torch.randn(1, 5000, 4), torch.tensor([-80.0, -5.0, 5.0, 100.0]).expand(1, 5000, 4).clone()
    rates = torch.tensor([[-0.5], [-16.0]]).expand(2, 4).clone()
    tensors = [u, delta, torch.zeros(4), rates, torch.randn(1, 5000, 2), torch.randn(1, 5000, 2)]
    found = selective_recurrence(*(tensor.requires_grad_() for tensor in tensors), (0,))
    found.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)
    expected = recurrence_loop(*(tensor.detach().double() for tensor in tensors), (0,), False)
    for channel in range(4):
        scale = expected[..., channel].abs().max()
        error = (found[..., channel] - expected[..., channel]).abs().max() / scale
        assert error < 3e-6


def test_small_steps_keep_their_digits():
    u, delta = torch.ones(1, 3, 6), torch.tensor([-7.0, -10, -15, -20, -40, -80]).expand(1, 3, 6).clone()
    tensors = (u, delta, torch.zeros(6), -torch.ones(1, 6), torch.ones(1, 3, 1), torch.ones(1, 3, 1))
    expected = recurrence_loop(*(tensor.double() for tensor in tensors), (0,), False)
    expected[..., 4:] = delta[..., 4:].double().exp() * torch.arange(1.0, 4)[:, None]  # too small for log1p(exp)
    torch.testing.assert_close(selective_recurrence(*tensors, (0,)).double(), expected, rtol=3e-6, atol=0)


def test_operators_keep_their_promises_to_compilers(monkeypatch):
    monkeypatch.setattr(selective, "BLOCK_ELEMENTS", 30)
    tensors = tuple(tensor.requires_grad_() for tensor in coefficients((3, 4)))
    torch.library.opcheck(torch.ops.transect.selective_recurrence, (*tensors, [1, 0], True))


def test_wrong_arguments_of_the_recurrence_are_named():
    tensors = coefficients((3, 4))
    with pytest.raises(ValueError, match="axes: found"):
        selective_recurrence(*tensors, (0,))
    for index, name in ((1, "delta"), (2, "bias"), (3, "rates"), (4, "write"), (5, "read")):
        wrong = [tensor[..., :1] if i == index else tensor for i, tensor in enumerate(tensors)]
        with pytest.raises(ValueError, match=f"{name}: found shape"):
            selective_recurrence(*wrong, (0, 1))


# ---------------------------------------------------------------- the modules


@pytest.mark.parametrize("states", [1, 3])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (4, 1), (2, 3, 2), (2, 3, 1, 2)])
def test_module_equals_its_equation(grid, states):
    module = randomised(SelectiveScan(3, ndim=len(grid), states=states, rank=2)).requires_grad_(False)
    x = torch.randn(2, *grid, 3).double()
    close(module(x), scan_loop(module, x))


def test_images_are_read_row_by_row_then_column_by_column():
    assert SelectiveScan(4).orders == [[0, 1], [1, 0]]
    assert {order[-1] for order in SelectiveScan(4, ndim=4).orders} == {0, 1, 2, 3}


def test_chosen_orders_are_read_both_ways():
    module = randomised(SelectiveScan(3, ndim=3, orders=[(2, 0, 1)])).requires_grad_(False)
    x = torch.randn(1, 2, 3, 2, 3).double()
    close(module(x), scan_loop(module, x))
    assert module.D.shape == (2, 6)


def test_gradients_of_all_parameters_by_finite_differences():
    module = randomised(SelectiveScan(3, states=2))
    names, parameters = zip(*module.named_parameters(), strict=True)
    x = torch.randn(2, 3, 2, 3).double().requires_grad_()

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)


def test_tri_plane_is_the_sum_over_flattened_images():
    module = randomised(TriPlaneScan(3)).requires_grad_(False)
    height, width, depth = 2, 3, 4
    x = torch.randn(2, height, width, depth, 3).double()
    expected = torch.zeros_like(x)
    images = [
        torch.zeros(2, height, width * depth, 3),
        torch.zeros(2, width, height * depth, 3),
        torch.zeros(2, depth, height * width, 3),
    ]
    images = [image.double() for image in images]
    for h, w, d in itertools.product(range(height), range(width), range(depth)):
        for image, at in zip(images, ((h, w * depth + d), (w, h * depth + d), (d, h * width + w)), strict=True):
            image[(slice(None), *at)] = x[:, h, w, d]
    mixed = [scan_loop(scan, image) for scan, image in zip(module.scans, images, strict=True)]
    for h, w, d in itertools.product(range(height), range(width), range(depth)):
        expected[:, h, w, d] = (
            mixed[0][:, h, w * depth + d] + mixed[1][:, w, h * depth + d] + mixed[2][:, d, h * width + w]
        )
    close(module(x), expected)


def test_start_has_the_published_steps_and_rates():
    module = SelectiveScan(32, states=4)
    step = F.softplus(module.dt_proj_bias)
    assert step.min() > 0.99e-3
    assert step.max() < 1.01e-1
    assert ((step < 1e-2).float().mean() - 0.5).abs() < 0.15  # log-uniform
    torch.testing.assert_close(module.A_log.exp(), torch.arange(1.0, 5).expand(4, 64, 4))
    assert (module.D == 1).all()
    assert module.dt_proj_weight.shape == (4, 64, 2)  # rank: dim / 16


def test_autocast_leaves_the_scan_in_float32():
    torch.manual_seed(0)
    module = SelectiveScan(16, ndim=1)
    x = torch.randn(1, 3000, 16)
    found = []
    inner = selective_recurrence

    def recorded(*args, **options):
        found.append(inner(*args, **options))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr("transect.core.attention.selective_scan.selective_recurrence", recorded)
        out = module(x)
        out.float().sum().backward()
    assert all(y.dtype == torch.float32 for y in found)
    assert out.dtype == torch.bfloat16
    assert all(parameter.grad.isfinite().all() for parameter in module.parameters())
    expected = module(x)
    assert (out - expected).square().mean().sqrt() < 0.02 * expected.square().mean().sqrt()


def test_strides_do_not_matter():
    module = SelectiveScan(4).double()
    x = torch.randn(2, 3, 5, 4).double()
    strided = x.transpose(0, 3).contiguous().transpose(0, 3)
    assert not strided.is_contiguous()
    close(module(strided), module(x))


@pytest.mark.parametrize("orders", [[], [(0, 0)], [(0, 1, 2)], [(0, 1), (1,)]])
def test_wrong_orders_are_named(orders):
    with pytest.raises(ValueError, match="orders: found"):
        SelectiveScan(4, orders=orders)


def test_wrong_rank_and_sizes_are_named():
    with pytest.raises(ValueError, match="x: found rank 5"):
        SelectiveScan(4)(torch.zeros(1, 2, 2, 2, 4))
    with pytest.raises(ValueError, match="x: found rank 4"):
        TriPlaneScan(4)(torch.zeros(1, 2, 2, 4))
    with pytest.raises(ValueError, match="ndim, states"):
        SelectiveScan(4, states=0)


# ---------------------------------------------------------------- the reference


@pytest.fixture(scope="module")
def reference(shared_file):
    return torch.load(shared_file("parity/liver_mri/parity_srma.pt"), weights_only=True)


def loaded(scan: SelectiveScan, state: dict[str, Tensor], prefix: str) -> SelectiveScan:
    """The reference's weights, renamed and reshaped."""
    own = scan.state_dict()
    scan.load_state_dict({new: state[prefix + old].view_as(own[new]) for old, new in NAMES.items()})
    return scan.requires_grad_(False)


@pytest.mark.parametrize("double", [False, True])
def test_reference_scans_and_block(reference, double):
    state, expected = reference["state_dict"], reference["intermediates"]
    block = "encoder.layers.0.blocks.1"
    module = TriPlaneScan(16)
    for scan, name in zip(module.scans, ("sh", "sw", "sd"), strict=True):
        loaded(scan, state, f"{block}.op.{name}.")
    x = expected["encoder.layers.0.blocks.0"]
    if double:
        module, x = module.double(), x.double()
    weights = {
        key.removeprefix(f"{block}."): value.to(x.dtype) for key, value in state.items() if key.startswith(block)
    }
    normal = F.layer_norm(x, (16,), weights["norm.weight"], weights["norm.bias"])
    # Measured 1.2e-6 at most in float32, on values up to 4.3 and, for the whole block, 1.7e-6 on values up to 9.6.
    for axis, (scan, name) in enumerate(zip(module.scans, ("sh", "sw", "sd"), strict=True)):
        found = scan(normal.movedim(axis + 1, 1).flatten(2, 3))
        torch.testing.assert_close(found.float(), expected[f"{block}.op.{name}"], rtol=0, atol=3e-6)
    mixed = x + module(normal)
    normal = F.layer_norm(mixed, (16,), weights["norm2.weight"], weights["norm2.bias"])
    hidden = F.gelu(F.linear(normal, weights["mlp.fc1.weight"], weights["mlp.fc1.bias"]))
    found = mixed + F.linear(hidden, weights["mlp.fc2.weight"], weights["mlp.fc2.bias"])
    torch.testing.assert_close(found.float(), expected[block], rtol=0, atol=5e-6)
