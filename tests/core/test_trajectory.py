"""Axial-trajectory attention against its two softmaxes in loops, and its receptive field."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from tests.core.helpers import close, randomised
from transect.core.attention.axial import AxialAttention
from transect.core.attention.trajectory import AxialTrajectoryAttention, TrajectoryAttention


def trajectory(dim: int = 4, heads: int = 2, **options) -> AxialTrajectoryAttention:
    return randomised(AxialTrajectoryAttention(dim, heads, **options), std=0.7)


def linear(layer: nn.Linear, vector: Tensor) -> Tensor:
    return vector @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def naive_line(module: TrajectoryAttention, x: Tensor) -> Tensor:
    """One line `(frames, length, dim)`, token by token."""
    frames, length, dim = x.shape
    heads = module.heads
    size = dim // heads
    out = torch.zeros_like(x)
    q, k, v = linear(module.qkv, x).view(frames, length, heads, 3, size).unbind(3)
    for t, i in itertools.product(range(frames), range(length)):
        points = torch.zeros(frames, dim).double()
        for s, h in itertools.product(range(frames), range(heads)):
            weights = (k[s, :, h] @ q[t, i, h] / math.sqrt(size)).softmax(0)
            points[s, h * size : (h + 1) * size] = weights @ v[s, :, h]
        query = linear(module.trajectory_query, points[t]).view(heads, size)
        key, value = linear(module.trajectory_key_value, points).view(frames, heads, 2, size).unbind(2)
        read = []
        for h in range(heads):
            weights = (key[:, h] @ query[h] / math.sqrt(size)).softmax(0)
            read.append(weights @ value[:, h])
        out[t, i] = linear(module.out, torch.cat(read))
    return out


def naive(module: AxialTrajectoryAttention, x: Tensor) -> Tensor:
    for axis, part in zip(module.axes, module.along, strict=True):
        lines = x.movedim(axis + 2, -2).movedim(1, -3)  # (batch, *others, frames, length, dim)
        mixed = torch.stack([naive_line(part, line) for line in lines.flatten(0, -4)]).view(lines.shape)
        x = mixed.movedim(-3, 1).movedim(-2, axis + 2)
    return x


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("grid", "axes"),
    [((4,), None), ((3, 4), None), ((3, 3), (1, 0)), ((3, 2), (1,)), ((2, 3, 2), None), ((1, 3), None)],
)
def test_equals_the_equations_token_by_token(grid, axes, bias):
    module = trajectory(ndim=len(grid), axes=axes, qkv_bias=bias)
    x = torch.randn(2, 3, *grid, 4).double()
    close(module(x), naive(module, x))


@pytest.mark.parametrize("axis", [0, 1])
def test_one_frame_is_axial_attention_through_the_second_projections(axis):
    module = trajectory(axes=(axis,))
    part = module.along[0]
    axial = AxialAttention(4, 2, axes=(axis,)).double()
    axial.qkv[0].weight.data = part.qkv.weight.data
    axial.out[0].weight.data, axial.out[0].bias.data = torch.eye(4).double(), torch.zeros(4).double()
    x = torch.randn(2, 1, 3, 4, 4).double()
    value = part.trajectory_key_value.weight.view(2, 2, 2, 4)[:, 1].reshape(4, 4)
    close(module(x), part.out(axial(x[:, 0]) @ value.T)[:, None])


def test_order_of_frames_and_of_places():
    module = trajectory()
    x = torch.randn(2, 4, 3, 5, 4).double()
    frames, rows, columns = torch.randperm(4), torch.tensor([2, 0, 1]), torch.randperm(5)
    moved = lambda clip: clip[:, frames][:, :, rows][:, :, :, columns]  # noqa: E731
    close(module(moved(x)), moved(module(x)))


def test_axes_in_the_other_order_are_the_transposed_clip():
    module, swapped = trajectory(axes=(0, 1)), trajectory(axes=(1, 0))
    swapped.load_state_dict(module.state_dict())
    x = torch.randn(2, 3, 3, 4, 4).double()
    close(swapped(x.transpose(2, 3)), module(x).transpose(2, 3))
    assert not torch.allclose(swapped(x), module(x))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nothing_leaks_between_lines(axis):
    module = trajectory(ndim=3, axes=(axis,))
    x = torch.randn(2, 3, 2, 3, 2, 4).double().requires_grad_()
    place = (1, 2, 1, 0, 1)
    (gradient,) = torch.autograd.grad(module(x)[place].square().sum(), x)
    reached = gradient.abs().amax(-1) > 0
    expected = torch.zeros_like(reached)
    line: list[int | slice] = list(place)
    line[1] = line[axis + 2] = slice(None)  # the line through the token, in all frames
    expected[tuple(line)] = True
    assert torch.equal(reached, expected)


def test_both_axes_reach_the_whole_clip_of_the_sample():
    module = trajectory()
    x = torch.randn(2, 3, 2, 3, 4).double().requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0, 1, 1, 2].square().sum(), x)
    assert (gradient[0].abs().amax(-1) > 0).all()
    assert not gradient[1].any()


@pytest.mark.parametrize("bias", [False, True])
def test_hidden_frames_and_places_are_absent_ones(bias):
    module = trajectory(qkv_bias=bias)
    x = torch.randn(2, 4, 3, 5, 4).double()
    mask = torch.ones(2, 4, 3, 5, dtype=torch.bool)
    mask[0, 2:] = False
    mask[1, :, :, 3:] = False
    mask[1, :, 2] = False
    found = module(x, mask)
    close(found[:1, :2], module(x[:1, :2]))
    close(found[1:, :, :2, :3], module(x[1:, :, :2, :3]))
    close(module(x, mask[1:]), torch.cat([module(x[:1], mask[1:]), found[1:]]))  # one mask for the whole batch


def test_a_clip_without_a_visible_token_gives_zeros_and_finite_gradients():
    module = trajectory(ndim=1)
    x = torch.randn(2, 2, 3, 4).double().requires_grad_()
    mask = torch.tensor([False, True])[:, None, None].expand(2, 2, 3)
    found = module(x, mask.clone())
    close(found[0], module.along[0].out.bias.expand(2, 3, 4))
    found.square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in module.parameters())


def test_strides_do_not_matter():
    module = trajectory()
    x = torch.randn(2, 3, 2, 4, 4).double()
    strided = x.permute(4, 3, 0, 2, 1).contiguous().permute(2, 4, 3, 1, 0)
    assert not strided.is_contiguous()
    close(module(strided), module(x))


def test_gradients_by_finite_differences():
    module = trajectory(qkv_bias=True)
    mask = torch.rand(1, 2, 2, 3) < 0.6
    names = [name for name, _ in module.named_parameters()]

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, mask))

    inputs = [torch.randn(1, 2, 2, 3, 4).double(), *module.parameters()]
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="dim: found 6, expected a multiple of heads = 4"):
        AxialTrajectoryAttention(6, 4)
    with pytest.raises(ValueError, match=r"axes: found \(2,\), expected spatial axes of a grid of rank 2"):
        AxialTrajectoryAttention(4, 2, axes=(2,))
    with pytest.raises(ValueError, match="x: found rank 4"):
        trajectory()(torch.randn(2, 3, 3, 4).double())
