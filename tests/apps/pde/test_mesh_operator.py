"""The mesh operator: invariances, message passing, and its interpolation against Shepard's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from transect.apps.pde.models.conditions import Conditions
from transect.apps.pde.models.config import AxialOperatorConfig, MeshOperatorConfig
from transect.apps.pde.models.mesh_operator import Interpolation, MeshOperator
from transect.apps.pde.models.neighbours import find_neighbourhoods

LATENT = AxialOperatorConfig(channels=8, blocks=1, patch=2, dim=8, depth=1, heads=2)
CONFIG = MeshOperatorConfig(grid=5, neighbours=3, kernels=4, width=8, latent=LATENT)


def operator(dim: int = 2, config: MeshOperatorConfig = CONFIG, times: int = 1) -> MeshOperator:
    torch.manual_seed(0)
    return MeshOperator(config, channels=2, dim=dim, times=times).eval()


def sample(points: int = 40, dim: int = 2, batch: int = 2, times: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, times, 2, points), torch.rand(batch, points, dim, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor, tolerance: float = 2e-6) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_order_of_the_points_changes_nothing(dim):
    model, (states, points) = operator(dim), sample(dim=dim)
    order = torch.randperm(40)
    actual = model(states[..., order], Conditions(points=points[:, order]))
    close(actual, model(states, Conditions(points=points))[..., order])


def test_moving_and_scaling_a_mesh_changes_nothing():
    model, (states, points) = operator(), sample()
    expected = model(states, Conditions(points=points))
    close(model(states, Conditions(points=points * torch.tensor([30.0, 0.2]) + torch.tensor([-7.0, 4.0]))), expected)
    turned = points.flip(-1)
    assert (model(states, Conditions(points=turned)) - expected).abs().max() > 1e-4


def test_examples_of_a_batch_are_apart():
    model, (states, points) = operator(), sample(batch=3)
    together = model(states, Conditions(points=points))
    for one in range(3):
        close(model(states[one : one + 1], Conditions(points=points[one : one + 1])), together[one : one + 1])


def test_the_same_weights_serve_meshes_of_any_size():
    model = operator()
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.random((900, 2)))
    smooth = torch.stack([(3 * places[:, 0]).sin(), places[:, 1]])[None, None].float()
    dense = model(smooth, Conditions(points=places[None]))
    sparse = model(smooth[..., :300], Conditions(points=places[None, :300]))
    assert sparse.shape == (1, 2, 300)
    change = (sparse - dense[..., :300]).std() / dense.std()
    assert change < 0.3
    assert model(smooth[..., :2], Conditions(points=places[None, :2])).isfinite().all()


def test_every_weight_and_every_point_has_a_gradient():
    config = replace(CONFIG, parameters=2, constants=1)
    model, (states, points) = operator(config=config, times=2), sample(times=2)
    model.train()
    states.requires_grad_()
    conditions = Conditions(points=points, parameters=torch.rand(2, 2), constants=torch.rand(2, 1, 40))
    model(states, conditions).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert states.grad is not None
    assert (states.grad.abs() > 0).all()


def test_hears_beyond_its_neighbours():
    model, (states, points) = operator(), sample(batch=1)
    points[:] = points.sort(1).values
    states.requires_grad_()
    (gradient,) = torch.autograd.grad(model(states, Conditions(points=points))[0, 0, 0], states)
    assert gradient[0, 0, :, -1].abs().min() > 0


def test_points_that_are_not_valid_are_never_heard():
    model, (states, points) = operator(), sample()
    valid = torch.rand(2, 40) > 0.3
    expected = model(states, Conditions(points=points, valid=valid))
    assert torch.equal(expected != 0, valid[:, None].expand_as(expected))
    other = torch.where(valid[:, None, None], states, torch.nan)
    close(model(other, Conditions(points=points, valid=valid)), expected)
    close(
        model(states, Conditions(points=points, valid=torch.ones_like(valid))), model(states, Conditions(points=points))
    )


def test_points_that_are_not_valid_weigh_nothing_and_spoil_no_gradient():
    model, (states, points) = operator(), sample()
    valid = torch.rand(2, 40) > 0.3
    known = torch.where(valid[:, None, None], torch.ones_like(states), torch.nan)
    messages: list[Tensor] = []
    for part in (model.to_nodes, model.from_points):
        part.register_forward_hook(lambda module, inputs, output: messages.append(output))
    model(known, Conditions(points=points, valid=valid)).square().sum().backward()
    for values in messages:
        # Where no neighbour is valid, there is nothing.
        close(values, (values.detach() != 0).float())
        assert values.mean() > 0.9
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_what_goes_to_the_grid_comes_back_where_it_was(dim):
    config = replace(CONFIG, grid=8, constants=1)
    model, points = operator(dim, config, times=2), torch.rand(1, 400, dim, dtype=torch.float64)
    first, second = (points * torch.arange(1, dim + 1)).sum(-1).sin(), points[..., -1]
    last = torch.stack((first, second), 1)
    states = torch.stack((torch.rand_like(last), last), 1).float()
    torch.nn.init.zeros_(model.local[2].weight)
    torch.nn.init.zeros_(model.local[2].bias)
    model.latent.forward = lambda states, conditions: states[:, -1]
    actual = model(states, Conditions(points=points, constants=torch.rand(1, 1, 400)))
    error = actual / config.kernels - last
    assert (error.std(-1) < 0.15 * last.std(-1)).all()


def test_parameters_and_constants_matter():
    config = replace(CONFIG, parameters=1, constants=1)
    model, (states, points) = operator(config=config), sample()
    conditions = Conditions(points=points, parameters=torch.ones(2, 1), constants=torch.ones(2, 1, 40))
    expected = model(states, conditions)
    for name in ("parameters", "constants"):
        other = replace(conditions, **{name: -2 * getattr(conditions, name)})
        assert (model(states, other) - expected).abs().max() > 1e-5
        with pytest.raises(ValueError, match=f"{name}: found none, expected 1"):
            model(states, replace(conditions, **{name: None}))


# ---------------------------------------------------------------- interpolation


def test_neighbours_are_the_nearest_of_either_side():
    _, points = sample(points=30, batch=1)
    edges = find_neighbourhoods(points, 4, 3)
    places = points[0] - points[0].min(0).values
    places = places / places.max(0).values * 3
    nodes = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 2)
    distance = torch.cdist(places, nodes)
    near = distance <= distance.topk(3, 0, largest=False).values[-1]
    near |= distance <= distance.topk(3, 1, largest=False).values[:, -1:]
    for actual, expected in ((edges.to_nodes, near), (edges.to_points, near.T)):
        matrix = torch.zeros_like(expected)
        matrix[actual.index[0], actual.index[1]] = True
        assert torch.equal(matrix, expected)
        assert actual.size == expected.shape
    between = torch.cdist(places, places).fill_diagonal_(torch.inf)
    chosen = torch.zeros_like(between, dtype=torch.bool)
    chosen[edges.between_points.index[0], edges.between_points.index[1]] = True
    assert torch.equal(chosen, between <= between.topk(3, 0, largest=False).values[-1])
    source, target = edges.to_nodes.index
    offset = places[source] - nodes[target]
    unit = torch.stack([distance[near[:, node], node].max() for node in range(16)])[target]
    expected = torch.cat((offset / unit[:, None], (offset.norm(dim=1) / unit)[:, None], unit.log()[:, None]), 1)
    close(edges.to_nodes.offsets, expected.float())


def test_interpolation_starts_from_shepard_and_keeps_constants_whatever_it_learned():
    torch.manual_seed(0)
    part = Interpolation(3, 2)
    _, points = sample(points=30, batch=1)
    edges = find_neighbourhoods(points, 4, 3).to_nodes
    x = torch.randn(30, 2, 1)
    torch.nn.init.normal_(part.weigh[2].weight)
    close(part(torch.ones(30, 1, 1), edges), torch.ones(16, 1, 3))
    assert part(x, edges).std(-1).min() > 1e-3
    close(part(torch.cat((x, 0 * x, x), -1), edges), part(x, edges) * torch.tensor([1, 0, 1]))
    torch.nn.init.zeros_(part.weigh[2].weight)
    places = (points[0] - points[0].min(0).values) / (points[0].max(0).values - points[0].min(0).values) * 3
    nodes = torch.cartesian_prod(*[torch.arange(4.0, dtype=torch.float64)] * 2)
    for node in range(16):
        own = edges.index[0][edges.index[1] == node]
        weights = 1 / (places[own] - nodes[node]).square().sum(1)
        expected = (weights[:, None] * x[own, :, 0]).sum(0) / weights.sum()
        close(part(x, edges)[node], expected[:, None].expand(-1, 3).float(), 1e-5)


def test_refuses_what_does_not_fit():
    model, (states, points) = operator(), sample()
    with pytest.raises(ValueError, match=r"points: found None, expected \(2, 40, 2\)"):
        model(states, Conditions())
    with pytest.raises(ValueError, match=r"states: found shape \(2, 2, 2, 40\)"):
        model(states.expand(-1, 2, -1, -1), Conditions(points=points))
    with pytest.raises(ValueError, match=r"mesh_operator.grid: found 1, expected 2 or more"):
        MeshOperatorConfig(grid=1)
