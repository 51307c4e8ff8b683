"""The primitive against full attention with the equivalent mask, in float64."""

import itertools

import pytest
import torch
from torch import Tensor

from transect.core.attention import attend

HEADS, DIM, VALUE_DIM = 2, 3, 4
GRIDS = [(5,), (3, 4), (4, 4), (2, 3, 4), (3, 3, 3), (2, 3, 2, 2)]
CASES = [
    (grid, axes)
    for grid in GRIDS
    for count in range(1, len(grid) + 1)
    for axes in itertools.combinations(range(len(grid)), count)
]


def tensors(
    grid: tuple[int, ...], key_grid: tuple[int, ...] | None = None, batch: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    key_grid = key_grid or grid
    query = torch.randn(batch, *grid, HEADS, DIM, dtype=torch.float64)
    key = torch.randn(batch, *key_grid, HEADS, DIM, dtype=torch.float64)
    value = torch.randn(batch, *key_grid, HEADS, VALUE_DIM, dtype=torch.float64)
    return query, key, value


def places(grid: tuple[int, ...]) -> Tensor:
    return torch.cartesian_prod(*[torch.arange(size) for size in grid]).view(-1, len(grid))


def dense(query, key, value, axes, *, bias=None, mask=None, causal=False, scale=DIM**-0.5) -> Tensor:
    """Full attention over the whole grid; keys on other lines are masked."""
    query_places, key_places = places(query.shape[1:-2]), places(key.shape[1:-2])
    others = [axis for axis in range(query.ndim - 3) if axis not in axes]
    visible = (query_places[:, None, others] == key_places[None, :, others]).all(-1)
    if causal:
        visible &= query_places[:, None, axes[0]] >= key_places[None, :, axes[0]]
    q, k, v = (tensor.flatten(1, -3).transpose(1, 2) for tensor in (query, key, value))
    logits = scale * q @ k.transpose(-1, -2)
    if bias is not None:
        rank_of = [torch.zeros(len(p), dtype=torch.long) for p in (query_places, key_places)]
        for index, (grid_places, grid) in enumerate(((query_places, query.shape[1:-2]), (key_places, key.shape[1:-2]))):
            for axis in sorted(axes):
                rank_of[index] = rank_of[index] * grid[axis] + grid_places[:, axis]
        logits = logits + bias[:, rank_of[0][:, None], rank_of[1][None, :]]
    shown = visible.expand_as(logits)
    if mask is not None:
        shown = shown & mask.expand(len(query), *key.shape[1:-2]).flatten(1)[:, None, None, :]
    weights = logits.masked_fill(~shown, -torch.inf).softmax(-1).nan_to_num(0.0)
    return (weights @ v).transpose(1, 2).reshape(*query.shape[:-1], value.shape[-1])


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("grid", "axes"), CASES)
def test_equals_full_attention_along_its_axes(grid, axes):
    query, key, value = tensors(grid)
    close(attend(query, key, value, axes), dense(query, key, value, axes))


@pytest.mark.parametrize(("grid", "axes"), CASES)
def test_mask_of_each_sample_hides_its_own_keys(grid, axes):
    query, key, value = tensors(grid)
    mask = torch.rand(2, *grid) < 0.6
    close(attend(query, key, value, axes, mask=mask), dense(query, key, value, axes, mask=mask))
    close(attend(query, key, value, axes, mask=mask[:1]), dense(query, key, value, axes, mask=mask[:1]))


@pytest.mark.parametrize(("grid", "axes"), CASES)
@pytest.mark.parametrize("heads", [1, HEADS])
def test_bias_belongs_to_the_attended_places_and_heads(grid, axes, heads):
    query, key, value = tensors(grid)
    length = int(torch.tensor([grid[axis] for axis in axes]).prod())
    bias = torch.randn(heads, length, length, dtype=torch.float64)
    mask = torch.rand(2, *grid) < 0.6
    close(attend(query, key, value, axes, bias=bias), dense(query, key, value, axes, bias=bias))
    both = attend(query, key, value, axes, bias=bias, mask=mask)
    close(both, dense(query, key, value, axes, bias=bias, mask=mask))


@pytest.mark.parametrize(("grid", "axis"), [((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 3, 4), 1)])
def test_causal_sees_no_later_place(grid, axis):
    query, key, value = tensors(grid)
    mask = torch.rand(2, *grid) < 0.6
    bias = torch.randn(HEADS, grid[axis], grid[axis], dtype=torch.float64)
    for options in ({}, {"mask": mask}, {"bias": bias}, {"mask": mask, "bias": bias}):
        found = attend(query, key, value, (axis,), causal=True, **options)
        close(found, dense(query, key, value, (axis,), causal=True, **options))


@pytest.mark.parametrize(
    ("grid", "key_grid", "axes"), [((4,), (7,), (0,)), ((3, 4), (3, 6), (1,)), ((2, 3, 4), (5, 3, 2), (0, 2))]
)
def test_cross_attention_to_another_length(grid, key_grid, axes):
    query, key, value = tensors(grid, key_grid)
    close(attend(query, key, value, axes), dense(query, key, value, axes))


TIED = [((3, 4), (1,), (0,)), ((3, 4), (0,), (1,)), ((2, 3, 4), (1,), (0, 2)), ((2, 3, 4), (0, 2), (1,))]
TIED_CASES = [*TIED, ((2, 3, 2, 2), (1, 2), (3,)), ((2, 3, 4), (2,), (0,))]


def tied_loop(query, key, value, axes, tied, *, bias=None, mask=None, scale=None) -> Tensor:
    """One map per line of the other axes, with logits summed over the tied positions in a loop."""
    grid = query.shape[1:-2]
    out = torch.zeros(*query.shape[:-1], value.shape[-1], dtype=query.dtype)
    alike = 1
    for axis in tied:
        alike *= grid[axis]
    scale = (DIM * alike) ** -0.5 if scale is None else scale
    others = [axis for axis in range(len(grid)) if axis not in axes and axis not in tied]
    spots = places(grid).tolist()
    for b, head in itertools.product(range(len(query)), range(HEADS)):
        for line in {tuple(spot[axis] for axis in others) for spot in spots}:
            on_line = [spot for spot in spots if tuple(spot[axis] for axis in others) == line]
            attended = sorted({tuple(spot[axis] for axis in axes) for spot in on_line})
            index = {place: number for number, place in enumerate(attended)}
            logits = torch.zeros(len(attended), len(attended), dtype=query.dtype)
            seen = torch.zeros(len(attended), dtype=torch.bool)
            for first, second in itertools.product(on_line, on_line):
                if all(first[axis] == second[axis] for axis in tied):
                    i, j = (index[tuple(spot[axis] for axis in axes)] for spot in (first, second))
                    logits[i, j] += scale * query[b, *first, head] @ key[b, *second, head]
                    seen[j] |= True if mask is None else bool(mask[b, *second])
            if bias is not None:
                logits = logits + bias[head]
            weights = logits.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num(0.0)
            for first, second in itertools.product(on_line, on_line):
                if all(first[axis] == second[axis] for axis in tied):
                    i, j = (index[tuple(spot[axis] for axis in axes)] for spot in (first, second))
                    out[b, *first, head] += weights[i, j] * value[b, *second, head]
    return out


@pytest.mark.parametrize(("grid", "axes", "tied"), TIED_CASES)
def test_tied_axes_share_one_map(grid, axes, tied):
    query, key, value = tensors(grid)
    close(attend(query, key, value, axes, tied=tied), tied_loop(query, key, value, axes, tied))
    mask = torch.rand(2, *grid) < 0.4
    bias = torch.randn(HEADS, *2 * [int(torch.tensor([grid[axis] for axis in axes]).prod())]).double()
    found = attend(query, key, value, axes, tied=tied, mask=mask, bias=bias, scale=0.3)
    close(found, tied_loop(query, key, value, axes, tied, mask=mask, bias=bias, scale=0.3))


@pytest.mark.parametrize(("grid", "axes"), [((3, 4), (0,)), ((3, 4), (1,)), ((2, 3, 4), (1,)), ((2, 3, 4), (0, 2))])
@pytest.mark.parametrize("samples", [1, 2])
def test_pair_mask_says_for_each_query_which_keys_it_sees(grid, axes, samples):
    query, key, value = tensors(grid)
    length = int(torch.tensor([grid[axis] for axis in axes]).prod())
    pairs = torch.rand(samples, length, length) < 0.5
    hidden = torch.zeros(2, HEADS, length, length, dtype=torch.float64).masked_fill(~pairs[:, None], -torch.inf)
    mask = torch.rand(2, *grid) < 0.6
    bias = torch.randn(HEADS, length, length, dtype=torch.float64)
    for options in ({}, {"mask": mask}):
        expected = [
            dense(q[None], k[None], v[None], axes, bias=h, **{name: m[b : b + 1] for name, m in options.items()})
            for b, (q, k, v, h) in enumerate(zip(query, key, value, hidden, strict=True))
        ]
        close(attend(query, key, value, axes, pair_mask=pairs, **options), torch.cat(expected))
    expected = [
        dense(q[None], k[None], v[None], axes, bias=bias + h, mask=m[None])
        for q, k, v, h, m in zip(query, key, value, hidden, mask, strict=True)
    ]
    close(attend(query, key, value, axes, pair_mask=pairs, mask=mask, bias=bias), torch.cat(expected))


def test_scale_replaces_the_default():
    query, key, value = tensors((3, 4))
    close(attend(query, key, value, (1,), scale=0.25), dense(query, key, value, (1,), scale=0.25))


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_output_depends_on_exactly_the_places_of_its_line(axes):
    grid = (2, 3, 2)
    query, key, value = tensors(grid, batch=1)
    jacobian = torch.autograd.functional.jacobian(lambda v: attend(query, key, v, axes).sum((-1, -2)), value)
    reached = jacobian.abs().sum((0, 4, 8, 9)).reshape(12, 12) > 0
    others = [axis for axis in range(3) if axis not in axes]
    spots = places(grid)
    assert torch.equal(reached, (spots[:, None, others] == spots[None, :, others]).all(-1))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_query_without_any_key_gives_zeros_and_finite_gradients(axes, with_bias, dtype):
    query, key, value = (tensor.to(dtype).requires_grad_() for tensor in tensors((3, 4)))
    length = {(0,): 3, (1,): 4, (0, 1): 12}[axes]
    bias = torch.randn(HEADS, length, length, dtype=dtype, requires_grad=True) if with_bias else None
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[0] = False
    out = attend(query, key, value, axes, mask=mask, bias=bias)
    assert torch.equal(out[0], torch.zeros_like(out[0]))
    assert out[1].abs().min() > 0
    out.square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (query, key, value))


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"bias": True}, {"mask": True}])
def test_gradients(options):
    query, key, value = (tensor.requires_grad_() for tensor in tensors((2, 3), batch=1))
    bias = torch.randn(HEADS, 3, 3, dtype=torch.float64, requires_grad=True) if options.get("bias") else None
    mask = torch.tensor([[[True, False, True], [True, True, True]]]) if options.get("mask") else None

    def run(q, k, v, b):
        return attend(q, k, v, (1,), bias=b, mask=mask, causal=options.get("causal", False))

    assert torch.autograd.gradcheck(run, (query, key, value, bias))


def test_strides_do_not_matter_and_inputs_stay():
    query, key, value = tensors((3, 4))
    expected = attend(query, key, value, (0,))
    strided = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in (query, key, value)]
    copies = [tensor.clone() for tensor in strided]
    close(attend(*strided, (0,)), expected)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(strided, copies, strict=True))


def test_bf16_keeps_the_softmax_in_full_precision():
    query, key, value = (tensor.bfloat16() for tensor in tensors((64, 4), batch=4))
    found = attend(query, key, value, (0,)).double()
    expected = dense(query.double(), key.double(), value.double(), (0,))
    assert (found - expected).square().mean().sqrt() / expected.square().mean().sqrt() < 2.5e-3


@pytest.mark.parametrize(
    ("axes", "options", "words"),
    [
        ((2,), {}, "axes"),
        ((), {}, "axes"),
        ((0, 0), {}, "axes"),
        ((0, -2), {}, "axes"),
        ((0, 1), {"causal": True}, "causal"),
        ((0,), {"tied": (0,)}, "tied"),
        ((0,), {"tied": (2,)}, "tied"),
    ],
)
def test_refuses_axes_that_make_no_sense(axes, options, words):
    with pytest.raises(ValueError, match=words):
        attend(*tensors((3, 4)), axes, **options)


def test_refuses_shapes_that_disagree():
    query, key, value = tensors((3, 4), (3, 5))
    with pytest.raises(ValueError, match="key"):
        attend(query, key, value, (0,))
    with pytest.raises(ValueError, match="value"):
        attend(query, key, value[:, :, :4], (1,))
