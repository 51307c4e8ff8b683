"""The linear recurrence against a sequential loop over the positions."""

import itertools

import pytest
import torch
from torch import Tensor

from transect.core import recurrence
from transect.core.recurrence import linear_recurrence, previous

CASES = [
    ((1,), (0,)),
    ((7,), (0,)),
    ((3, 4), (0, 1)),
    ((3, 4), (1, 0)),
    ((3, 1, 4), (2, 0, 1)),
    ((2, 3, 2), (1, 2, 0)),
    ((2, 3, 1, 4), (3, 1, 0, 2)),
    ((3, 2, 4), (2, 0)),
    ((1, 7), (0, 1)),
]


def places(grid: tuple[int, ...], axes: tuple[int, ...], reverse: bool) -> list[dict[int, int]]:
    """The positions in scan order."""
    order = [dict(zip(axes, index, strict=True)) for index in itertools.product(*(range(grid[a]) for a in axes))]
    return order[::-1] if reverse else order


def at(place: dict[int, int], rank: int) -> tuple:
    return (slice(None), *(place.get(axis, slice(None)) for axis in range(rank)))


def loop(decay: Tensor, update: Tensor, axes: tuple[int, ...], reverse: bool, rank: int) -> Tensor:
    states, state = torch.empty_like(update), 0
    for place in places(update.shape[1:], axes, reverse):
        state = decay[at(place, rank)] * state + update[at(place, rank)]
        states[at(place, rank)] = state
    return states


def inputs(grid: tuple[int, ...], channels: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    shape = (2, *grid, channels)
    return torch.rand(shape).double() * 1.4 - 0.2, torch.randn(shape).double()


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("longest", [4, 128])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "axes"), [*CASES, ((11, 13), (1, 0)), ((5, 29), (0, 1)), ((9, 2, 6), (2, 0, 1))])
def test_equals_the_loop_over_places(grid, axes, reverse, longest, monkeypatch):
    monkeypatch.setattr(recurrence, "LONGEST_LOOP", longest)
    decay, update = inputs(grid)
    close(linear_recurrence(decay, update, axes, reverse=reverse), loop(decay, update, axes, reverse, len(grid)))


@pytest.mark.parametrize("reverse", [False, True])
def test_every_length_and_number_of_levels_gives_the_same(reverse, monkeypatch):
    decay, update = inputs((331,))
    for length in [*range(1, 70), 97, 128, 211, 256, 330, 331]:
        part = decay[:, :length], update[:, :length]
        monkeypatch.setattr(recurrence, "LONGEST_LOOP", 10**6)
        whole = linear_recurrence(*part, (0,), reverse=reverse)
        close(whole, loop(*part, (0,), reverse, 1))
        for longest in (4, 16):  # up to three and up to two levels
            monkeypatch.setattr(recurrence, "LONGEST_LOOP", longest)
            close(linear_recurrence(*part, (0,), reverse=reverse), whole)


@pytest.mark.parametrize(("grid", "axes"), CASES)
def test_reverse_is_the_flipped_scan_of_the_flipped_grid(grid, axes):
    decay, update = inputs(grid)
    dims = [axis + 1 for axis in axes]
    flipped = linear_recurrence(decay.flip(dims), update.flip(dims), axes).flip(dims)
    assert torch.equal(linear_recurrence(decay, update, axes, reverse=True), flipped)


@pytest.mark.parametrize("longest", [4, 128])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "axes"), CASES)
def test_first_and_second_derivative_by_finite_differences(grid, axes, reverse, longest, monkeypatch):
    monkeypatch.setattr(recurrence, "LONGEST_LOOP", longest)
    tensors = tuple(tensor.requires_grad_() for tensor in inputs(grid, channels=1))
    assert torch.autograd.gradcheck(lambda a, b: linear_recurrence(a, b, axes, reverse=reverse), tensors)
    assert torch.autograd.gradgradcheck(
        lambda a, b: linear_recurrence(a, b, axes, reverse=reverse), tensors, fast_mode=True
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "axes"), [((23,), (0,)), ((3, 4), (1, 0)), ((2, 3, 3), (2, 0, 1))])
def test_a_place_depends_on_itself_and_the_places_before_alone(grid, axes, reverse, monkeypatch):
    monkeypatch.setattr(recurrence, "LONGEST_LOOP", 4)
    decay, update = (tensor.requires_grad_() for tensor in inputs(grid))
    states = linear_recurrence(decay, update, axes, reverse=reverse)
    order = places(grid, axes, reverse)
    for now, place in enumerate(order):
        grads = torch.autograd.grad(states[at(place, len(grid))].sum(), (decay, update), retain_graph=True)
        for then, other in enumerate(order):
            by_decay, by_update = (grad[at(other, len(grid))] for grad in grads)
            assert bool((by_update != 0).all()) == (then <= now)
            assert bool((by_update == 0).all()) == (then > now)
            assert bool((by_decay == 0).all()) == (then > now or then == 0)


@pytest.mark.parametrize("decay_value", [0.0, 1e-30, 1.0])
def test_long_sequences_neither_overflow_nor_lose_digits(decay_value):
    torch.manual_seed(0)
    decay, update = torch.full((1, 5003, 2), decay_value), torch.randn(1, 5003, 2)
    decay[:, ::7] = 0.999
    decay.requires_grad_()
    states = linear_recurrence(decay, update, (0,))
    expected = loop(decay.detach().double(), update.double(), (0,), False, 1)
    scale = expected.abs().max()
    torch.testing.assert_close(states.double() / scale, expected / scale, rtol=0, atol=2e-6)
    states.sum().backward()
    assert decay.grad.isfinite().all()


def test_strides_do_not_matter():
    decay, update = inputs((4, 6))
    strided = [tensor.transpose(0, 3).contiguous().transpose(0, 3) for tensor in (decay, update)]
    broadcast = update[:, :1].expand_as(update)
    assert torch.equal(linear_recurrence(*strided, (1, 0)), linear_recurrence(decay, update, (1, 0)))
    expected = linear_recurrence(decay, broadcast.contiguous(), (0, 1))
    assert torch.equal(linear_recurrence(decay, broadcast, (0, 1)), expected)


def test_inputs_are_left_alone():
    decay, update = inputs((5, 6))
    copies = decay.clone(), update.clone()
    linear_recurrence(decay, update, (0, 1))
    assert torch.equal(decay, copies[0])
    assert torch.equal(update, copies[1])


def test_sixteen_bits_are_computed_in_float32():
    decay, update = (tensor.bfloat16() for tensor in inputs((50,)))
    found = linear_recurrence(decay, update, (0,))
    assert torch.equal(found, linear_recurrence(decay.float(), update.float(), (0,)))
    assert found.dtype == torch.float32


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("grid", "axes"), CASES)
def test_previous_is_the_place_before(grid, axes, reverse):
    _, tensor = inputs(grid)
    found = previous(tensor, axes, reverse=reverse)
    before = torch.zeros_like(tensor[at(places(grid, axes, reverse)[0], len(grid))])
    for place in places(grid, axes, reverse):
        assert torch.equal(found[at(place, len(grid))], before)
        before = tensor[at(place, len(grid))]


def test_operator_keeps_its_promises_to_compilers():
    decay, update = (tensor.requires_grad_() for tensor in inputs((2, 131)))
    for axes in ([1, 2], [2, 1]):  # the second one needs padding
        torch.library.opcheck(torch.ops.transect.linear_recurrence, (decay, update, axes, True))


@pytest.mark.parametrize(("axes", "message"), [((), "axes"), ((0, 0), "axes"), ((0, 3), "axes"), ((-1,), "axes")])
def test_wrong_axes_are_named(axes, message):
    with pytest.raises(ValueError, match=message):
        linear_recurrence(*inputs((2, 3)), axes)


def test_different_shapes_are_named():
    decay, update = inputs((2, 3))
    with pytest.raises(ValueError, match=r"update: found shape \(2, 2, 3, 2\)"):
        linear_recurrence(decay, update[..., :2], (0, 1))
