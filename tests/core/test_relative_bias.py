"""The relative bias against its definition, cell by cell, and against other libraries' tables."""

import itertools
import math

import pytest
import torch

from transect.core.attention.relative_bias import ContinuousRelativeBias, RelativeBias

WINDOWS = [(5,), (3, 4), (2, 3, 2), (2, 1, 3, 2)]


def numbered(window: tuple[int, ...], heads: int = 2) -> RelativeBias:
    """A table with distinct entries."""
    module = RelativeBias(window, heads).double()
    torch.nn.init.normal_(module.table)
    return module


def by_definition(module: RelativeBias, window: tuple[int, ...]) -> torch.Tensor:
    cells = list(itertools.product(*map(range, window)))
    bias = torch.empty(module.table.shape[-1], len(cells), len(cells), dtype=torch.float64)
    for (i, query), (j, key) in itertools.product(enumerate(cells), enumerate(cells)):
        offset = tuple(q - k + w - 1 for q, k, w in zip(query, key, module.window, strict=True))
        bias[:, i, j] = module.table[offset].detach()
    return bias


@pytest.mark.parametrize("window", WINDOWS)
def test_reads_the_offset_of_query_and_key(window):
    module = numbered(window)
    assert torch.equal(module(), by_definition(module, window))


@pytest.mark.parametrize(("window", "smaller"), [((5,), (2,)), ((3, 4), (2, 4)), ((2, 3, 2), (1, 2, 2))])
def test_smaller_window_reads_the_same_offsets(window, smaller):
    module = numbered(window)
    assert torch.equal(module(smaller), by_definition(module, smaller))


def test_every_entry_of_the_table_is_used_as_often_as_its_offset_occurs():
    module = RelativeBias((3, 2), 1).double()
    module().sum().backward()
    times = torch.tensor([1.0, 2, 3, 2, 1])[:, None] * torch.tensor([1.0, 2, 1])
    assert torch.equal(module.table.grad[..., 0], times.double())


def test_loads_the_table_of_timm_by_a_reshape():
    layers = pytest.importorskip("timm.layers", reason="needs timm")
    for window in ((3, 4), (7, 7)):
        peer = layers.RelPosBias(window, 3)
        module = RelativeBias(window, 3)
        module.table.data = peer.relative_position_bias_table.data.view_as(module.table)
        assert torch.equal(module(), peer.get_bias()[0])


def test_loads_the_tables_of_cobevt_by_a_reshape(fixtures, shared_file):
    flat = torch.load(shared_file("parity/bev/fax_modules_nuscenes.pt"), weights_only=True)["Attention2D_relpos"]
    joint = torch.load(fixtures / "bev/fax_modules_opv2v.pt", weights_only=True)["Attention3D"]
    tables = (
        ((8, 8), flat["state_dict"]["rel_pos_bias.weight"], flat["rel_pos_indices"]),
        (
            (3, 4, 4),
            joint["state_dict"]["relative_position_bias_table.weight"],
            joint["state_dict"]["relative_position_index"],
        ),
    )
    for window, table, index in tables:
        module = RelativeBias(window, 4)
        module.table.data = table.view_as(module.table)
        assert torch.equal(module(), table[index].permute(2, 0, 1))


@pytest.mark.parametrize("window", [(3,), (3, 5), (4, 4)])
def test_refuses_a_window_beyond_its_own(window):
    with pytest.raises(ValueError, match="window: found"):
        RelativeBias((3, 4), 1)(window)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_continuous_bias_is_the_network_of_the_offset(length, periodic):
    torch.manual_seed(0)
    module = ContinuousRelativeBias(2, hidden=3).double()
    (slope, shift), (out,) = module.hidden.parameters(), module.out.parameters()
    expected = torch.empty(2, length, length, dtype=torch.float64)
    for q, k in itertools.product(range(length), repeat=2):
        ways = [q - k, q - k - length, q - k + length] if periodic else [q - k]
        offset = min(ways, key=lambda way: (abs(way), way))
        inner = slope[:, 0] * math.copysign(math.log(1 + abs(offset)), offset) + shift
        activated = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        expected[:, q, k] = (out @ activated).detach()
    torch.testing.assert_close(module(length, periodic), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", [4, 7])
def test_continuous_bias_of_a_periodic_axis_does_not_know_where_it_begins(length):
    bias = ContinuousRelativeBias(3)(length, periodic=True)
    assert torch.equal(bias.roll((2, 2), (1, 2)), bias)
    assert not torch.equal(ContinuousRelativeBias(3)(length).roll((2, 2), (1, 2)), bias)


def test_continuous_bias_has_the_gradient_of_its_definition():
    module = ContinuousRelativeBias(2, hidden=3).double()
    names, parameters = zip(*module.named_parameters(), strict=True)
    for periodic in (False, True):
        assert torch.autograd.gradcheck(
            lambda *tensors, periodic=periodic: torch.func.functional_call(
                module, dict(zip(names, tensors, strict=True)), (5, periodic)
            ),
            parameters,
        )
