"""The app on samples made by hand, with a tiny network of random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from tests.apps.bev.frames import CASE, frame, labels
from transect.apps.bev.app import BirdsEyeView
from transect.apps.bev.config import Config, FaultConfig, State
from transect.apps.bev.dataset import padded, with_labels
from transect.apps.bev.faults import faulty
from transect.data_adapters.base import BadInput
from transect.pipelines import model_folder


@pytest.fixture(scope="module")
def model(fixtures):
    return model_folder.load(str(fixtures / "models" / "bev"), device="cpu")


@pytest.fixture(scope="module")
def grid(model):
    return model.app.config.read.grid


def batch_of(model, grid, *cameras):
    road = np.zeros((grid.height, grid.width))
    road[:, 8:20] = 1
    found = labels({(4, 6, 9, 10): 4, (20, 22, 12, 13): 1}, grid, road=road)
    frames = [frame(count, found, size=(64, 112), seed=count, grid=grid) for count in cameras]
    return default_collate([padded(with_labels(each, model.app.config.classes)) for each in frames])


def test_the_order_of_the_cameras_changes_nothing(model, grid):
    sample = frame(6, size=(64, 112), grid=grid)
    order = np.array([3, 0, 5, 1, 4, 2])
    other = replace(
        sample,
        names=tuple(sample.names[index] for index in order),
        images=sample.images[order],
        intrinsics=sample.intrinsics[order],
        camera_to_ego=sample.camera_to_ego[order],
    )
    first, second = (model.app.predict(model.module, each).probability for each in (sample, other))
    np.testing.assert_allclose(first, second, atol=1e-5)
    swapped = replace(sample, images=sample.images[order])
    assert np.abs(first - model.app.predict(model.module, swapped).probability).max() > 2e-4


@pytest.mark.parametrize("count", range(1, 9))
def test_any_number_of_cameras_gives_a_map(model, grid, count):
    prediction = model.app.predict(model.module, frame(count, size=(64, 112), grid=grid))
    assert prediction.probability.shape == (2, grid.height, grid.width)
    assert np.isfinite(prediction.probability).all()
    assert prediction.threshold.tolist() == [0.4, 0.5]
    assert len(prediction.frame.names) == count


def test_a_lost_view_is_a_view_less_and_a_black_one_is_not(model, grid):
    sample = frame(6, size=(64, 112), grid=grid)
    maps = {}
    for kind in ("dropped", "black"):
        config = replace(model.app.config, faults=FaultConfig(missing=2, missing_as=kind))
        maps[kind] = BirdsEyeView(config, model.app.state).predict(model.module, sample)
    fewer = faulty(sample, FaultConfig(missing=2))
    assert (len(maps["dropped"].frame.names), len(maps["black"].frame.names)) == (4, 6)
    np.testing.assert_array_equal(maps["dropped"].probability, model.app.predict(model.module, fewer).probability)
    assert np.abs(maps["black"].probability - maps["dropped"].probability).max() > 1e-4


def test_padded_views_do_not_count(model, grid):
    alone, beside = batch_of(model, grid, 3), batch_of(model, grid, 3, 6)
    with torch.no_grad():
        single = model.app.loss(model.module, alone)
        other = model.app.loss(model.module, batch_of(model, grid, 6))
        both = model.app.loss(model.module, beside)
        beside["images"][0, 3:] = 255
        torch.testing.assert_close(both, model.app.loss(model.module, beside))
    # Vehicles, centres and road are each the mean over pixels that count, of which both samples have equally many.
    torch.testing.assert_close(both, (single + other) / 2)


def test_a_loss_in_training_is_augmented_and_in_evaluation_is_not(model, grid):
    batch, network = batch_of(model, grid, 6, 6), model.app.model()
    for training in (False, True):
        network.train(training)
        losses = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            losses.append(model.app.loss(network, batch).item())
        assert (losses[0] != losses[1]) is training


def test_a_threshold_that_a_person_gives_wins_over_that_of_training():
    assert BirdsEyeView(Config()).thresholds == (0.5,)
    assert BirdsEyeView(Config(), State(thresholds=(0.34,))).thresholds == (0.34,)
    assert BirdsEyeView(Config(thresholds=(0.6,)), State(thresholds=(0.34,))).thresholds == (0.6,)


def test_classes_that_a_model_was_not_trained_on_are_refused():
    with pytest.raises(ValueError, match=r"classes: found .*, expected 1, as the model was trained"):
        BirdsEyeView(Config(classes=("vehicle", "road")), State(thresholds=(0.4,)))
    one, two = BirdsEyeView(Config()), BirdsEyeView(Config(classes=("road",)))
    with pytest.raises(ValueError, match=r"classes: found \('road',\), expected \('vehicle',\) as in the first member"):
        BirdsEyeView.ensemble([one, two])


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.0,), (1.2,), (0.333,), (float("nan"),)])
def test_thresholds_are_steps_of_a_hundredth_one_for_each_class(thresholds):
    with pytest.raises(ValueError, match="thresholds: found"):
        Config(thresholds=thresholds)


def test_the_rigs_of_training_are_kept_and_compared(model, grid, monkeypatch):
    app = BirdsEyeView(model.app.config)
    frames = {f"s{number}": frame(3 + number % 2, size=(64, 112), grid=grid) for number in range(100)}
    opened = []

    def read(case):
        opened.append(case.id)
        return frames[case.id]

    monkeypatch.setattr(app.adapter, "read", read)
    state = app.fit([replace(CASE, id=name) for name in frames])
    assert len(opened) == 64
    assert (state.cameras, state.camera_height) == ((3, 4), (1.5, 1.5))
    lines = BirdsEyeView(app.config, state).compare(frame(1, size=(64, 112), grid=grid))
    assert lines[0] == "1 cameras, in the training data 3 to 4"


def test_logits_that_are_not_finite_are_an_error_with_the_file(model, grid):
    broken = model.app.model().eval()
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(BadInput, match=r"front\.png: prediction: found logits that are not finite"):
        model.app.predict(broken, frame(2, size=(64, 112), grid=grid))
