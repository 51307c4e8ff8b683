"""Common tests of all mechanisms: the catalogue, and one test per property."""

import copy
import inspect
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from tests.core.helpers import close, randomised
from transect.core import attention
from transect.core.attention import (
    AxialAttention,
    AxialTrajectoryAttention,
    CrossWindowAttention,
    FewQueryAttention,
    FoldedCrossAttention,
    MultiScaleDeformableAttention,
    NeighborhoodAttention,
    SceneAxialCrossAttention,
    SelectiveScan,
    SpaceTimeAxialAttention,
    SqueezeAxialAttention,
    TiedAttention,
    TriPlaneScan,
    WindowAttention,
)
from transect.core.attention.relative_bias import ContinuousRelativeBias

PYRAMID = [(3, 5), (2, 2)]
Make = Callable[[], nn.Module]
#: Constructor and input shapes of each mechanism. Grids are odd and all axes have different lengths.
CATALOGUE: dict[str, tuple[Make, list[tuple[int, ...]]]] = {
    "axial 1-D": (lambda: AxialAttention(4, 2, ndim=1), [(2, 5, 4)]),
    "axial 2-D": (lambda: AxialAttention(4, 2), [(2, 3, 5, 4)]),
    "axial 3-D": (lambda: AxialAttention(4, 2, ndim=3), [(2, 3, 6, 5, 4)]),
    "axial 4-D": (lambda: AxialAttention(4, 2, ndim=4), [(2, 3, 2, 4, 5, 4)]),
    "axial, sequential": (lambda: AxialAttention(4, 2, order="sequential"), [(2, 3, 5, 4)]),
    "axial, concatenated heads": (lambda: AxialAttention(4, 2, order="concatenate"), [(2, 3, 5, 4)]),
    "axial, shared": (lambda: AxialAttention(4, 2, share=True, qkv_bias=True), [(2, 3, 5, 4)]),
    "axial, causal": (lambda: AxialAttention(4, 2, causal=True), [(2, 3, 5, 4)]),
    "axial, relative": (lambda: Relative(), [(2, 3, 5, 4)]),
    "full": (lambda: AxialAttention(4, 2, share=True, attention="full"), [(2, 3, 5, 4)]),
    "block window": (lambda: WindowAttention(4, 2, window=(2, 3), relative_bias=True), [(2, 3, 7, 4)]),
    "grid window": (lambda: WindowAttention(4, 2, window=(2, 2, 3), partition="grid"), [(2, 3, 5, 7, 4)]),
    "fused agents": (lambda: WindowAttention(4, 2, window=(None, 2, 3)), [(2, 3, 5, 8, 4)]),
    "cross window": (
        lambda: CrossWindowAttention(4, 2, window=(2, 3), context_window=(None, 1, 2), context_partition="grid"),
        [(2, 3, 5, 4), (2, 3, 2, 4, 4)],
    ),
    "neighbourhood 1-D": (lambda: NeighborhoodAttention(4, 2, kernel=(3,)), [(2, 35, 4)]),
    "neighbourhood 2-D": (lambda: NeighborhoodAttention(4, 2, kernel=(3, 2), dilation=(1, 2)), [(2, 9, 5, 4)]),
    "space-time": (lambda: SpaceTimeAxialAttention(4, 2), [(2, 3, 2, 4, 5, 4)]),
    "tied rows": (lambda: TiedAttention(4, 2), [(2, 3, 5, 4)]),
    "folded cross": (lambda: FoldedCrossAttention(4, 2), [(2, 3, 5, 4), (2, 7, 4)]),
    "trajectory": (lambda: AxialTrajectoryAttention(4, 2), [(2, 2, 3, 5, 4)]),
    "selective scan 1-D": (lambda: SelectiveScan(4, ndim=1), [(2, 7, 4)]),
    "selective scan 2-D": (lambda: SelectiveScan(4, states=2), [(2, 3, 5, 4)]),
    "tri-plane scan": (lambda: TriPlaneScan(4), [(2, 3, 2, 5, 4)]),
    "squeeze-axial": (lambda: SqueezeAxialAttention(4, 2, heads=2), [(2, 3, 5, 4)]),
    "scene-axial": (
        lambda: SceneAxialCrossAttention(4, 2),
        [(2, 3, 4), (2, 3, 4), (2, 5, 4), (2, 6, 4), (2, 6, 5, 4)],
    ),
    "few queries": (lambda: FewQueryAttention(4, 2), [(2, 3, 4), (2, 7, 4), (2, 7, 4)]),
    "deformable": (lambda: Pyramid(), [(2, 6, 8), (2, 6, 2, 2), (2, 19, 8)]),
}
NAMES = list(CATALOGUE)
#: Tracing with dynamic sizes is slow: one mechanism per way of folding a grid, with a second set of sizes to run on.
RESIZED: dict[str, list[tuple[int, ...]]] = {
    "axial 3-D": [(3, 5, 4, 3, 4)],
    "axial, causal": [(3, 7, 6, 4)],
    "axial, relative": [(3, 7, 6, 4)],
    "fused agents": [(3, 4, 9, 7, 4)],
    "neighbourhood 2-D": [(3, 11, 9, 4)],
    "tied rows": [(3, 5, 7, 4)],
    "folded cross": [(3, 5, 7, 4), (3, 9, 4)],
    "selective scan 2-D": [(3, 5, 9, 4)],
}
#: Inductor takes seconds each: ranks 3 to 6, adjacent and non-adjacent attended axes, a cross-attention.
BY_INDUCTOR = [
    "axial 1-D",
    "axial 2-D",
    "axial 3-D",
    "axial 4-D",
    "axial, relative",
    "grid window",
    "tied rows",
    "selective scan 1-D",
]


class Relative(nn.Module):
    """Axial attention with a relative bias along its axes, one of them periodic."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = AxialAttention(4, 2)
        self.bias = nn.ModuleList(ContinuousRelativeBias(2, hidden=3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.bias
        return self.attention(x, None, [rows(x.shape[1], True), columns(x.shape[2])])


class Pyramid(nn.Module):
    """Deformable attention with tensor arguments only."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(8, 2, heads=2, points=3)

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        return self.attention(query, reference, value, PYRAMID)


def case(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A mechanism with parameters at non-trivial values, and inputs for it."""
    make, shapes = CATALOGUE[name]
    module = randomised(make())
    inputs = [torch.randn(shape, dtype=dtype) for shape in shapes]
    if name == "deformable":
        inputs[1] = torch.rand(shapes[1], dtype=dtype)
    return module.to(dtype), tuple(inputs)


def test_the_catalogue_is_complete():
    exported = {name for name in attention.__all__ if inspect.isclass(getattr(attention, name))}
    built = {type(part).__name__ for make, _ in CATALOGUE.values() for part in make().modules()}
    assert exported <= built


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_finite_differences(name):
    module, inputs = case(name)
    names, parameters = zip(*module.named_parameters(), strict=True)

    def function(*tensors: Tensor) -> Tensor:
        state = dict(zip(names, tensors[len(inputs) :], strict=True))
        return torch.func.functional_call(module, state, tensors[: len(inputs)])

    tensors = [tensor.requires_grad_() for tensor in (*inputs, *parameters)]
    assert torch.autograd.gradcheck(function, tensors, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_and_input_has_a_gradient(name):
    module, inputs = case(name)
    leaves = [tensor.requires_grad_() for tensor in (*inputs, *module.parameters())]
    out = module(*inputs)
    gradients = torch.autograd.grad(out, leaves, torch.randn_like(out))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_see_each_other(name):
    module, inputs = case(name)
    alone = [module(*(tensor[i : i + 1] for tensor in inputs)) for i in range(2)]
    close(module(*inputs), torch.cat(alone))


@pytest.mark.parametrize("name", NAMES)
def test_strides_of_the_input_do_not_matter_and_it_stays_as_it_was(name):
    module, inputs = case(name)
    strided = tuple(tensor.transpose(0, -1).contiguous().transpose(0, -1) for tensor in inputs)
    before = [tensor.clone() for tensor in strided]
    assert not strided[0].is_contiguous()
    close(module(*strided), module(*inputs))
    assert all(torch.equal(tensor, copied) for tensor, copied in zip(strided, before, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_a_file_and_a_copy(name):
    module, inputs = case(name)
    expected = module(*inputs)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other = copy.deepcopy(module)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(*inputs), expected)


@pytest.mark.parametrize("name", NAMES)
def test_is_built_without_memory_for_its_weights(name):
    make, _ = CATALOGUE[name]
    with torch.device("meta"):
        module = make()
    assert all(parameter.is_meta for parameter in module.parameters())
    real, inputs = case(name)
    module.load_state_dict(real.state_dict(), assign=True)
    close(module.eval()(*inputs), real(*inputs))


@pytest.mark.parametrize("name", NAMES)
def test_autocast_to_bf16_stays_near(name):
    module, inputs = case(name, torch.float32)
    with torch.no_grad():
        expected = module(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            found = module(*inputs).float()
    # A few rounding errors of 2^-9 each, through projections, attention and output projections.
    assert (found - expected).square().mean().sqrt() / expected.square().mean().sqrt() < 0.03


@pytest.mark.parametrize("name", NAMES)
def test_export_keeps_the_result(name):
    module, inputs = case(name)
    close(torch.export.export(module, inputs).module()(*inputs), module(*inputs))


@pytest.mark.parametrize("name", NAMES)
def test_traces_to_one_graph_with_the_same_result(name):
    module, inputs = case(name)
    torch._dynamo.reset()
    with torch.no_grad():
        traced = torch.compile(module, fullgraph=True, dynamic=False, backend="aot_eager")
        close(traced(*inputs), module(*inputs))


@pytest.mark.parametrize("name", RESIZED)
def test_one_graph_serves_other_sizes(name):
    module, inputs = case(name)
    others = [torch.randn(shape, dtype=torch.float64) for shape in RESIZED[name]]
    torch._dynamo.reset()
    graphs = CompileCounterWithBackend("eager")
    with torch.no_grad():
        traced = torch.compile(module, fullgraph=True, dynamic=True, backend=graphs)
        close(traced(*inputs), module(*inputs))
        close(traced(*others), module(*others))
    assert graphs.frame_count == 1


@pytest.mark.parametrize("name", RESIZED)
def test_one_export_serves_other_sizes(name):
    module, inputs = case(name)
    others = [torch.randn(shape, dtype=torch.float64) for shape in RESIZED[name]]
    # All sizes but the channels are dynamic.
    sizes = [{axis: torch.export.Dim.AUTO for axis in range(tensor.ndim - 1)} for tensor in inputs]
    exported = torch.export.export(module, inputs, dynamic_shapes=tuple(sizes)).module()
    close(exported(*others), module(*others))


@pytest.mark.parametrize("name", BY_INDUCTOR)
def test_compiles_to_the_same_result(name):
    module, inputs = case(name)
    torch._dynamo.reset()
    with torch.no_grad():
        close(torch.compile(module, fullgraph=True, dynamic=False)(*inputs), module(*inputs))


@pytest.mark.parametrize("name", ["axial 3-D", "block window"])
def test_compiles_to_the_same_gradients(name):
    # In float32: the Inductor of torch 2.8 treats the gradient of float64 attention as float32.
    module, inputs = case(name, torch.float32)
    leaves = [tensor.requires_grad_() for tensor in (*inputs, *module.parameters())]
    torch._dynamo.reset()
    out, compiled = module(*inputs), torch.compile(module, fullgraph=True, dynamic=False)(*inputs)
    towards = torch.randn_like(out)
    for one, other in zip(
        torch.autograd.grad(compiled, leaves, towards), torch.autograd.grad(out, leaves, towards), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
