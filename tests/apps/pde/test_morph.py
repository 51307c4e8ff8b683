"""MORPH: its equations, its padded form, and the effects of its options."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.morph import SIZES, padded
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import MorphConfig
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.models.padding import pad
from transect.apps.pde.models.uniform_fields import UniformFields
from transect.apps.pde.weights import to_reference

TINY = MorphConfig(dim=8, heads=2, depth=2, mlp=12, patch=2, fusion_heads=4, max_patches=24, max_context=3)
PERIODIC, WALL, OPEN = (("periodic", "periodic"), ("wall", "wall"), ("open", "open"))
SHAPES = [
    (2, 1, 3, 1, 1, 1, 12),
    (2, 1, 2, 2, 1, 6, 4),
    (1, 1, 1, 3, 4, 2, 6),
    (2, 3, 2, 1, 1, 4, 6),
    (1, 2, 3, 3, 2, 4, 2),
]


def morph(config: MorphConfig = TINY) -> Morph:
    torch.manual_seed(0)
    model = Morph(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms and biases are not left at ones and zeros, which hide mistakes; options stay at zero.
            if parameter.ndim == 1:
                parameter.normal_(0.5, 0.5)
    return model


def naive(model: Morph, x: Tensor) -> Tensor:
    """The whole model of one sample cell by cell and token by token, in float64, from its published form."""
    config = model.config
    state = {name: tensor.double() for name, tensor in to_reference(model.state_dict(), heads=config.heads).items()}
    times, fields, components, *grid = x.shape
    patch = [1 if length == 1 else config.patch for length in grid]
    sides = [length // side for length, side in zip(grid, patch, strict=True)]
    x = x.double()

    def linear(name: str, vector: Tensor) -> Tensor:
        return state[f"{name}.weight"] @ vector + state[f"{name}.bias"]

    def norm(name: str, vector: Tensor) -> Tensor:
        centred = vector - vector.mean()
        return centred / (centred.square().mean() + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    def attention(part: str, line: list[Tensor], reader: Tensor) -> Tensor:
        size = config.dim // config.heads
        q = linear(f"{part}.q.base", reader)
        k = torch.stack([linear(f"{part}.k.base", token) for token in line])
        v = torch.stack([linear(f"{part}.v.base", token) for token in line])
        heads = [slice(h * size, (h + 1) * size) for h in range(config.heads)]
        mixed = [(k[:, h] @ q[h] / math.sqrt(size)).softmax(0) @ v[:, h] for h in heads]
        return linear(f"{part}.o.base", torch.cat(mixed))

    lift = state["patch_embedding.conv_features.input_proj.weight"][:, :components, 0, 0, 0]
    kernel = state["patch_embedding.conv_features.conv_stack.0.weight"]
    cells = list(itertools.product(*map(range, grid)))
    tokens: dict[tuple[int, ...], Tensor] = {}
    for t, place in itertools.product(range(times), itertools.product(*map(range, sides))):
        of_fields = []
        for field in range(fields):
            features = torch.zeros(config.filters, *patch, dtype=torch.float64)
            for offset in itertools.product(*map(range, patch)):
                cell = [p * side + o for p, side, o in zip(place, patch, offset, strict=True)]
                total = torch.zeros(config.filters, dtype=torch.float64)
                for near in itertools.product(range(3), repeat=3):
                    at = tuple(c + n - 1 for c, n in zip(cell, near, strict=True))
                    if at in cells:
                        total += kernel[(..., *near)] @ (lift @ x[(t, field, slice(None), *at)])
                features[(slice(None), *offset)] = torch.where(total > 0, total, 0.2 * total)
            flat = torch.zeros(config.filters * config.patch**3, dtype=torch.float64)
            flat[: features.numel()] = features.flatten()
            of_fields.append(linear("patch_embedding.projection", flat))
        size = config.dim // config.fusion_heads
        part = "patch_embedding.field_attn.attn"
        weights, biases = state[f"{part}.in_proj_weight"].chunk(3), state[f"{part}.in_proj_bias"].chunk(3)
        q = weights[0] @ state["patch_embedding.field_attn.q"][0, 0] + biases[0]
        k, v = (torch.stack([weights[i] @ token + biases[i] for token in of_fields]) for i in (1, 2))
        heads = [slice(h * size, (h + 1) * size) for h in range(config.fusion_heads)]
        mixed = torch.cat([(k[:, h] @ q[h] / math.sqrt(size)).softmax(0) @ v[:, h] for h in heads])
        row = (place[0] * sides[1] + place[1]) * sides[2] + place[2]
        source = max((row + 0.5) * config.max_patches / math.prod(sides) - 0.5, 0)
        low = int(source)
        table = state["pos_encoding.pos_embedding"][0, t]
        between = table[low].lerp(table[min(low + 1, config.max_patches - 1)], source - low)
        tokens[t, *place] = linear(f"{part}.out_proj", mixed) + between

    def along(tokens: dict[tuple[int, ...], Tensor], at: tuple[int, ...], axis: int) -> list[Tensor]:
        lengths = [times, *sides]
        return [tokens[*at[:axis], i, *at[axis + 1 :]] for i in range(lengths[axis])]

    for block in range(config.depth):
        part = f"transformer_blocks.{block}"
        u = {at: norm(f"{part}.norm1", token) for at, token in tokens.items()}
        if times > 1:
            u = {at: v + attention(f"{part}.axial_attn.attn_t", along(u, at, 0), v) for at, v in u.items()}
        for at, token in tokens.items():
            mixed = [attention(f"{part}.axial_attn.attn_{n}", along(u, at, 1 + i), u[at]) for i, n in enumerate("dhw")]
            token = token + u[at] + sum(mixed)
            hidden = linear(f"{part}.mlp.0.base", norm(f"{part}.norm2", token))
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            tokens[at] = token + linear(f"{part}.mlp.3.base", hidden)

    out = torch.zeros(fields, components, *grid, dtype=torch.float64)
    for place in itertools.product(*map(range, sides)):
        values = linear("decoder.linear", norm("decoder.norm", tokens[times - 1, *place]))
        area = tuple(slice(p * side, (p + 1) * side) for p, side in zip(place, patch, strict=True))
        own = fields * components * math.prod(patch)
        out[(..., *area)] = values[:own].view(fields, components, *patch)
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_its_equation_cell_by_cell(shape):
    model = morph()
    x = torch.randn(shape)
    actual = model.double()(x[:1].double())[0]
    torch.testing.assert_close(actual, naive(model, x[0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_padded_form(shape):
    model = morph()
    x = torch.randn(shape)
    expected = padded(to_reference(model.state_dict(), heads=TINY.heads), x, TINY)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=5e-6)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("size", SIZES)
def test_has_as_many_parameters_as_published(size):
    config, published = SIZES[size]
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in Morph(config).parameters())
    assert count / 1e6 == pytest.approx(published, abs=5e-4)


def test_order_of_fields_changes_nothing_without_an_embedding_of_them():
    x = torch.randn(2, 1, 3, 2, 1, 4, 6)
    plain, telling = morph(), morph(replace(TINY, field_embedding=True))
    torch.testing.assert_close(plain(x), plain(x[:, :, [2, 0, 1]]), rtol=0, atol=2e-6)
    torch.testing.assert_close(telling(x), telling(x[:, :, [2, 0, 1]]), rtol=0, atol=2e-6)
    torch.nn.init.normal_(telling.embedding.fields)
    assert (telling(x) - telling(x[:, :, [2, 0, 1]])).abs().max() > 1e-3


def test_order_of_components_matters():
    x = torch.randn(2, 1, 2, 3, 1, 4, 6)
    assert (morph()(x) - morph()(x[:, :, :, [1, 2, 0]])).abs().max() > 1e-2


def surroundings(**others) -> Conditions:
    torch.manual_seed(3)
    given = {
        "boundary": (OPEN, WALL, PERIODIC),
        "valid": torch.rand(2, 1, 4, 6) < 0.7,
        "parameters": torch.randn(2, 3),
        "constants": torch.randn(2, 2, 1, 4, 6),
    }
    return Conditions(**(given | others))


OPTIONS = {
    "field_embedding": (True, "embedding.fields"),
    "mask_channel": (True, "embedding.convolution.extra"),
    "constants": (2, "embedding.convolution.extra"),
    "parameters": (3, "conditioning.2.weight"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_change_nothing_before_they_are_trained_and_something_after(option):
    value, name = OPTIONS[option]
    published = morph()
    model = Morph(replace(TINY, **{option: value})).eval()
    missing, unknown = model.load_state_dict(published.state_dict(), strict=False)
    assert not unknown
    assert name in missing
    x = torch.randn(2, 1, 2, 2, 1, 4, 6)
    conditions = surroundings()
    assert torch.equal(model(x, conditions), published(x))
    model(x, conditions).square().mean().backward()
    parameter = dict(model.named_parameters())[name]
    assert parameter.grad.any()
    with torch.no_grad():
        parameter.sub_(parameter.grad, alpha=1.0)
    assert not torch.equal(model(x, conditions), published(x))


@pytest.mark.parametrize("option", ["parameters", "constants"])
def test_what_a_model_reads_must_be_given(option):
    model = Morph(replace(TINY, **{option: 2}))
    x = torch.randn(2, 1, 2, 2, 1, 4, 6)
    for given in (None, torch.randn(2, 1)):
        with pytest.raises(ValueError, match=rf"conditions\.{option}: found \d, expected 2"):
            model(x, surroundings(**{option: given}))


def test_a_mask_without_holes_changes_nothing_even_when_trained():
    model = morph(replace(TINY, mask_channel=True))
    torch.nn.init.normal_(model.embedding.convolution.extra)
    x = torch.randn(2, 1, 2, 2, 1, 4, 6)
    torch.testing.assert_close(
        model(x, surroundings(valid=torch.ones(2, 1, 4, 6, dtype=torch.bool))), model(x, surroundings(valid=None))
    )


@pytest.mark.parametrize("axis", [5, 6])
def test_shifts_along_periodic_axes_by_whole_patches_commute(axis):
    model = morph(replace(TINY, positions="relative", padding="boundary", filters=16)).double()
    x = torch.randn(2, 2, 2, 1, 1, 8, 12).double()
    round_about = Conditions(boundary=(OPEN, PERIODIC, PERIODIC))
    actual = model(x.roll(4, axis), round_about)
    torch.testing.assert_close(actual, model(x, round_about).roll(4, axis - 1), rtol=1e-9, atol=1e-9)
    ended = Conditions(boundary=(OPEN, WALL, WALL))
    assert (model(x.roll(4, axis), ended) - model(x, ended).roll(4, axis - 1)).abs().max() > 1e-3


def test_relative_positions_do_not_depend_on_the_number_of_frames():
    model = morph(replace(TINY, positions="relative"))
    assert model(torch.randn(1, 7, 1, 1, 1, 1, 8)).shape == (1, 1, 1, 1, 1, 8)
    assert model.positions is None


def test_positions_along_time_are_interpolated_and_antialiased():
    lines = morph(replace(TINY, max_context=4))
    model = Morph(replace(TINY, max_context=4, positions="line_and_time")).eval()
    model.load_state_dict(lines.state_dict())
    x = torch.randn(1, 2, 1, 1, 1, 1, 24)
    table = F.interpolate(model.positions.permute(0, 3, 1, 2), (2, 12), mode="bilinear", antialias=True)
    with torch.no_grad():
        lines.positions[:, :2] = F.interpolate(table, (2, 24), mode="nearest").permute(0, 2, 3, 1)
    torch.testing.assert_close(model(x), lines(x))


def test_dropout_in_training_alone():
    model = morph(replace(TINY, dropout=0.5))
    x = torch.randn(1, 2, 1, 1, 1, 4, 4)
    assert torch.equal(model(x), model(x))
    assert not torch.equal(model.train()(x), model(x))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 4, 1, 1, 1, 8), "4 fields of 1 components"),
        ((1, 1, 1, 4, 1, 1, 8), "1 fields of 4 components"),
        ((1, 4, 1, 1, 1, 1, 8), "4 times, expected at most max_context = 3"),
        ((1, 1, 1, 1, 1, 1, 7), "multiples of the patch = 2"),
        ((1, 1, 1, 1, 1, 8), "rank 6"),
    ],
)
def test_refuses_what_it_has_no_weights_for(shape, message):
    with pytest.raises(ValueError, match=message):
        morph()(torch.randn(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 6, "heads": 4, "fusion_heads": 2}, "morph.dim: found 6, expected a multiple of morph.heads"),
        ({"fusion_heads": 3}, "a multiple of morph.fusion_heads"),
        ({"filters": 4}, "morph.filters: found 4"),
        ({"dropout": 1.0}, "morph.dropout"),
        ({"positions": "table"}, "morph.positions"),
        ({"depth": 0}, "morph.depth"),
        ({"parameters": -1}, "morph.parameters"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **settings)


# ---------------------------------------------------------------- channels, any rank, any lengths


def test_channels_are_packed_and_repeats_averaged():
    model = morph()
    wrapped = UniformFields(model)
    states = torch.randn(2, 3, 3, 4, 6)  # a scalar and a vector
    fields = torch.stack([states[:, :, [0, 0]], states[:, :, [1, 2]]], 2)[:, :, :, :, None]
    out = model(fields)[:, :, :, 0]
    actual = wrapped(states, Conditions(boundary=(OPEN, OPEN), components=(1, 2)))
    torch.testing.assert_close(actual, torch.cat([out[:, 0].mean(1, keepdim=True), out[:, 1]], 1))
    alone = wrapped(states, Conditions(boundary=(OPEN, OPEN)))
    torch.testing.assert_close(alone, model(states[:, :, :, None, None])[:, :, 0, 0])


@pytest.mark.parametrize("shape", [(20,), (20, 9), (4, 20, 8), (1, 5)])
def test_grids_of_any_lengths(shape):
    model = UniformFields(morph(replace(TINY, patch=8)))
    states = torch.randn(2, 1, 2, *shape)
    boundary = (PERIODIC, WALL, OPEN)[: len(shape)]
    actual = model(states, Conditions(boundary=boundary))
    assert actual.shape == (2, 2, *shape)
    widths = [(0, -length % 8 if length > 1 else 0) for length in shape]
    whole = model(pad(states, widths, boundary), Conditions(boundary=boundary))
    assert torch.equal(actual, whole[(..., *(slice(length) for length in shape))])


def test_masks_and_constants_are_lifted_with_the_states():
    config = replace(TINY, mask_channel=True, constants=1)
    model = morph(config)
    torch.nn.init.normal_(model.embedding.convolution.extra)
    states, valid, constant = torch.randn(2, 1, 2, 6, 4), torch.rand(2, 6, 4) < 0.5, torch.randn(2, 1, 6, 4)
    actual = UniformFields(model)(states, Conditions((OPEN, OPEN), valid=valid, constants=constant))
    lifted = Conditions((OPEN,) * 3, valid=valid[:, None], constants=constant[:, :, None])
    torch.testing.assert_close(actual, model(states[:, :, :, None, None], lifted)[:, :, 0, 0])


def test_refuses_channels_that_are_not_the_fields():
    with pytest.raises(ValueError, match=r"components: found \(1, 1\), expected 3 in all"):
        UniformFields(morph())(torch.randn(1, 1, 3, 8), Conditions(components=(1, 1)))
    with pytest.raises(ValueError, match="4 spatial axes"):
        UniformFields(morph())(torch.randn(1, 1, 1, 2, 2, 2, 2), Conditions())


# ---------------------------------------------------------------- padding


def test_padding_continues_each_edge_by_its_condition():
    x = torch.arange(4.0)[None]

    def padded_line(*ends, before=3, after=3):
        return pad(x, [(before, after)], [ends])[0].tolist()

    assert padded_line("periodic", "periodic") == [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    assert padded_line("wall", "wall") == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert padded_line("open", "wall") == [0, 0, 0, 0, 1, 2, 3, 2, 1, 0]
    assert padded_line("periodic", "periodic", before=0, after=6) == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert padded_line("wall", "wall", before=0, after=8)[4:] == [2, 1, 0, 1, 2, 3, 2, 1]
    assert pad(torch.ones(1, 1), [(2, 2)], [("wall", "wall")]).tolist() == [[1.0] * 5]


def test_padding_of_several_axes_equals_that_of_torch():
    x = torch.randn(1, 2, 5, 4)
    actual = pad(x, [(1, 2), (2, 1)], [WALL, WALL])
    assert torch.equal(actual, F.pad(x, (2, 1, 1, 2), mode="reflect"))
    assert torch.equal(pad(x, [(0, 0), (1, 1)], [OPEN, PERIODIC]), F.pad(x, (1, 1, 0, 0), mode="circular"))
