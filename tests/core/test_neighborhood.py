"""Neighborhood attention against full attention with its mask, built cell by cell in float64."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.helpers import randomised
from transect.core.attention.neighborhood import BLOCK, NeighborhoodAttention

DIM, HEADS = 4, 2
# Grid, kernel, dilation. The first of each rank fit in one block, the others span several, whole or partial.
CASES = [
    ((7,), (3,), 1),
    ((9,), (4,), 2),
    ((64,), (5,), 1),
    ((77,), (6,), 1),
    ((100,), (41,), 1),
    ((101,), (5,), 3),
    ((5, 4), (3, 2), 1),
    ((16, 16), (7, 7), 1),
    ((17, 11), (4, 5), 1),
    ((19, 9), (9, 3), 1),
    ((18, 21), (3, 2), (2, 3)),
    ((3, 4, 5), (3, 2, 3), 1),
    ((8, 5, 9), (3, 4, 1), 1),
    ((6, 5, 9), (2, 3, 3), (3, 1, 2)),
]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def reads(i: int, size: int, kernel: int, dilation: int) -> list[int]:
    """The cells that cell i of one axis attends to, by definition."""
    line = list(range(i % dilation, size, dilation))
    start = min(max(line.index(i) - kernel // 2, 0), len(line) - kernel)
    return line[start : start + kernel]


def near(module: NeighborhoodAttention, grid: tuple[int, ...]) -> Tensor:
    """Which cell attends to which, `(cells, cells)`."""
    seen = torch.ones(1, 1, dtype=torch.bool)
    for size, kernel, dilation in zip(grid, module.kernel, module.dilation, strict=True):
        axis = torch.zeros(size, size, dtype=torch.bool)
        for i in range(size):
            axis[i, reads(i, size, kernel, dilation)] = True
        seen = torch.kron(seen, axis)
    return seen


def dense(module: NeighborhoodAttention, x: Tensor, mask: Tensor | None = None) -> Tensor:
    tokens = x.flatten(1, -2)
    projected = F.linear(tokens, module.qkv.weight, module.qkv.bias).view(*tokens.shape[:2], module.heads, 3, -1)
    query, key, value = projected.permute(3, 0, 2, 1, 4)
    shown = near(module, x.shape[1:-1]).expand(len(x), 1, -1, -1)
    if mask is not None:
        shown = shown & mask.expand(x.shape[:-1]).flatten(1)[:, None, None, :]
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    weights = logits.masked_fill(~shown, -torch.inf).softmax(-1).nan_to_num(0.0)
    mixed = (weights @ value).transpose(1, 2).flatten(-2)
    return F.linear(mixed, module.out.weight, module.out.bias).view_as(x)


@pytest.mark.parametrize(("grid", "kernel", "dilation"), CASES)
def test_equals_full_attention_under_its_mask(grid, kernel, dilation):
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=kernel, dilation=dilation))
    x = torch.randn(2, *grid, DIM).double()
    assert near(module, grid).sum(1).unique().tolist() == [math.prod(kernel)]
    close(module(x), dense(module, x))


@pytest.mark.parametrize(("grid", "kernel", "dilation"), CASES)
def test_mask_of_each_sample_hides_its_own_keys(grid, kernel, dilation):
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=kernel, dilation=dilation))
    x = torch.randn(2, *grid, DIM).double()
    mask = torch.rand(2, *grid) < 0.6
    close(module(x, mask), dense(module, x, mask))
    close(module(x, mask[:1]), dense(module, x, mask[:1]))


@pytest.mark.parametrize(("rank", "axis"), [(rank, axis) for rank in BLOCK for axis in range(rank)])
def test_the_cases_reach_over_blocks(rank, axis):
    """All sizes around the block length, since single blocks do not test the transition between two."""
    block = BLOCK[rank][axis]
    for size, kernel in itertools.product(sorted({max(block - 1, 3), block + 1, 2 * block, 2 * block + 1}), (1, 2, 3)):
        grid, kernels = [4] * rank, [2] * rank
        grid[axis], kernels[axis] = size, kernel
        module = randomised(NeighborhoodAttention(2, 1, kernel=kernels))
        x = torch.randn(1, *grid, 2).double()
        close(module(x), dense(module, x))


@pytest.mark.parametrize("grid", [(40,), (9, 10), (5, 6, 3)])
def test_kernel_of_the_whole_grid_is_full_attention(grid):
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=grid))
    assert near(module, grid).all()
    x = torch.randn(2, *grid, DIM).double()
    tokens = module.qkv(x).flatten(1, -2).unflatten(-1, (HEADS, 3, -1)).permute(3, 0, 2, 1, 4)
    full = F.scaled_dot_product_attention(*tokens).transpose(1, 2).flatten(-2)
    close(module(x), module.out(full).view_as(x))


@pytest.mark.parametrize("grid", [(40,), (9, 10), (5, 6, 3)])
def test_kernel_of_one_reads_the_own_value(grid):
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=(1,) * len(grid)))
    x = torch.randn(2, *grid, DIM).double()
    close(module(x), module.out(module.qkv(x).unflatten(-1, (HEADS, 3, -1))[..., 2, :].flatten(-2)))


@pytest.mark.parametrize(("grid", "step"), [((21,), 2), ((12, 20), 3)])
def test_dilation_is_the_neighbourhood_on_each_rest(grid, step):
    kernel = (3,) * len(grid)
    dilated = randomised(NeighborhoodAttention(DIM, HEADS, kernel=kernel, dilation=step))
    plain = NeighborhoodAttention(DIM, HEADS, kernel=kernel).double()
    plain.load_state_dict(dilated.state_dict())
    x = torch.randn(2, *grid, DIM).double()
    out = dilated(x)
    for rests in itertools.product(range(step), repeat=len(grid)):
        line = (slice(None), *(slice(rest, None, step) for rest in rests))
        close(out[line], plain(x[line]))


def test_shift_far_from_the_ends_shifts_the_result():
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=(5, 3)))
    x = torch.randn(1, 20, 21, DIM).double()
    shifted = module(x.roll((3, 2), (1, 2)))
    close(shifted[:, 5:-2, 3:-1], module(x)[:, 2:-5, 1:-3])


@pytest.mark.parametrize("grid", [(35,), (9, 10), (5, 4, 3)])
def test_output_depends_on_exactly_its_neighbourhood(grid):
    module = randomised(NeighborhoodAttention(2, 1, kernel=(3, 2, 3)[: len(grid)]))
    x = torch.randn(1, *grid, 2).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: module(x).sum(-1).flatten(), x)
    reached = jacobian.flatten(1, -2).abs().sum(-1) > 0
    own = torch.eye(math.prod(grid), dtype=torch.bool)
    assert torch.equal(reached, near(module, grid) | own)


def test_neighbourhood_without_any_key_gives_zeros_and_finite_gradients():
    module = randomised(NeighborhoodAttention(DIM, HEADS, kernel=(3, 3)))
    nn.init.zeros_(module.out.bias)
    x = torch.randn(2, 10, 11, DIM).double().requires_grad_()
    mask = torch.ones(2, 10, 11, dtype=torch.bool)
    mask[0, :4, 6:] = False
    out = module(x, mask)
    assert torch.equal(out[0, :3, 7:], torch.zeros(3, 4, DIM).double())
    assert out[0, 3:].abs().min() > 0
    out.square().sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("grid", "kernel", "dilation"), [((34,), (3,), 1), ((9, 4), (3, 2), (2, 1)), ((5, 3, 2), (3, 2, 1), 1)]
)
def test_gradients_by_finite_differences(grid, kernel, dilation):
    module = randomised(NeighborhoodAttention(2, 1, kernel=kernel, dilation=dilation))
    names, parameters = zip(*module.named_parameters(), strict=True)

    def function(x: Tensor, *tensors: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, tensors, strict=True)), (x,))

    x = torch.randn(2, *grid, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 5, "kernel": (3,)}, "dim"),
        ({"kernel": ()}, "kernel"),
        ({"kernel": (3, 0)}, "kernel"),
        ({"kernel": (3, 3, 3, 3)}, "kernel"),
        ({"kernel": (3, 3), "dilation": 0}, "dilation"),
        ({"kernel": (3, 3), "dilation": (1,)}, "dilation"),
    ],
)
def test_refuses_options_that_make_no_sense(options, words):
    with pytest.raises(ValueError, match=f"{words}: found"):
        NeighborhoodAttention(options.pop("dim", DIM), HEADS, **options)


def test_refuses_a_grid_or_a_mask_that_does_not_fit():
    module = NeighborhoodAttention(DIM, HEADS, kernel=(3, 3), dilation=(1, 2))
    for grid in ((5,), (2, 6), (3, 5)):
        with pytest.raises(ValueError, match="grid: found"):
            module(torch.randn(1, *grid, DIM))
    for mask in (torch.ones(2, 3, 6), torch.ones(2, 3, 7, dtype=torch.bool), torch.ones(3, 3, 6, dtype=torch.bool)):
        with pytest.raises(ValueError, match="mask: found"):
            module(torch.randn(2, 3, 6, DIM), mask)
