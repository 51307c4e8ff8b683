"""Cross-attention of paired windows against full attention with the equivalent mask, and against CoBEVT."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.helpers import randomised
from transect.core.attention.cross_window import CrossWindowAttention
from transect.core.attention.window import WindowAttention

DIM, HEADS = 6, 2
# Grid, window, context grid, context window: equal and different sizes and ranks, whole and partial windows, views.
CASES = [
    ((6,), (3,), (8,), (4,)),
    ((4, 6), (2, 3), (2, 8), (1, 4)),
    ((4, 6), (2, 3), (3, 2, 8), (None, 1, 4)),
    ((2, 4, 6), (None, 2, 3), (3, 2, 8), (None, 1, 4)),
    ((2, 4, 6), (None, 2, 3), (4, 2), (2, 1)),
    ((2, 4, 2), (1, 2, 2), (2, 2, 3), (1, 1, 3)),
    ((5, 7), (2, 3), (7, 5), (3, 2)),
    ((2, 5, 7), (None, 2, 3), (3, 7, 5), (None, 3, 2)),
    ((3, 4), (3, 8), (2, 5), (7, 5)),
]
PAIRINGS = list(itertools.product(["block", "grid"], repeat=2))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)


def windows_of(grid: tuple[int, ...], window: tuple, partition: str) -> list[tuple[int, ...]]:
    """The window index of each cell along the partitioned axes."""
    cells = itertools.product(*map(range, grid))
    places = []
    for cell in cells:
        place = []
        for i, size, length in zip(cell, grid, window, strict=True):
            if length is not None:
                length = min(length, size)
                place.append(i // length if partition == "block" else i % math.ceil(size / length))
        places.append(tuple(place))
    return places


def dense(
    module: CrossWindowAttention, x: Tensor, context: Tensor, value: Tensor, mask: Tensor | None = None
) -> Tensor:
    mine = windows_of(x.shape[1:-1], module.window, module.partition)
    theirs = windows_of(context.shape[1:-1], module.context_window, module.context_partition)
    shown = torch.tensor([[one == other for other in theirs] for one in mine])
    q, k, v = (
        F.linear(part.flatten(1, -2), layer.weight, layer.bias).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        for part, layer in ((x, module.query), (context, module.key), (value, module.value))
    )
    shown = shown.expand(len(x), 1, -1, -1)
    if mask is not None:
        shown = shown & mask.expand(context.shape[:-1]).flatten(1)[:, None, None, :]
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    weights = logits.masked_fill(~shown, -torch.inf).softmax(-1).nan_to_num(0.0)
    mixed = (weights @ v).transpose(1, 2).flatten(-2)
    return F.linear(mixed, module.out.weight, module.out.bias).view_as(x)


@pytest.mark.parametrize(("partition", "context_partition"), PAIRINGS)
@pytest.mark.parametrize(("grid", "window", "context_grid", "context_window"), CASES)
def test_equals_full_attention_between_paired_windows(
    grid, window, context_grid, context_window, partition, context_partition
):
    module = CrossWindowAttention(
        DIM,
        HEADS,
        window=window,
        context_window=context_window,
        partition=partition,
        context_partition=context_partition,
        context_dim=5,
    )
    randomised(module)
    x = torch.randn(2, *grid, DIM).double()
    context, value = (torch.randn(2, *context_grid, 5).double() for _ in range(2))
    mask = torch.rand(2, *context_grid) < 0.6
    close(module(x, context), dense(module, x, context, context))
    close(module(x, context, value), dense(module, x, context, value))
    close(module(x, context, value, mask), dense(module, x, context, value, mask))
    close(module(x, context, mask=mask[:1]), dense(module, x, context, context, mask[:1]))


def test_attending_to_itself_is_window_attention():
    for partition in ("block", "grid"):
        alone = randomised(WindowAttention(DIM, HEADS, window=(2, 3), partition=partition, bias=False))
        cross = CrossWindowAttention(
            DIM,
            HEADS,
            window=(2, 3),
            context_window=(2, 3),
            partition=partition,
            context_partition=partition,
            bias=False,
        ).double()
        parts = alone.qkv.weight.unflatten(0, (HEADS, 3, -1)).unbind(1)
        for layer, weight in zip((cross.query, cross.key, cross.value), parts, strict=True):
            layer.weight.data = weight.flatten(0, 1)
        cross.out.load_state_dict(alone.out.state_dict())
        x = torch.randn(2, 5, 7, DIM).double()
        close(cross(x, x), alone(x))


def test_order_of_views_does_not_matter_and_a_hidden_one_is_an_absent_one():
    module = CrossWindowAttention(DIM, HEADS, window=(2, 3), context_window=(None, 1, 4), context_partition="grid")
    randomised(module)
    x, context = torch.randn(2, 4, 6, DIM).double(), torch.randn(2, 3, 2, 8, DIM).double()
    close(module(x, context[:, [2, 0, 1]]), module(x, context))
    mask = torch.ones(1, 3, 2, 8, dtype=torch.bool)
    mask[:, 1] = False
    close(module(x, context, mask=mask), module(x, context[:, [0, 2]]))


def test_copies_of_a_query_over_the_views_all_read_the_same():
    joint = CrossWindowAttention(DIM, HEADS, window=(None, 2, 3), context_window=(None, 1, 4))
    alone = CrossWindowAttention(DIM, HEADS, window=(2, 3), context_window=(None, 1, 4)).double()
    alone.load_state_dict(randomised(joint).state_dict())
    x, context = torch.randn(2, 4, 6, DIM).double(), torch.randn(2, 3, 2, 8, DIM).double()
    copies = joint(x[:, None].expand(-1, 3, -1, -1, -1), context)
    close(copies, alone(x, context)[:, None].expand_as(copies))


@pytest.mark.parametrize("context_partition", ["block", "grid"])
def test_hidden_context_cannot_leak_whatever_it_holds(context_partition):
    options = {"window": (2, 2), "context_window": (3, 4), "context_partition": context_partition}
    module = randomised(CrossWindowAttention(DIM, HEADS, **options))
    x, context = torch.randn(1, 4, 4, DIM).double(), torch.randn(1, 5, 7, DIM).double()
    mask = torch.ones(1, 6, 8, dtype=torch.bool)
    mask[:, 5:], mask[:, :, 7:] = False, False
    for fill in (0.0, 1e6):
        padded = F.pad(context, [0, 0, 0, 1, 0, 1], value=fill).requires_grad_()
        out = module(x, padded, mask=mask)
        close(out, module(x, context))
        (gradient,) = torch.autograd.grad(out.square().sum(), padded)
        assert gradient[:, 5:].abs().max() == 0
        assert gradient[:, :, 7:].abs().max() == 0
        assert gradient[:, :5, :7].abs().amin((0, 3)).min() > 0


def test_window_without_any_key_gives_zeros_and_finite_gradients():
    module = randomised(CrossWindowAttention(DIM, HEADS, window=(2, 3), context_window=(None, 2, 2)))
    nn.init.zeros_(module.out.bias)
    x, context = torch.randn(2, 4, 6, DIM).double(), torch.randn(2, 3, 4, 4, DIM).double().requires_grad_()
    mask = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    mask[0, :, :2, 2:] = False
    out = module(x, context, mask=mask)
    assert torch.equal(out[0, :2, 3:], torch.zeros(2, 3, DIM).double())
    assert out[0, :2, :3].abs().min() > 0
    out.square().sum().backward()
    assert context.grad.isfinite().all()


def test_gradients_by_finite_differences():
    module = CrossWindowAttention(
        4, 2, window=(2, 2), context_window=(None, 1, 2), context_partition="grid", context_dim=3
    )
    names, parameters = zip(*randomised(module).named_parameters(), strict=True)

    def function(x: Tensor, context: Tensor, value: Tensor, *tensors: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, tensors, strict=True)), (x, context, value))

    inputs = (torch.randn(1, 3, 4, 4), torch.randn(1, 2, 2, 3, 3), torch.randn(1, 2, 2, 3, 3))
    tensors = [tensor.double().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, (*tensors, *parameters), fast_mode=True)


def test_exported_graph_takes_any_number_of_views():
    module = CrossWindowAttention(DIM, HEADS, window=(None, 2, 3), context_window=(None, 3, 4)).eval()
    x, context = torch.randn(1, 3, 4, 6, DIM), torch.randn(1, 3, 5, 7, DIM)
    views = torch.export.Dim("views", min=1, max=8)
    program = torch.export.export(module, (x, context), dynamic_shapes=({1: views}, {1: views}))
    for count in (1, 2, 5):
        x, context = torch.randn(1, count, 4, 6, DIM), torch.randn(1, count, 5, 7, DIM)
        torch.testing.assert_close(program.module()(x, context), module(x, context), rtol=0, atol=1e-6)


# ---------------------------------------------------------------- CoBEVT


class FusedCrossAttention(nn.Module):
    """CoBEVT's CrossWinAttention: a norm before each projection, the mean over the query's views after."""

    def __init__(self, state: dict[str, Tensor], heads: int, prefix: str = "", **windows) -> None:
        super().__init__()
        dim = state[f"{prefix}proj.weight"].shape[0]
        self.attention = CrossWindowAttention(dim, heads, **windows)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        for norm, layer, name in zip(self.norms, ("query", "key", "value"), "qkv", strict=True):
            norm.load_state_dict({key: state[f"{prefix}to_{name}.0.{key}"] for key in ("weight", "bias")})
            getattr(self.attention, layer).load_state_dict(
                {key: state[f"{prefix}to_{name}.1.{key}"] for key in ("weight", "bias")}
            )
        self.attention.out.load_state_dict({key: state[f"{prefix}proj.{key}"] for key in ("weight", "bias")})
        self.requires_grad_(False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`(batch, views, H, W, dim)` to `(batch, H, W, dim)`."""
        parts = (norm(part) for norm, part in zip(self.norms, (query, key, value), strict=True))
        return self.attention(*parts).mean(1)


def test_equals_the_cross_attention_of_cobevt(shared_file):
    case = torch.load(shared_file("parity/bev/fax_modules_nuscenes.pt"), weights_only=True)["CrossWinAttention"]
    windows = {"window": (None, 4, 5), "context_window": (None, 3, 6)}
    module = FusedCrossAttention(case["state_dict"], case["cfg"]["heads"], **windows)
    # (batch, views, X, Y, p, p, dim) in the reference: already partitioned.
    query, key, value = (case[name].transpose(3, 4).flatten(4, 5).flatten(2, 3) for name in "qkv")
    out, skipped, single = (case[name].transpose(2, 3).flatten(3, 4).flatten(1, 2) for name in RESULTS)
    skip = case["skip"].transpose(2, 3).flatten(3, 4).flatten(1, 2)
    for found, expected in (
        (module(query, key, value), out),
        (module(query, key, value) + skip, skipped),
        (module(query[:, :1], key, value) + skip, single),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


RESULTS = ("out_noskip", "out", "out_qn1")


@pytest.mark.parametrize("embedded", [0, 1])
def test_equals_the_cross_view_block_of_cobevt(shared_file, embedded):
    """Cameras to bird's eye: geometry embeddings, then block against block and block against grid."""
    file = torch.load(shared_file("parity/bev/fax_modules_nuscenes.pt"), weights_only=True)
    case = file[f"CrossViewSwapAttention_bevembed{embedded}"]
    state, config = case["state_dict"], case["cfg"]
    feature = case["feature"]
    height, width = feature.shape[-2:]

    def unit(x: Tensor) -> Tensor:
        return x / (x.norm(dim=-1, keepdim=True) + 1e-7)

    def image_branch(name: str) -> Tensor:
        statistics = [state[f"{name}.0.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        image = F.batch_norm(feature.flatten(0, 1), *statistics).relu()
        return F.conv2d(image, state[f"{name}.2.weight"]).unflatten(0, feature.shape[:2]).permute(0, 1, 3, 4, 2)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, state[f"{name}.weight"].flatten(1), state.get(f"{name}.bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def mlp(x: Tensor, name: str) -> Tensor:
        return linear(F.gelu(linear(x, f"{name}.0")), f"{name}.2")

    rows = torch.linspace(0, 1, height) * config["image_height"]
    columns = torch.linspace(0, 1, width) * config["image_width"]
    pixels = torch.stack(
        [columns.expand(height, width), rows[:, None].expand(height, width), torch.ones(height, width)]
    )
    camera = torch.einsum("bnij,jhw->bnhwi", case["I_inv"], pixels)
    rays = torch.einsum("bnij,bnhwj->bnhwi", case["E_inv"], F.pad(camera, [0, 1], value=1.0))
    centre = linear(case["E_inv"][..., 3], "cam_embed")[:, :, None, None]
    key = unit(linear(rays, "img_embed") - centre) + image_branch("feature_proj")
    value = image_branch("feature_linear")

    x = case["x"].permute(0, 2, 3, 1)
    query = x[:, None]
    if embedded:
        query = unit(linear(case["grid0"][:2].permute(1, 2, 0), "bev_embed") - centre) + query

    # The reference attends to its padding; here the caller pads the context to reproduce it.
    window, context_window = config["q_win_size"][0], config["feat_win_size"][0]
    down, right = (-size % length for size, length in zip((height, width), context_window, strict=True))
    assert down + right > 0
    key, value = (F.pad(part, [0, 0, 0, right, 0, down]) for part in (key, value))
    windows = {"window": (None, *window), "context_window": (None, *context_window)}
    heads = config["heads"][0]
    near = FusedCrossAttention(state, heads, "cross_win_attend_1.", **windows)
    far = FusedCrossAttention(state, heads, "cross_win_attend_2.", **windows, context_partition="grid")
    x = x + near(query, key, value)
    x = x + mlp(norm(x, "prenorm_1"), "mlp_1")
    x = x + far(x[:, None], key, value)
    x = x + mlp(norm(x, "prenorm_2"), "mlp_2")
    found = norm(x, "postnorm").permute(0, 3, 1, 2)
    torch.testing.assert_close(found, case["out"], rtol=0, atol=1e-5)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dim": 7}, "dim"),
        ({"window": ()}, "window"),
        ({"context_window": (2, 0)}, "context_window"),
        ({"partition": "stripe"}, "partition"),
        ({"context_partition": "stripe"}, "context_partition"),
    ],
)
def test_refuses_options_that_make_no_sense(options, words):
    full = {"dim": DIM, "window": (2, 2), "context_window": (2, 2), **options}
    with pytest.raises(ValueError, match=f"{words}: found"):
        CrossWindowAttention(full.pop("dim"), HEADS, **full)


def test_refuses_grids_that_cannot_be_paired():
    module = CrossWindowAttention(DIM, HEADS, window=(2, 2), context_window=(2, 2))
    x = torch.randn(1, 4, 6, DIM)
    with pytest.raises(ValueError, match="context: found"):
        module(x, torch.randn(1, 4, 4, DIM))
    with pytest.raises(ValueError, match="context: found"):
        module(x, torch.randn(2, 4, 6, DIM))
    with pytest.raises(ValueError, match="value: found"):
        module(x, x, torch.randn(1, 4, 4, DIM))
    with pytest.raises(ValueError, match="mask: found"):
        module(x, x, mask=torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="grid: found"):
        module(x, x[:, 0])
