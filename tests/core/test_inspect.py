"""Inspection against naive loops and the models themselves, and that it leaves results unchanged."""

import importlib
import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.core.helpers import close, randomised
from transect.core.attention import (
    AxialAttention,
    AxialTrajectoryAttention,
    FewQueryAttention,
    FoldedCrossAttention,
    MultiScaleDeformableAttention,
    SceneAxialCrossAttention,
    SelectiveScan,
    SqueezeAxialAttention,
    TiedAttention,
    WindowAttention,
    attend,
)
from transect.core.attention.cross_window import CrossWindowAttention
from transect.core.attention.grid import from_windows
from transect.core.attention.neighborhood import NeighborhoodAttention
from transect.core.inspect import (
    AttentionMap,
    attention_pictures,
    colours,
    entropy,
    head_importance,
    heat_map,
    influence,
    matrix,
    mean_distance,
    panels,
    record,
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "inspect.md"
ATTEND = importlib.import_module("transect.core.attention.attend")


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def places(grid: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, grid)))


class Attend(nn.Module):
    """The primitive as a module, so that its calls can be recorded."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, axes: tuple[int, ...], **options: object) -> Tensor:
        return attend(query, key, value, axes, **options)


def recorded(query: Tensor, key: Tensor, axes: tuple[int, ...], **options: object) -> AttentionMap:
    with record(module := Attend()) as maps:
        module(query, key, key, axes, **options)
    return maps[0]


# ---------------------------------------------------------------- maps


@torch.no_grad()
def naive_rows(tokens: Tensor, qkv: nn.Linear, heads: int, allowed: Tensor, bias: Tensor | None = None) -> Tensor:
    """`(heads, length, length)` of tokens `(length, dim)`, one query-key product at a time."""
    length, dim = tokens.shape
    size = dim // heads
    rows = qkv.weight.view(heads, 3, size, dim)
    extra = torch.zeros(heads, 3, size).double() if qkv.bias is None else qkv.bias.view(heads, 3, size)
    weights = torch.zeros(heads, length, length, dtype=torch.float64)
    for head, i in itertools.product(range(heads), range(length)):
        seen = [j for j in range(length) if allowed[i, j]]
        q = rows[head, 0] @ tokens[i] + extra[head, 0]
        logits = [
            float(q @ (rows[head, 1] @ tokens[j] + extra[head, 1])) / math.sqrt(size)
            + (0.0 if bias is None else float(bias[head, i, j]))
            for j in seen
        ]
        total = sum(math.exp(logit) for logit in logits)
        for j, logit in zip(seen, logits, strict=True):
            weights[head, i, j] = math.exp(logit) / total
    return weights


@pytest.mark.parametrize("kind", ["plain", "causal", "masked"])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 4)])
def test_axial_maps_equal_a_naive_softmax(grid, kind):
    module = randomised(AxialAttention(6, 2, ndim=len(grid), causal=kind == "causal"))
    x = normal(2, *grid, 6)
    mask = torch.ones(2, *grid, dtype=torch.bool)
    if kind == "masked":
        mask = normal(2, *grid) > -0.3
        mask[0, ..., 0] = False
    with record(module) as maps, torch.no_grad():
        module(x, mask if kind == "masked" else None)
    assert [one.axes for one in maps] == [[axis] for axis in range(len(grid))]
    for axis, one in enumerate(maps):
        found = one.weights()
        lines, seen = x.movedim(axis + 1, -2), mask.movedim(axis + 1, -1)
        expected = torch.zeros_like(found)
        for index in itertools.product(*map(range, lines.shape[:-2])):
            allowed = seen[index].expand(grid[axis], -1)
            allowed = allowed.tril() if kind == "causal" else allowed
            expected[index] = naive_rows(lines[index], module.qkv[axis], 2, allowed)
        close(found, expected)
        sums = found.sum(-1)
        close(sums, (sums > 0.5).double())
        # The mask hides index 0 of the last axis in the first sample: lines along other axes have no visible key there.
        assert (sums > 0.5).all() if kind != "masked" else (sums == 0).any() or axis == len(grid) - 1


def test_window_maps_equal_a_naive_softmax_inside_each_window():
    module = randomised(WindowAttention(6, 2, window=(2, 3), relative_bias=True))
    x = normal(1, 3, 5, 6)  # padded to 4 x 6
    with record(module) as maps, torch.no_grad():
        module(x)
    found = maps[0].unflatten(1, (2, 3)).unflatten(0, (2, 2))
    assert found.axes == [2, 3]
    bias = module.relative_bias()
    for top, left in places((2, 2)):
        tokens, real = torch.zeros(6, 6).double(), torch.zeros(6, dtype=torch.bool)
        for i, (row, column) in enumerate(places((2, 3))):
            if top * 2 + row < 3 and left * 3 + column < 5:
                tokens[i], real[i] = x[0, top * 2 + row, left * 3 + column], True
        expected = naive_rows(tokens, module.qkv, 2, real.expand(6, 6), bias)
        close(found.weights()[0, top, left], expected)
        # Distances in the flattened list are meaningless; on the window they are Euclidean.
        apart = torch.tensor([[math.dist(a, b) for b in places((2, 3))] for a in places((2, 3))], dtype=torch.float64)
        close(found.distance()[0, top, left].flatten(0, 1), (expected * apart).sum(-1).T)
    on_grid = from_windows(maps[0].entropy(), (2, 3), (3, 5))
    close(on_grid[0, 2, 4], found.entropy()[0, 1, 1, 0, 1])


def test_tied_maps_are_one_for_all_rows_and_equal_a_naive_softmax():
    module = randomised(TiedAttention(6, 2))
    x, mask = normal(1, 3, 4, 6), torch.ones(1, 3, 4, dtype=torch.bool)
    mask[0, 1, 2:], mask[0, :, 3] = False, False
    with record(module) as maps, torch.no_grad():
        module(x, mask)
    (one,) = maps
    assert (one.axes, one.tied) == ([1], [0])
    q, k, _ = (x @ module.qkv.weight.detach().T).masked_fill(~mask[..., None], 0).view(1, 3, 4, 2, 3, 3).unbind(4)
    expected = torch.zeros(1, 2, 4, 4).double()
    for head, i in itertools.product(range(2), range(4)):
        logits = [sum(float(q[0, r, i, head] @ k[0, r, j, head]) for r in range(3)) / 3 for j in range(3)]
        for j in range(3):
            expected[0, head, i, j] = math.exp(logits[j]) / sum(map(math.exp, logits))
    close(one.weights(), expected)
    assert one.entropy().shape == (1, 1, 4, 2)
    close(one.entropy()[0, 0].T, -(expected * expected.clamp_min(1e-300).log()).sum(-1)[0])
    close(one.at((1, 2))[0, :, 1], expected[0, :, 2])
    assert one.at((1, 2))[0, :, [0, 2]].abs().sum() == 0


@pytest.mark.parametrize("options", ["plain", "bias", "mask", "pair_mask", "both_masks", "tied", "cross", "scale"])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_what_a_query_reads_reproduces_the_output(axes, options):
    grid, heads = (2, 3, 4), 2
    key_grid = tuple(size + (axis in axes) for axis, size in enumerate(grid)) if options == "cross" else grid
    query, key, value = normal(2, *grid, heads, 3), normal(2, *key_grid, heads, 3) * 2, normal(2, *key_grid, heads, 5)
    length = math.prod(grid[axis] for axis in axes)
    tied = tuple(axis for axis in range(3) if axis not in axes)[:1] if options == "tied" else ()
    given: dict = {"tied": tied} if tied else {}
    if options in ("mask", "both_masks"):
        given["mask"] = normal(1 if axes == (0,) else 2, *key_grid) > 0
    if options in ("pair_mask", "both_masks"):
        given["pair_mask"] = normal(2 if len(axes) > 1 else 1, length, length) > 0
    if options == "bias":
        given["bias"] = normal(heads, length, length)
    if options == "scale":
        given["scale"] = 2.0
    output = attend(query, key, value, axes, **given)
    one = recorded(query, key, axes, **given)
    for place in places(grid):
        read = one.at(place)
        assert read.shape == (2, heads, *key_grid)
        close(torch.einsum("bhxyz,bxyzhd->bhd", read, value), output[(slice(None), *place)])


def test_sixteen_bit_queries_give_maps_in_float32():
    query, key = normal(1, 4, 2, 8).bfloat16(), normal(1, 4, 2, 8).bfloat16()
    found = recorded(query, key, (0,)).weights()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, recorded(query.float(), key.float(), (0,)).weights())


def test_maps_bear_the_name_of_the_innermost_module_and_the_order_of_the_calls():
    inner = nn.Sequential(nn.Linear(6, 6), AxialAttention(6, 2))
    model = nn.ModuleDict({"a": inner, "b": WindowAttention(6, 2, window=(2, 2))})
    model.forward = lambda x: model["b"](model["a"](model["b"](x)))
    elsewhere = AxialAttention(6, 2)
    with record(model) as maps:
        model(torch.randn(1, 4, 4, 6))
        elsewhere(torch.randn(1, 4, 4, 6))
    assert [one.name for one in maps] == ["b", "a.1", "a.1", "b"]
    with record(elsewhere) as maps:
        elsewhere(torch.randn(1, 4, 4, 6))
    assert [one.name for one in maps] == ["", ""]


# ---------------------------------------------------------------- recording changes nothing


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.axial = AxialAttention(8, 2)
        self.window = WindowAttention(8, 2, window=(2, 3), relative_bias=True)
        self.dropout = nn.Dropout(0.3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(x + self.axial(x))
        if self.fails:
            raise ArithmeticError("on purpose")
        return self.layer((h + self.window(h)).flatten(1, 2))


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [5, 40])  # below and above the lengths at which the kernel changes
def test_numbers_and_gradients_are_the_same_bit_for_bit(training, size):
    torch.manual_seed(0)
    model, x = Network().train(training), torch.randn(2, size, 3, 8)

    def numbers() -> list[Tensor]:
        torch.manual_seed(3)
        leaf = x.clone().requires_grad_()
        y = model(leaf)
        gradients = torch.autograd.grad(y.square().sum(), [leaf, *model.parameters()])
        with torch.no_grad():
            return [y, *gradients, model(x)]

    before = numbers()
    with record(model) as maps:
        assert hooks(model.layer) == 0  # a hook would disable the fused inference path
        during = numbers()
        entropies = [one.entropy() for one in maps]
    assert len(maps) == 6
    assert all(torch.equal(one, other) for one, other in zip(before, during, strict=True))
    assert not any(
        one.call.query.requires_grad or tensor.requires_grad for one, tensor in zip(maps, entropies, strict=True)
    )
    assert maps[2].call.bias is not None
    assert not maps[2].call.bias.requires_grad


def test_nothing_stays_behind_an_exception():
    model, x = Network().eval(), torch.randn(2, 4, 3, 8)
    model.fails = True
    with pytest.raises(ArithmeticError), record(model):
        model(x)
    assert hooks(model) == 0
    assert ATTEND.observer is None
    with record(model) as maps:
        with pytest.raises(ArithmeticError):
            model(x)
        AxialAttention(8, 2)(x)  # not recorded: the model is not running any more
        model.fails = False
        model(x)
    assert [one.name for one in maps] == ["axial", "axial", "axial", "axial", "window"]
    assert hooks(model) == 0


def test_records_nest():
    model, x = Network().eval(), torch.randn(2, 4, 3, 8)
    with record(model) as outer:
        with record(model.axial) as inner:
            model(x)
        assert ATTEND.observer is not None
        model(x)
    assert ATTEND.observer is None
    assert [one.name for one in outer] == ["axial", "axial", "window"] * 2
    assert [one.name for one in inner] == ["", ""]


def test_recording_keeps_views_and_copies_nothing():
    module = AxialAttention(8, 2, ndim=1)
    seen = []
    module.qkv[0].register_forward_hook(lambda _, __, output: seen.append(output.data_ptr()))
    with record(module) as maps:
        module(torch.randn(1, 5, 8))
    assert maps[0].call.query.untyped_storage().data_ptr() == seen[0]


# ---------------------------------------------------------------- entropy and distance


def test_entropy_of_uniform_one_hot_and_empty_rows():
    query, key = torch.zeros(1, 3, 4, 2, 3).double(), normal(1, 3, 4, 2, 3)
    one = recorded(query, key, (0, 1))
    close(one.entropy(), torch.full((1, 3, 4, 2), math.log(12), dtype=torch.float64))
    sharp = recorded(key, key, (1,), scale=1e9)
    assert sharp.entropy().abs().max() < 1e-12
    mask = torch.tensor([True, False, True])[None, :, None].expand(1, 3, 4)
    masked = recorded(query, key, (1,), mask=mask)
    assert (masked.entropy()[0, 1] == 0).all()
    close(masked.entropy()[0, 0], torch.full((4, 2), math.log(4), dtype=torch.float64))
    close(
        entropy(torch.tensor([[3.0, 3.0, 0.0], [0.0, 0.0, 0.0]]).double()),
        torch.tensor([math.log(2), 0], dtype=torch.float64),
    )


def test_distance_of_known_maps():
    query, key = torch.zeros(1, 5, 1, 3).double(), normal(1, 5, 1, 3)
    uniform = recorded(query, key, (0,)).distance()
    expected = [sum(abs(i - j) for j in range(5)) / 5 for i in range(5)]
    close(uniform[0, :, 0], torch.tensor(expected, dtype=torch.float64))
    past = recorded(query, key, (0,), causal=True).distance()
    close(past[0, :, 0], torch.arange(5).double() / 2)
    own = torch.eye(5, dtype=torch.bool)[None]
    assert (recorded(query, key, (0,), pair_mask=own).distance() == 0).all()


@pytest.mark.parametrize("axes", [(0,), (0, 2), (1, 2)])
@pytest.mark.parametrize("stretch", [1, 2])
def test_distance_equals_a_naive_sum_in_units_of_the_spacing(axes, stretch):
    grid, unit = (2, 3, 4), (0.5, 2.0)[: len(axes)]
    key_grid = tuple(size * stretch if axis in axes else size for axis, size in enumerate(grid))
    query, key = normal(1, *grid, 2, 3), normal(1, *key_grid, 2, 3)
    one = recorded(query, key, axes)
    found = one.distance(unit)
    for place in places(grid):
        read, expected = one.at(place), torch.zeros(2).double()
        for at in places(key_grid):
            # Cell centres on the common extent of both grids.
            steps = [(place[a] + 0.5) - (at[a] + 0.5) * grid[a] / key_grid[a] for a in axes]
            expected += read[(0, slice(None), *at)] * math.hypot(*(s * u for s, u in zip(steps, unit, strict=True)))
        close(found[(0, *place)], expected)


@pytest.mark.parametrize("place", [(2, 0), (0, -1), (0,)])
def test_wrong_places_and_spacings_are_named(place):
    one = recorded(normal(1, 2, 3, 2, 4), normal(1, 2, 3, 2, 4), (0,))
    with pytest.raises(ValueError, match="place: found"):
        one.at(place)
    with pytest.raises(ValueError, match="spacing: found 2"):
        one.distance((1.0, 1.0))


# ---------------------------------------------------------------- influence


def test_influence_of_axial_attention_is_its_cross():
    module = randomised(AxialAttention(6, 2))
    found = influence(module, normal(2, 4, 5, 6), (1, 3))
    cross = torch.tensor([[row == 1 or column == 3 for column in range(5)] for row in range(4)])
    assert (found[:, cross] > 0).all()
    assert (found[:, ~cross] == 0).all()


def test_influence_of_a_causal_model_is_its_past():
    module = randomised(AxialAttention(6, 2, ndim=1, causal=True))
    for probes in (None, 3):
        found = influence(module, normal(2, 7, 6), (4,), probes=probes)
        assert (found[:, :5] > 0).all()
        assert (found[:, 5:] == 0).all()


def test_influence_is_the_norm_of_the_jacobian_and_its_estimate_agrees():
    module, x = randomised(SelectiveScan(2, expansion=1)), normal(2, 2, 3, 2)
    found = influence(module, x, (1, 2))
    whole = torch.autograd.functional.jacobian(lambda x: module(x)[:, 1, 2], x)  # (batch, dim, batch, H, W, dim)
    close(found, torch.stack([whole[n, :, n] for n in range(2)]).square().sum((1, -1)).sqrt())
    estimate = influence(module, x, (1, 2), probes=300, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(estimate, found, rtol=0.2, atol=0)


def test_influence_of_deformable_attention_is_where_it_reads():
    module = MultiScaleDeformableAttention(8, 1, heads=2, points=1).double()  # starts one pixel away on either side
    query, reference = normal(1, 3, 8), torch.tensor([[[[0.5, 0.5]]] * 3]).double()
    pixels = normal(1, 5, 5, 8)
    found = influence(lambda v: module(query, reference, v.flatten(1, 2), [(5, 5)]), pixels, (1,))
    read = {(int(row), int(column)) for row, column in (found[0] > 1e-12).nonzero()}
    assert {(2, 1), (2, 3)} <= read <= {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert found[0, 0].sum() == found[0, :, 4].sum() == 0
    weights = found[0].flatten()
    apart = torch.tensor([math.dist((2, 2), place) for place in places((5, 5))], dtype=torch.float64)
    close(mean_distance(found, (2, 2))[0], (weights * apart).sum() / weights.sum())
    share = weights[weights > 0] / weights.sum()
    close(entropy(found, 2)[0], -(share * share.log()).sum())


def test_influence_touches_no_parameter_and_refuses_what_it_cannot_differentiate():
    module, x = AxialAttention(6, 2), torch.randn(1, 3, 3, 6)
    with torch.no_grad():
        influence(module, x, (0, 0))
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not x.requires_grad
    with pytest.raises(ValueError, match="place: found"):
        influence(module, x, (0, 3))
    with pytest.raises(ValueError, match="floating point"):
        influence(module, x.long(), (0, 0))
    with pytest.raises(ValueError, match="without a gradient"):
        influence(torch.no_grad()(module), x, (0, 0))


# ---------------------------------------------------------------- importance of heads

IMAGE = (2, 4, 6, 8)
MECHANISMS = {
    "axial": (AxialAttention(8, 2), [IMAGE]),
    "shared": (AxialAttention(8, 2, share=True), [IMAGE]),
    "concatenated": (AxialAttention(8, 4, order="concatenate"), [IMAGE]),
    "window": (WindowAttention(8, 2, window=(2, 3)), [IMAGE]),
    "neighborhood": (NeighborhoodAttention(8, 2, kernel=(3, 3)), [IMAGE]),
    "tied": (TiedAttention(8, 2), [IMAGE]),
    "trajectory": (AxialTrajectoryAttention(8, 2, ndim=1), [IMAGE]),
    "folded": (FoldedCrossAttention(8, 2), [IMAGE, (2, 5, 8)]),
    "cross_window": (CrossWindowAttention(8, 2, window=(2, 3), context_window=(2, 3)), [IMAGE, IMAGE]),
    "few_query": (FewQueryAttention(8, 2), [(2, 3, 8), (2, 7, 8), (2, 7, 8)]),
    "scene_axial": (SceneAxialCrossAttention(8, 2), [(2, 3, 8), (2, 3, 8), (2, 6, 8), (2, 4, 8), IMAGE]),
    "squeeze_axial": (SqueezeAxialAttention(8, 2, heads=2), [IMAGE]),
}


def value_of_head(module: nn.Module, name: str, head: int, heads: int, factor: float) -> None:
    """Scale the columns of a projection's weight for one head, which equals scaling the head."""
    weight = module.get_submodule(name).weight if "encode" not in name else module.get_submodule(name).conv.weight
    size = weight.shape[1] // heads
    with torch.no_grad():
        weight[:, head * size : (head + 1) * size] *= factor


@pytest.mark.parametrize("name", MECHANISMS)
def test_importance_equals_scaling_the_weights_that_read_the_head(name):
    module, shapes = MECHANISMS[name]
    module = randomised(module)
    inputs = [normal(*shape) for shape in shapes]
    target = normal(*module(*inputs).shape)

    def losses() -> Tensor:
        return (module(*inputs) * target).flatten(1).mean(1).tanh()

    ablated, by_gradient = head_importance(module, losses, by="ablation"), head_importance(module, losses)
    projections = {"axial": ["out.0", "out.1"], "shared": ["out.0"], "concatenated": ["out.0"]}.get(name)
    if projections is not None:
        assert list(ablated) == projections
    assert ablated.keys() == by_gradient.keys()
    state = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    whole, step = losses(), 1e-5
    for projection, found in ablated.items():
        for head in range(len(found)):
            changed = []
            for factor in (0, 1 + step, 1 - step):
                value_of_head(module, projection, head, len(found), factor)
                changed.append(losses())
                module.load_state_dict(state)
            close(found[head], (changed[0] - whole).mean().detach())
            slopes = ((changed[1] - changed[2]) / (2 * step)).abs()
            torch.testing.assert_close(by_gradient[projection][head], slopes.mean().detach(), rtol=1e-5, atol=1e-8)
            assert found[head].abs() > 1e-9
            assert by_gradient[projection][head] > 1e-9


def test_heads_of_a_deformable_attention_lie_first_too():
    module = randomised(MultiScaleDeformableAttention(8, 1, heads=2, points=2))
    inputs = normal(1, 3, 8), torch.rand(1, 3, 1, 2).double(), normal(1, 20, 8), [(4, 5)]
    found = head_importance(module, lambda: module(*inputs).square().sum(), by="ablation")["output_proj"]
    before = module(*inputs).square().sum()
    with torch.no_grad():
        module.output_proj.weight[:, 4:] = 0
    close(found[1], (module(*inputs).square().sum() - before).detach())


def test_the_absolute_value_is_taken_of_each_sample_given():
    module, x = randomised(AxialAttention(8, 2, ndim=1)), normal(1, 5, 8)
    signs = torch.tensor([1.0, -1.0]).double()
    apart = head_importance(module, lambda: signs * module(x).sum())["out.0"]
    together = head_importance(module, lambda: (signs * module(x).sum()).mean())["out.0"]
    assert (apart > 1e-3).all()
    assert together.abs().max() < 1e-12


def test_importance_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model, x = Network(), torch.randn(2, 4, 3, 8)
    model.eval()
    model.window.train()
    model(x).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    def on_purpose() -> Tensor:
        raise ArithmeticError("on purpose")

    output, state = model(x), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for by in ("gradient", "ablation"):
        head_importance(model, lambda: model(x).square().mean(), by=by)
        with pytest.raises(ArithmeticError):
            head_importance(model, on_purpose, by=by)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert (model.training, model.window.training) == (False, True)
    assert hooks(model) == 0
    assert torch.equal(model(x), output)


def test_a_projection_out_of_reach_has_no_importance():
    model, x = nn.ModuleList([AxialAttention(8, 2), WindowAttention(8, 2, window=(2, 2))]), torch.randn(1, 4, 4, 8)
    for by in ("gradient", "ablation"):
        found = head_importance(model, lambda: model[0](x).square().mean(), by=by)
        assert (found["1.out"] == 0).all()
        assert (found["0.out.0"] != 0).all()
    with pytest.raises(ValueError, match="no attention heads"):
        head_importance(nn.Linear(2, 2), lambda: x.sum())
    with pytest.raises(ValueError, match="by: found 'weight'"):
        head_importance(model, lambda: x.sum(), by="weight")


# ---------------------------------------------------------------- pictures


def lightness(rgb: Tensor) -> Tensor:
    """CIELAB L* of sRGB `(..., 3)`."""
    share = rgb.double() / 255
    linear = torch.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    y = linear @ torch.tensor([0.2126, 0.7152, 0.0722]).double()
    return torch.where(y > (6 / 29) ** 3, 116 * y ** (1 / 3) - 16, y * 903.3)


def test_colours_rise_evenly_in_lightness():
    scale = lightness(colours(torch.linspace(0, 1, 101)))
    even = 10 + 84 * torch.linspace(0, 1, 101).double()
    assert (scale.diff() > 0).all()
    assert (scale - even).abs().max() < 4


def test_colours_hold_at_the_limits_and_grey_is_unknown():
    values = torch.tensor([-1.0, 0.0, 1.0, 2.0, float("nan")])
    found = colours(values, 0, 1)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[3])
    assert found[4].unique().numel() == 1
    assert found.dtype == torch.uint8
    assert torch.equal(colours(torch.full((2,), float("nan"))), found[4].expand(2, 3))


def test_heat_map_shows_each_cell_at_its_place_and_frames_the_mark():
    values = torch.arange(6.0).view(2, 3)
    plain = heat_map(values, cell=8)
    assert plain.shape == (16, 24, 3)
    for row, column in places((2, 3)):
        block = plain[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].flatten(0, 1)
        assert torch.equal(block, colours(values)[row, column].expand(64, 3))
    marked = heat_map(values, mark=(1, 1), cell=8)
    assert torch.equal(marked[8:, 8:16], plain[8:, 8:16])  # the frame does not cover its cell
    frame = marked[10, 7].tolist()
    assert frame[0] > 200 > frame[1]
    assert marked[10, 16].tolist() == marked[7, 10].tolist() == frame
    assert torch.equal(marked[:4], plain[:4])


def test_heat_map_over_an_image_leaves_the_image_grey_where_nothing_is_read():
    image = torch.zeros(4, 4, 3, dtype=torch.uint8)
    image[:, 2:] = torch.tensor([255, 0, 0], dtype=torch.uint8)
    found = heat_map(torch.tensor([[0.0, 1.0], [0.0, 0.0]]), image=image, cell=4)
    low = found[6, 6].int()
    assert (found[6, 1].int() < low).all()  # black against a lighter grey
    assert low.max() - low.min() < 30
    assert found[1, 6, 0] - found[1, 6, 2] > 60  # yellow at full weight


def test_panels_and_matrix_lay_out_what_they_are_given():
    parts = [torch.full((4, 5, 3), value, dtype=torch.uint8) for value in range(5)]
    whole = panels(parts, columns=3)
    assert whole.shape == (4 * 2 + 6, 5 * 3 + 12, 3)
    assert whole[0, 0, 0] == 0
    assert whole[0, 11, 0] == 1
    assert whole[10, 11, 0] == 4
    assert (whole[4:10] == 255).all()
    assert (whole[10:, 22:] == 255).all()
    rows = [torch.tensor([0.0, 1.0, 2.0]), torch.tensor([3.0])]
    found = matrix(rows, cell=8)[4::8, 4::8]
    assert torch.equal(found[0], colours(rows[0], 0, 3))
    assert torch.equal(found[1, 0], colours(rows[1], 0, 3)[0])
    assert torch.equal(found[1, 1:], colours(torch.full((2,), float("nan"))))


def test_attention_pictures_show_the_maps_under_usable_names():
    model = nn.Sequential(AxialAttention(8, 2), WindowAttention(8, 2, window=(2, 2)))
    with record(model) as maps:
        model(torch.randn(2, 4, 6, 8))
    found = attention_pictures(maps, sample=1, place=(1, 4), image=torch.full((40, 60, 3), 128, dtype=torch.uint8))
    names = [f"{i:02}.{name}/{kind}.png" for i, name in enumerate("001") for kind in ("maps", "entropy", "query")]
    assert sorted(found) == sorted(["attention/entropy.png", *(f"attention/{name}" for name in names)])
    assert all(p.dtype == torch.uint8 and p.ndim == 3 and p.shape[-1] == 3 for p in found.values())
    heads = maps[1].weights()[1].mean(0)
    cell = 192 // 6
    first = found["attention/01.0/maps.png"][: 6 * cell, : 6 * cell]
    assert torch.equal(first[::cell, ::cell], colours(heads[0], 0, float(heads.max())))
    uniform = found["attention/01.0/entropy.png"][: 4 * cell : cell, : 6 * cell : cell]
    assert torch.equal(uniform, colours(maps[1].entropy()[1, ..., 0], 0, math.log(6)))
    rows = (
        torch.stack([one.entropy()[1].flatten(0, -2).mean(0) for one in maps])
        / torch.tensor([4, 6, 4.0]).log()[:, None]
    )
    torch.testing.assert_close(
        found["attention/entropy.png"][5::32, 5::32].int(), colours(rows, 0, 1).int(), rtol=0, atol=1
    )


@pytest.mark.parametrize("grid", [(5,), (2, 3, 4), (1, 300)])
def test_grids_of_any_rank_and_length_have_pictures(grid):
    model = AxialAttention(8, 2, ndim=len(grid))
    with record(model) as maps:
        model(torch.randn(1, *grid, 8))
    found = attention_pictures(maps)
    assert len(found) == 3 * len(maps) + 1
    assert max(max(picture.shape) for picture in found.values()) <= 4 * (192 + 6)
    assert attention_pictures([]) == {}


def test_the_document_runs():
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for block in code:
        exec(block, names)
    assert len(code) >= 4
