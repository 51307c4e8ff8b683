import math

import numpy as np
import pytest
import torch
from torch import nn

from transect.apps.pde.config import Config, Scale, State
from transect.apps.pde.losses import step_loss
from transect.apps.pde.step import conditions_of, units_of


class Recorder(nn.Module):
    """Gives a fixed answer and keeps what it was asked."""

    def __init__(self, answer: float = 0.0) -> None:
        super().__init__()
        self.answer, self.asked = nn.Parameter(torch.tensor(answer)), []

    def forward(self, states, conditions):
        self.asked.append((states, conditions))
        return torch.zeros_like(states[:, -1]) + self.answer


def batch_of(states: torch.Tensor, valid: torch.Tensor | None = None, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    size, _, channels, *shape = states.shape
    return {
        "states": states,
        "valid": torch.ones(size, *shape, dtype=torch.bool) if valid is None else valid,
        "components": torch.ones(size, channels, dtype=torch.long),
        "boundary": torch.tensor([[[2, 2]] * len(shape)] * size),
        **more,
    }


FITTED = State(scales=(Scale(10.0, 2.0), Scale(-1.0, 0.5)), changes=(0.1, 0.3))


def test_training_units_are_those_of_the_fit():
    states = torch.randn(3, 2, 2, 8) * torch.tensor([2, 0.5])[:, None] + torch.tensor([10, -1.0])[:, None]
    batch = batch_of(states)
    units = units_of(states, batch, Config(), FITTED)
    expected = (states - torch.tensor([10, -1.0])[:, None]) / torch.tensor([2, 0.5])[:, None]
    torch.testing.assert_close(units.normalize(states, batch["valid"]), expected)
    torch.testing.assert_close(units.denormalize(expected[:, 0]), states[:, 0])


def test_units_of_the_context_are_each_fields_own_and_never_see_the_future():
    states = torch.randn(2, 5, 3, 4, 6, dtype=torch.float64) * 7 + 100
    config = Config(context=2, normalize="context")
    batch = batch_of(states) | {"components": torch.tensor([[2, 1]] * 2)}
    units = units_of(states[:, :2], batch, config, State())
    for example in range(2):
        for channels in (slice(0, 2), slice(2, 3)):
            seen = states[example, :2, channels].numpy()
            np.testing.assert_allclose(units.mean[example, channels], seen.mean(), rtol=1e-12)
            np.testing.assert_allclose(units.std[example, channels], seen.std(), rtol=1e-12)
    model, changed = Recorder(), states.clone()
    changed[:, 2:] = 1e6
    step_loss(model, batch, config, State())
    step_loss(model, {**batch, "states": changed}, config, State())
    assert torch.equal(model.asked[0][0], model.asked[1][0])


def test_units_of_a_constant_context_are_finite():
    states = torch.full((1, 1, 1, 8), 3.0)
    units = units_of(states, batch_of(states), Config(normalize="context"), State())
    assert torch.equal(units.normalize(states, torch.ones(1, 8, dtype=torch.bool)), torch.zeros_like(states))


def test_values_that_are_not_valid_count_nowhere():
    states = torch.randn(2, 2, 1, 8)
    valid = torch.ones(2, 8, dtype=torch.bool)
    valid[:, 3:5] = False
    for normalize in ("context", "training"):
        config, state = Config(normalize=normalize), State(scales=(Scale(1, 2),), changes=(0.5,))
        losses = []
        for filler in (0.0, 50.0):
            filled = states.masked_fill(~valid[:, None, None], filler)
            model = Recorder(0.1)
            losses.append(step_loss(model, batch_of(filled, valid), config, state))
            asked, conditions = model.asked[0]
            assert torch.equal(asked[..., 3:5], torch.zeros(2, 1, 1, 2))
            assert torch.equal(conditions.valid, valid)
        assert torch.equal(*losses)


def test_the_loss_of_persistence_is_the_mean_square_change_in_units_of_the_usual_one():
    states = torch.randn(3, 2, 2, 8)
    loss = step_loss(Recorder(), batch_of(states), Config(), FITTED)
    usual = torch.tensor([2 * 0.1, 0.5 * 0.3])[:, None]
    assert loss.item() == pytest.approx((((states[:, 1] - states[:, 0]) / usual) ** 2).mean().item(), rel=1e-5)
    zero = step_loss(Recorder(), batch_of(states), Config(increment=False), FITTED)
    scaled = (states[:, 1] - torch.tensor([10, -1.0])[:, None]) / torch.tensor([2, 0.5])[:, None]
    assert zero.item() == pytest.approx((scaled**2).mean().item(), rel=1e-5)


def test_unrolling_feeds_the_model_with_its_own_predictions():
    config, state = Config(context=2, unroll=3), State(scales=(Scale(0, 1),), changes=(0.5,))
    states = torch.randn(1, 5, 1, 4)
    model = Recorder(1.0)
    loss = step_loss(model, batch_of(states), config, state)
    own = [states[:, 1] + 0.5 * step for step in (1, 2, 3)]
    windows = [(states[:, 0], states[:, 1]), (states[:, 1], own[0]), (own[0], own[1])]
    for (asked, _), expected in zip(model.asked, windows, strict=True):
        torch.testing.assert_close(asked, torch.stack(expected, 1))
    errors = [((actual - states[:, 2 + step]) / 0.5).square().mean() for step, actual in enumerate(own)]
    torch.testing.assert_close(loss, torch.stack(errors).mean())
    loss.backward()
    # d/da of ((s_1 + 0.5 k a - s_{1+k}) / 0.5)^2 through every step k.
    slope = [2 * k * ((actual - states[:, 1 + k]) / 0.5).mean() for k, actual in enumerate(own, start=1)]
    torch.testing.assert_close(model.answer.grad, torch.stack(slope).mean())


def test_noise_is_added_in_training_alone_and_on_valid_cells():
    config, state = Config(noise=0.1), State(scales=(Scale(0, 1),), changes=(1.0,))
    valid = torch.ones(4, 5000, dtype=torch.bool)
    valid[:, :1000] = False
    batch = batch_of(torch.zeros(4, 2, 1, 5000), valid)
    model = Recorder()
    torch.manual_seed(0)
    step_loss(model, batch, config, state)
    step_loss(model.eval(), batch, config, state)
    (noisy, _), (clean, _) = model.asked
    assert noisy[..., 1000:].std().item() == pytest.approx(0.1, rel=0.02)
    assert not noisy[..., :1000].any()
    assert not clean.any()


def test_conditions_are_what_the_batch_says_scaled():
    states = torch.zeros(2, 1, 3, 4, 6)
    more = {
        "parameters": torch.tensor([[1.0, 5.0], [3.0, 5.0]]),
        "constants": torch.ones(2, 1, 4, 6),
        "components": torch.tensor([[2, 1]] * 2),
        "boundary": torch.tensor([[[2, 2], [0, 1]]] * 2),
    }
    state = State(parameter_scales=(Scale(2, 0.5), Scale(5, 1)), constant_scales=(Scale(0, 4),))
    actual = conditions_of(batch_of(states) | more, state)
    assert actual.boundary == (("periodic", "periodic"), ("wall", "open"))
    assert actual.components == (2, 1)
    assert actual.valid is None
    assert actual.parameters.tolist() == [[-2, 0], [2, 0]]
    assert torch.equal(actual.constants, torch.full((2, 1, 4, 6), 0.25))
    assert math.isfinite(step_loss(Recorder(), batch_of(torch.zeros(1, 2, 1, 4)), Config(), State()).item())
