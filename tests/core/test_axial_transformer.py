"""The autoregressive model: causality, full context, and equality of both samplers."""

import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from transect.core.axial_transformer import AxialTransformer, shift

LEVELS = 3
SHAPES = [
    ((5,), None),
    ((3, 4), None),
    ((3, 3), 1),
    ((3, 4), 2),
    ((2, 3, 3), None),
    ((2, 2, 3), 2),
    ((2, 2, 2, 2), None),
]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "axial_transformer.md"


def model_of(grid: tuple[int, ...], channels: int | None, **options: int) -> AxialTransformer:
    """A small model in float64 with all parameters random."""
    torch.manual_seed(0)
    sizes = {"dim": 8, "heads": 2, "outer_layers": 1, "inner_layers": 1, **options}
    model = AxialTransformer(LEVELS, grid, channels=channels, **sizes)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for bias in (model.head[0].bias, model.head[1].bias):
        nn.init.normal_(bias, std=0.1)  # a larger bias would make all samples equal
    return model.double().eval()


def data_of(grid: tuple[int, ...], channels: int | None, count: int = 2) -> Tensor:
    shape = (count, *grid) if channels is None else (count, *grid, channels)
    return torch.randint(LEVELS, shape, generator=torch.Generator().manual_seed(1))


def in_order(grid: tuple[int, ...], channels: int | None) -> list[tuple[int, ...]]:
    """The positions of a sample in the order of generation: channel by channel, each in raster order."""
    places = list(itertools.product(*map(range, grid)))
    return places if channels is None else [(*place, channel) for channel in range(channels) for place in places]


def sample_naively(model: AxialTransformer, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample with a full forward pass per element."""
    x = torch.zeros_like(data_of(model.grid, model.channels, count))
    log_likelihood = torch.zeros(count, dtype=torch.float64)
    for place in in_order(model.grid, model.channels):
        with torch.no_grad():
            log_probabilities = model(x)[(slice(None), *place)].log_softmax(-1)
        x[(slice(None), *place)] = torch.multinomial(log_probabilities.exp(), 1, generator=generator)[:, 0]
        log_likelihood += log_probabilities[torch.arange(count), x[(slice(None), *place)]]
    return x, log_likelihood


# ---------------------------------------------------------------- order


@pytest.mark.parametrize(("grid", "channels"), SHAPES)
def test_logits_depend_on_all_earlier_elements_and_on_nothing_else(grid, channels):
    model, x = model_of(grid, channels), data_of(grid, channels, 1)
    embedded: list[Tensor] = []
    for table in model.embed:
        table.register_forward_hook(lambda module, inputs, output: embedded.append(output))
    logits = model(x)
    order = in_order(grid, channels)
    for rank, place in enumerate(order):
        cotangent = torch.randn(LEVELS, dtype=torch.float64)
        gradients = torch.autograd.grad(
            (logits[(0, *place)] * cotangent).sum(), embedded, retain_graph=True, materialize_grads=True
        )
        reached = torch.stack([gradient[0].abs().amax(-1) for gradient in gradients], -1)
        reached = reached[..., 0] if channels is None else reached
        for other_rank, other in enumerate(order):
            if other_rank < rank:
                assert reached[other] > 0, f"{place} does not see {other}"
            else:
                assert reached[other] == 0, f"{place} sees {other}"


@pytest.mark.parametrize(("grid", "channels"), SHAPES)
def test_probabilities_of_all_tensors_sum_to_one(grid, channels):
    """Sum over all tensors of a grid small enough to enumerate them."""
    grid = tuple(min(length, 2) for length in grid)[-3:]
    channels = channels if len(grid) < 3 else None
    model = model_of(grid, channels)
    model.head[1] = nn.Linear(8, 2).double()
    order = in_order(grid, channels)
    values = torch.cartesian_prod(*[torch.arange(2)] * len(order))
    x = torch.zeros((len(values), *data_of(grid, channels).shape[1:]), dtype=torch.long)
    for column, place in enumerate(order):
        x[(slice(None), *place)] = values[:, column]
    with torch.no_grad():
        torch.testing.assert_close(model.log_likelihood(x).logsumexp(0), torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_shift_moves_slices_one_place_on(axis):
    h = torch.randn(2, 3, 4, 2, 5)
    found = shift(h, axis)
    assert (found.select(axis + 1, 0) == 0).all()
    for place in range(1, h.shape[axis + 1]):
        assert torch.equal(found.select(axis + 1, place), h.select(axis + 1, place - 1))


def test_an_image_model_is_its_two_equations():
    """The equations for an image, with shifts as padding and blocks as formulas."""
    model, x = model_of((3, 4), None, outer_layers=2, inner_layers=2), data_of((3, 4), None)

    def norm(layer: nn.LayerNorm, h: Tensor) -> Tensor:
        return layer.weight * (h - h.mean(-1, keepdim=True)) / (h.var(-1, False, keepdim=True) + layer.eps).sqrt() + (
            layer.bias
        )

    def through(blocks: nn.Sequential, h: Tensor, causal: list[tuple[int, bool]]) -> Tensor:
        for block, (axis, masked) in zip(blocks, causal, strict=True):
            assert (block.attention.axes, block.attention.causal) == ((axis,), masked)
            h = h + block.attention(norm(block.attention_norm, h))
            first, _, second = block.mlp
            hidden = norm(block.mlp_norm, h) @ first.weight.T + first.bias
            hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
            h = h + hidden @ second.weight.T + second.bias
        return h

    e = model.embed[0].weight[x]
    p = model.positions.tables[0][:, None] + model.positions.tables[1][None, :]
    u = through(model.outer[0], e + p, [(1, False), (0, True)] * 2)
    down, right = nn.functional.pad(u, (0, 0, 0, 0, 1, -1)), nn.functional.pad(e, (0, 0, 1, -1))
    h = through(model.inner, right + down + p, [(1, True)] * 2)
    logits = norm(model.head[0], h) @ model.head[1].weight.T + model.head[1].bias
    torch.testing.assert_close(model(x), logits, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- likelihood and sampling


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("grid", "channels"), SHAPES)
def test_semi_parallel_sampling_equals_naive_sampling(grid, channels, layers):
    model = model_of(grid, channels, outer_layers=layers, inner_layers=layers, encoder_layers=layers)
    x, log_likelihood = model.sample(4, generator=torch.Generator().manual_seed(5))
    expected_x, expected = sample_naively(model, 4, torch.Generator().manual_seed(5))
    assert torch.equal(x, expected_x)
    assert len(x.flatten(1).unique(dim=0)) == 4
    torch.testing.assert_close(log_likelihood, expected, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(model.log_likelihood(x), log_likelihood, rtol=1e-12, atol=1e-12)


def test_log_likelihood_is_the_sum_of_the_conditionals_in_nats():
    model, x = model_of((2, 3), 2), data_of((2, 3), 2)
    with torch.no_grad():
        probabilities = model(x).softmax(-1)
        expected = [
            sum(math.log(probabilities[(sample, *place, int(x[(sample, *place)]))]) for place in in_order((2, 3), 2))
            for sample in range(2)
        ]
        torch.testing.assert_close(model.log_likelihood(x), torch.tensor(expected, dtype=torch.float64))


def test_frequencies_of_samples_are_their_probabilities():
    model = model_of((2, 2), None)
    count = 20_000
    x, _ = model.sample(count, generator=torch.Generator().manual_seed(0))
    outcomes, counts = x.flatten(1).unique(dim=0, return_counts=True)
    with torch.no_grad():
        probability = model.log_likelihood(outcomes.view(-1, 2, 2)).exp()
    deviation = (counts - count * probability) / (count * probability * (1 - probability)).sqrt()
    assert deviation[count * probability > 20].abs().max() < 4.5


def test_outer_decoders_run_once_a_slice_and_the_inner_one_once_an_element():
    model = model_of((3, 2, 4), None)
    runs = dict.fromkeys(("slices", "rows", "elements"), 0)
    for name, part in zip(runs, (*model.outer, model.inner), strict=True):
        part.register_forward_hook(lambda *_, name=name: runs.update({name: runs[name] + 1}))
    model.sample(1)
    # The first slice has no context above it, so no outer decoder runs.
    assert runs == {"slices": 3 - 1, "rows": 3 * (2 - 1), "elements": 3 * 2 * 4}


# ---------------------------------------------------------------- training and arguments


def test_every_parameter_learns():
    model = model_of((3, 3, 3), 2)
    (-model.log_likelihood(data_of((3, 3, 3), 2))).sum().backward()
    silent = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().max() > 0]
    assert not silent


def test_gradients_are_those_of_the_likelihood():
    model, x = model_of((2, 2), 2), data_of((2, 2), 2, 1)
    names = ["due.weight", "positions.tables.1", "embed.0.weight", "head.1.bias"]
    start = tuple(model.get_parameter(name).detach().requires_grad_() for name in names)

    def negative(*parameters: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))
        return nn.functional.cross_entropy(logits.flatten(0, -2), x.flatten())

    assert torch.autograd.gradcheck(negative, start)


def test_learns_a_pattern_that_moves_through_a_cube():
    """Slice t is slice t - 1 rolled by one: the first slice determines the rest, though the marginals are uniform."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(LEVELS, (256, 4, 4), generator=generator)
    x = torch.stack([first.roll(step, -1) for step in range(4)], 1)
    torch.manual_seed(0)
    model = AxialTransformer(LEVELS, (4, 4, 4), dim=16, heads=2, outer_layers=1, inner_layers=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(80):
        batch = x[:192].roll(-32 * step, 0)[:32]
        optimiser.zero_grad()
        (-model.log_likelihood(batch).mean() / 64).backward()
        optimiser.step()
    with torch.no_grad():
        nats = -model.log_likelihood(x[192:]).mean() / 64
    independent = math.log(LEVELS)
    assert nats < 0.5 * independent, f"{nats:.3f} nats an element, {independent:.3f} for independent elements"


@pytest.mark.parametrize(
    ("grid", "channels", "x"),
    [
        ((3, 4), None, torch.zeros(2, 4, 3, dtype=torch.long)),
        ((3, 4), None, torch.zeros(2, 3, 4, 1, dtype=torch.long)),
        ((3, 4), 2, torch.zeros(2, 3, 4, dtype=torch.long)),
        ((3, 4), 2, torch.zeros(2, 3, 4, 3, dtype=torch.long)),
        ((3, 4), None, torch.zeros(2, 3, 4)),
    ],
)
def test_other_shapes_and_types_are_refused(grid, channels, x):
    with pytest.raises(ValueError, match=r"x: found .* expected integers"):
        model_of(grid, channels)(x)


def test_levels_out_of_range_are_refused():
    with pytest.raises(IndexError):
        model_of((3, 4), 2).log_likelihood(torch.full((1, 3, 4, 2), LEVELS))


@pytest.mark.parametrize("option", ["outer_layers", "inner_layers", "encoder_layers"])
def test_no_layer_is_refused(option):
    with pytest.raises(ValueError, match="layers: found"):
        AxialTransformer(LEVELS, (3, 4), **{option: 0})


def test_eight_bit_levels_and_single_channels_are_read():
    model, x = model_of((3, 4), None), data_of((3, 4), None)
    with torch.no_grad():
        assert torch.equal(model(x.to(torch.uint8)), model(x))


def test_the_example_of_its_document_runs():
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code.count("range(200)") == 1
    names: dict[str, object] = {}
    exec(code.replace("range(200)", "range(3)"), names)
    assert names["drawn"].shape == (4, 8, 8)
    assert math.log(17) > float(names["nats"]) > 0
