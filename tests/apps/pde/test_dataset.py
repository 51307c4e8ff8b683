import numpy as np
import pytest
import torch

from transect.apps.pde.config import Config, State
from transect.apps.pde.dataset import Windows
from transect.apps.pde.kinds import kind_of
from transect.apps.pde.models.conditions import CONDITIONS
from transect.data_adapters.base import BadInput


@pytest.mark.parametrize("kept", [0, 2**28])
def test_examples_are_all_runs_of_frames_of_each_simulation(simulation, cases, kept, monkeypatch):
    monkeypatch.setattr("transect.apps.pde.dataset.KEPT_VALUES", kept)
    values = np.random.default_rng(0).normal(size=(2, 6, 2, 8)).astype(np.float32)
    config = Config(context=2, unroll=1)
    windows = Windows(cases(2), lambda case: simulation(values[int(case.member)]), config, State(), masked=False)
    expected = [values[member, start : start + 3] for member in range(2) for start in range(4)]
    assert len(windows) == len(expected) == 8
    for window, frames in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window["states"], frames)
    assert windows.groups[""] == {next(iter(windows.groups[""])): list(range(8))}


def test_an_example_tells_what_a_model_may_know(simulation, cases):
    series = np.arange(5, dtype=float)
    made = simulation(
        np.zeros((5, 1, 8)),
        boundary=("wall", "open"),
        parameters={"Nu": np.array(0.5), "forcing": series},
        constants={"depth": np.arange(8, dtype=np.float32)},
    )
    config, state = Config(parameters=("forcing", "Nu")), State(constant_names=("depth",))
    window = Windows(cases(1), lambda case: made, config, state, masked=False)[2]
    assert window["parameters"].tolist() == [2.0, 0.5]
    assert window["constants"].tolist() == [list(range(8))]
    assert [CONDITIONS[code] for code in window["boundary"][0]] == ["wall", "open"]


def test_simulations_that_cannot_share_a_batch_are_groups_of_their_own(simulation, cases):
    def read(case):
        shape = {"0": (8,), "1": (8,), "2": (16,)}[case.member]
        return simulation(
            np.zeros((3, 1, *shape)), boundary=("open", "open") if case.member == "1" else ("periodic",) * 2
        )

    windows = Windows([*cases(3, "a"), *cases(1, "b")], read, Config(), State(), masked=False)
    assert sorted(windows.groups["a"].values()) == [[0, 1], [2, 3], [4, 5]]
    assert list(windows.groups["b"].values()) == [[6, 7]]


def test_missing_values_are_zero_and_marked_or_refused(simulation, cases):
    values = np.ones((3, 2, 8), np.float32)
    values[:, 1, 2] = np.nan
    values[2, 0, 5] = np.nan
    windows = Windows(cases(1), lambda case: simulation(values), Config(), State(), masked=True)
    assert windows[0]["valid"].tolist() == [True, True, False, True, True, True, True, True]
    assert windows[1]["valid"].tolist() == [True, True, False, True, True, False, True, True]
    assert torch.equal(windows[1]["states"], windows[1]["valid"].float().expand(2, 2, 8))
    refusing = Windows(cases(1), lambda case: simulation(values), Config(), State(), masked=False)
    with pytest.raises(BadInput, match=r"made.nc: v: found no value in 12.5 % of the cells, .* mask_channel"):
        refusing[0]


def test_short_and_foreign_simulations_are_refused(simulation, cases):
    made = simulation(np.zeros((2, 1, 8)))
    with pytest.raises(BadInput, match="time: found 2 frames, expected at least 4"):
        Windows(cases(1), lambda case: made, Config(context=3), State(), masked=False)
    state = kind_of(simulation(np.zeros((2, 2, 8))))
    with pytest.raises(BadInput, match="fields: found u, expected u, v"):
        Windows(cases(1), lambda case: made, Config(), state, masked=False)
