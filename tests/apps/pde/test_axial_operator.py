"""The hybrid axial operator: its symmetries, boundary conditions, mask, conditioning, and that it learns."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from transect.apps.pde.models.axial_operator import AxialOperator
from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import AxialOperatorConfig
from transect.apps.pde.models.padding import pad

SMALL = AxialOperatorConfig(channels=4, blocks=1, patch=2, dim=8, depth=1, heads=2)
#: Without convolutions across cells, what tokens see is known exactly.
POINTWISE = dataclasses.replace(SMALL, kernel=1)
PERIODIC, WALL, OPEN = ("periodic", "periodic"), ("wall", "wall"), ("open", "open")


def build(config: AxialOperatorConfig, channels: int = 2, ndim: int = 1, times: int = 1) -> AxialOperator:
    """In float64, with every parameter large enough to matter."""
    torch.manual_seed(0)
    model = AxialOperator(config, channels, ndim, times).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def states(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("attention", ["axial", "full"])
@pytest.mark.parametrize("grid", [(12,), (8, 12), (4, 6, 8)])
def test_commutes_with_rolling_periodic_axes_by_whole_patches(grid, attention):
    model = build(dataclasses.replace(SMALL, attention=attention), ndim=len(grid), times=2)
    x = states(2, 2, 2, *grid)
    conditions = Conditions(boundary=(PERIODIC,) * len(grid))
    for axis in range(1, len(grid) + 1):
        rolled = model(x.roll(2, -axis), conditions)
        close(rolled, model(x, conditions).roll(2, -axis))
        assert not torch.allclose(rolled, model(x, conditions))


def test_commutes_with_rolling_the_periodic_axis_alone():
    model = build(SMALL, ndim=2)
    x, conditions = states(1, 1, 2, 8, 8), Conditions(boundary=(PERIODIC, WALL))
    close(model(x.roll(4, -2), conditions), model(x, conditions).roll(4, -2))
    assert not torch.allclose(model(x.roll(4, -1), conditions), model(x, conditions).roll(4, -1))


def test_each_end_has_its_own_boundary_condition():
    model = build(dataclasses.replace(SMALL, blocks=0, kernel=5))
    # Without attention in between, an edge is felt by two convolutions and no further.
    nn.init.zeros_(model.to_grid.weight)
    x = states(1, 1, 2, 16)
    walls, mixed = (model(x, Conditions(boundary=(ends,))) for ends in (WALL, ("wall", "open")))
    close(mixed[..., :12], walls[..., :12])
    assert (mixed[..., 12:] != walls[..., 12:]).all()


@pytest.mark.parametrize("ends", [PERIODIC, WALL, OPEN])
def test_a_grid_that_is_no_multiple_of_the_patch_goes_on_by_its_boundary(ends):
    model = build(dataclasses.replace(POINTWISE, patch=4))
    x, conditions = states(1, 1, 2, 10), Conditions(boundary=(ends,))
    close(model(x, conditions), model(pad(x, [(0, 2)], (ends,)), conditions)[..., :10])


@pytest.mark.parametrize("attention", ["axial", "full"])
def test_values_without_validity_are_never_read_and_never_written(attention):
    config = dataclasses.replace(SMALL, attention=attention, mask_channel=True, constants=1)
    model = build(config, ndim=2, times=2)
    x, constants = states(2, 2, 2, 6, 8), states(2, 1, 6, 8)
    valid = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(2)) < 0.6

    def forward(hidden: float) -> Tensor:
        filled = x.masked_fill(~valid[:, None, None], hidden), constants.masked_fill(~valid[:, None], hidden)
        return model(filled[0], Conditions((PERIODIC, WALL), valid, constants=filled[1]))

    assert torch.equal(forward(float("nan")), forward(0.0))
    assert torch.equal(forward(1e6) == 0, ~valid[:, None].expand(2, 2, 6, 8))


def test_tokens_without_a_valid_cell_are_not_attended_to():
    model = build(POINTWISE)
    x = states(1, 1, 2, 6)
    valid = torch.tensor([[True, True, True, False, False, False]])
    # The last of three tokens is hidden, the middle one half: as if the axis ended after the middle one.
    whole = model(x, Conditions((OPEN,), valid))
    close(whole[..., :4], model(x[..., :4], Conditions((OPEN,), valid[:, :4])))
    assert not torch.allclose(whole[..., :3], model(x, Conditions((OPEN,), None))[..., :3])
    # The one cell of the half-hidden token is seen from the first one.
    x[..., 2] += 1
    assert not torch.allclose(whole[..., :2], model(x, Conditions((OPEN,), valid))[..., :2])


def test_a_mask_of_nothing_hidden_changes_nothing():
    model = build(SMALL)
    x = states(2, 1, 2, 7)
    close(model(x, Conditions((WALL,), torch.ones(2, 7, dtype=torch.bool))), model(x, Conditions((WALL,))))


def test_parameters_are_of_each_sample():
    model = build(dataclasses.replace(SMALL, parameters=2))
    x, parameters = states(1, 1, 2, 8).expand(2, -1, -1, -1), states(2, 2)
    out = model(x, Conditions((OPEN,), parameters=parameters))
    close(out[1:], model(x[1:], Conditions((OPEN,), parameters=parameters[1:])))
    assert not torch.allclose(out[0], out[1])


@pytest.mark.parametrize("option", [{}, {"attention": "auto"}, {"parameters": 1, "constants": 2, "mask_channel": True}])
def test_a_first_step_reaches_every_weight(option):
    torch.manual_seed(0)
    model = AxialOperator(dataclasses.replace(SMALL, **option), 2, 2, 2)
    parameters = torch.ones(2, 1) if "parameters" in option else None
    constants = torch.randn(2, 2, 6, 8) if "constants" in option else None
    conditions = Conditions((PERIODIC, WALL), parameters=parameters, constants=constants)
    model(torch.randn(2, 2, 2, 6, 8), conditions).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_starts_near_persistence():
    torch.manual_seed(0)
    model = AxialOperator(AxialOperatorConfig(), 1, 1)
    x = torch.randn(4, 1, 1, 64)
    assert model(x, Conditions((PERIODIC,))).std() < 0.1


def test_learns_to_move_and_to_damp_on_one_grid_and_knows_it_on_another():
    torch.manual_seed(0)

    def example(count: int, length: int) -> tuple[Tensor, Tensor]:
        place = 2 * torch.pi * torch.arange(length) / 16
        phase = 2 * torch.pi * torch.rand(count, 1, 1)
        size = torch.rand(count, 1, 1) + 0.5
        return size * torch.sin(place + phase), 0.8 * size * torch.sin(place + phase - 0.4)

    model = AxialOperator(dataclasses.replace(SMALL, channels=8), 1, 1)
    conditions = Conditions((PERIODIC,))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(250):
        now, then = example(16, 32)
        loss = (model(now[:, None], conditions) + now - then).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for length in (32, 48):
        now, then = example(64, length)
        error = (model(now[:, None], conditions) + now - then).square().mean().sqrt()
        assert error < 0.1 * (then - now).square().mean().sqrt()


@pytest.mark.parametrize(
    ("config", "shape", "conditions", "field"),
    [
        (SMALL, (1, 1, 2, 8, 8), Conditions((OPEN,)), "states"),
        (SMALL, (1, 2, 2, 8), Conditions((OPEN,)), "states"),
        (SMALL, (1, 1, 2, 8), Conditions((OPEN, OPEN)), "boundary"),
        (dataclasses.replace(SMALL, parameters=1), (1, 1, 2, 8), Conditions((OPEN,)), "parameters"),
        (dataclasses.replace(SMALL, constants=1), (1, 1, 2, 8), Conditions((OPEN,)), "constants"),
    ],
)
def test_refuses_what_it_was_not_built_for(config, shape, conditions, field):
    with pytest.raises(ValueError, match=f"{field}: found .*, expected"):
        AxialOperator(config, 2, 1)(torch.zeros(shape), conditions)


@pytest.mark.parametrize(
    "wrong", [{"kernel": 2}, {"heads": 5}, {"blocks": -1}, {"patch": 0}, {"attention": "none"}], ids=str
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=f"axial_operator.{next(iter(wrong))}: found"):
        AxialOperatorConfig(**wrong)
