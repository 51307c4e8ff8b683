"""Rollouts of models with known predictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from transect.apps.pde.app import PDE
from transect.apps.pde.config import Config, Scale, State
from transect.apps.pde.inference import roll
from transect.apps.pde.models.config import AxialOperatorConfig, ModelConfig
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.simulation import Coordinate
from transect.pipelines.pictures import previewed


class Scaling(nn.Module):
    """Each frame is `factor` times the last one; predicted as increments, in units of the typical change."""

    def __init__(self, factor: float, change: float = 1.0) -> None:
        super().__init__()
        self.factor, self.change = nn.Parameter(torch.tensor(factor)), change

    def forward(self, states, conditions):
        return (self.factor - 1) / self.change * states[:, -1]


STATE = State(scales=(Scale(0.0, 2.0),), changes=(0.5,))


def app(state: State = STATE, **settings) -> PDE:
    model = ModelConfig(axial_operator=AxialOperatorConfig(mask_channel=True))
    return PDE(Config(**{"model": model, **settings}), state)


def test_a_rollout_feeds_on_itself_and_keeps_the_times(simulation):
    values = np.random.default_rng(0).normal(size=(6, 1, 8))
    sample = simulation(values, time=Coordinate("time", 10 + 0.5 * np.arange(6), "s"))
    rollout = app().predict(Scaling(0.9, 0.5), sample)
    frames = np.concatenate(list(rollout.blocks))
    np.testing.assert_allclose(frames, values[0] * 0.9 ** np.arange(1, 6)[:, None, None], rtol=1e-5)
    np.testing.assert_allclose(rollout.times, 10.5 + 0.5 * np.arange(5))
    assert rollout.progress == 1
    assert rollout.facts == {}


def test_a_rollout_starts_from_the_last_frames_and_goes_past_the_end(simulation):
    values = np.random.default_rng(0).normal(size=(3, 1, 8))
    rollout = app(start="last", steps=4).predict(Scaling(0.5, 0.5), simulation(values))
    frames = np.concatenate(list(rollout.blocks))
    np.testing.assert_allclose(frames, values[-1] * 0.5 ** np.arange(1, 5)[:, None, None], rtol=1e-5)
    assert rollout.times.tolist() == [3, 4, 5, 6]


def test_one_initial_state_is_enough_where_training_told_the_time_step(simulation):
    sample = simulation(np.ones((1, 1, 8)))
    state = replace(STATE, fields=sample.fields, axes=("x",), time_step=0.25)
    rollout = app(state, steps=3).predict(Scaling(1.0), sample)
    assert rollout.times.tolist() == [0.25, 0.5, 0.75]
    assert len(np.concatenate(list(rollout.blocks))) == 3
    with pytest.raises(BadInput, match="time: found 1 frames, all of them context, expected a number of steps"):
        app(state).predict(Scaling(1.0), sample)


def test_missing_cells_stay_missing_and_count_nowhere(simulation):
    values = np.full((4, 1, 8), 2.0)
    values[:, :, 3] = np.nan
    made, sample = app(), simulation(values)
    rollout = made.predict(Scaling(1.0), sample)
    blocks = list(rollout.blocks)
    rollout.blocks = iter(blocks)
    measures = made.metric.contribution(rollout, sample)
    assert measures["square_error"].tolist() == [[0.0]] * 3
    frames = np.concatenate(blocks)
    assert np.isnan(frames[:, 0, 3]).all()
    assert (np.delete(frames, 3, 2) == 2).all()


def test_a_model_without_a_mask_refuses_missing_cells(simulation):
    values = np.ones((4, 1, 8))
    values[0, 0, 3] = np.nan
    unmasked = app(model=ModelConfig())
    with pytest.raises(BadInput, match=r"made.nc: u: found no value in 12.5 % of the cells"):
        unmasked.predict(Scaling(1.0), simulation(values))


def test_a_rollout_that_blows_up_ends_there_and_says_so(simulation):
    made, sample = app(normalize="none"), simulation(np.ones((20, 1, 8)))
    rollout = made.predict(Scaling(10.0, 1.0), sample)
    measures = made.metric.contribution(rollout, sample)
    assert rollout.facts == {"blow_up": "at step 5"}
    summary = made.metric.summary([measures])
    assert summary["blow_ups"] == 1
    assert summary["time_to_failure_steps"] <= 5


def test_blocks_are_the_frames_however_they_are_cut(simulation, monkeypatch):
    sample = simulation(np.random.default_rng(0).normal(size=(2, 1, 8)))
    context, valid = sample.read(0, 1), np.ones(8, bool)
    config = app().config

    def blocks(values: int) -> list[np.ndarray]:
        monkeypatch.setattr("transect.apps.pde.inference.BLOCK_VALUES", values)
        return list(roll(Scaling(0.9), sample, context, valid, 1, 7, config, STATE, pytest.fail))

    whole, cut = blocks(1000), blocks(16)
    assert [len(block) for block in whole] == [7]
    assert [len(block) for block in cut] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(cut), whole[0])


def test_pictures_are_made_as_they_are_asked_for(simulation):
    sample = simulation(np.random.default_rng(0).normal(size=(4, 1, 8)))
    actual = {}
    for pictures in ("moving", "still", "none"):
        made = app(pictures=pictures)
        rollout = made.predict(Scaling(0.9), sample)
        preview = previewed(made, rollout, sample, labels=True)
        made.metric.contribution(rollout, sample)
        actual[pictures] = preview.pictures() if preview else {}
    assert {name for name, picture in actual["moving"].items() if picture.ndim == 4} == {"film"}
    assert actual["still"].keys() == actual["moving"].keys() - {"film"}
    assert actual["none"] == {}


def test_a_simulation_without_a_truth_cannot_be_scored(simulation):
    made, sample = app(start="last", steps=2), simulation(np.ones((3, 1, 8)))
    with pytest.raises(BadInput, match="found 3 frames, expected some after the context to score by"):
        made.metric.contribution(made.predict(Scaling(1.0), sample), sample)
