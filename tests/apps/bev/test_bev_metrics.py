"""Metrics of maps with known counts."""

import math

import numpy as np
import pytest
import torch

from tests.apps.bev.frames import CASE, GRID, frame, labels
from transect.apps.bev.config import State
from transect.apps.bev.metrics import LEVELS, RINGS, BevMetric, levels, rings
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Frame


def scored(sample, probabilities, classes=("vehicle",), thresholds=None):
    thresholds = thresholds or (0.5,) * len(classes)
    metric = BevMetric(classes, thresholds, State())
    maps = [np.asarray(p, np.float32) for p in probabilities]
    return metric, metric.contribution(BevMap(sample, classes, np.stack(maps), np.array(thresholds)), sample)


def flat(value=0.0):
    return np.full((GRID.height, GRID.width), value, np.float32)


def test_numbers_are_those_of_the_reference(fixtures):
    """Pixels of both samples of the fixture are added up before the ratio is taken."""
    reference = torch.load(fixtures / "bev" / "loss_metric_nuscenes.pt", weights_only=True)
    grid, contributions = Grid(20, 20), []
    for number in range(2):
        found = labels(grid=grid)
        found.masks["vehicle"][:] = reference["label"][number, 0].numpy()
        found.visibility[:] = reference["visibility"][number].numpy()
        sample = Frame(CASE, (), *(np.zeros((0, 1)) for _ in range(3)), grid=grid, labels=lambda found=found: found)
        metric, contribution = scored(sample, reference["logit"][number].sigmoid().numpy())
        contributions.append(contribution)
    summary = metric.summary(contributions)
    assert summary["vehicle_iou_visible_at_40"] == pytest.approx(reference["iou"][0.4], rel=1e-6)
    assert summary["vehicle_iou_visible_at_50"] == pytest.approx(reference["iou"][0.5], rel=1e-6)


def test_hidden_vehicles_count_in_one_of_both_protocols():
    """A visible vehicle of 8 pixels, found with 4 of 8 beside it, and a hidden one of 6, of which 3 are found."""
    sample = frame(found=labels({(10, 11, 4, 7): 2, (30, 31, 4, 6): 1}))
    probability = flat()
    probability[10:12, 6:10] = 0.6
    probability[30, 4:7] = 0.6
    metric, contribution = scored(sample, [probability])
    summary = metric.summary([contribution])
    assert summary["vehicle_iou_visible_at_50"] == pytest.approx(4 / 12)
    assert summary["vehicle_iou_all_at_50"] == pytest.approx(7 / 18)
    assert summary["vehicle_precision_calibrated"] == pytest.approx(4 / 8)
    assert summary["vehicle_recall_calibrated"] == pytest.approx(4 / 8)
    assert summary["vehicle_threshold"] == 0.5


def test_counts_are_added_up_before_the_ratio_is_taken():
    small, large = frame(found=labels({(0, 0, 0, 0): 4})), frame(found=labels({(0, 9, 0, 9): 4}))
    nothing = flat()
    everything = labels({(0, 9, 0, 9): 4}).masks["vehicle"].astype(np.float32)
    metric, first = scored(small, [nothing])
    _, second = scored(large, [everything])
    assert metric.summary([first, second])["vehicle_iou_visible_at_50"] == pytest.approx(100 / 101)
    assert metric.summary([first, second], np.array([3.0, 1.0]))["vehicle_iou_visible_at_50"] == pytest.approx(
        100 / 103
    )


def test_nothing_in_label_and_map_is_no_value_and_a_false_vehicle_is_zero():
    empty = frame(found=labels(road=np.ones(flat().shape)))
    metric, contribution = scored(empty, [flat(), flat(0.9)], ("vehicle", "road"))
    summary = metric.summary([contribution])
    assert math.isnan(summary["vehicle_iou_visible_at_50"])
    assert summary["road_iou_at_50"] == 1
    assert summary["mean_iou_calibrated"] == 1  # of the class that has a value
    assert "road_iou_all_at_50" not in summary
    false = flat()
    false[0, 0] = 0.5
    metric, contribution = scored(empty, [false])
    assert metric.summary([contribution])["vehicle_iou_visible_at_50"] == 0
    assert math.isnan(metric.summary([])[metric.monitor])


def test_a_probability_at_the_threshold_is_positive():
    values = np.array([0, 0.29, 0.3, 0.4, 0.5, 0.57, 1], np.float32)
    for level in range(1, LEVELS + 1):
        np.testing.assert_array_equal(levels(values) >= level, values.astype(np.float64) >= level / LEVELS)
    assert levels(np.float32([0.39999, 0.4, 0.5])).tolist() == [39, 40, 50]


def test_rings_are_distances_on_the_ground():
    ring = rings(Grid(height=200, width=200, resolution=0.5))
    assert ring.shape == (200, 200)
    assert (ring[100, 100], ring[61, 100], ring[60, 100], ring[0, 100], ring[1, 100], ring[0, 0]) == (0, 0, 1, 3, 2, 3)
    assert len(RINGS) - 1 == ring.max()
    behind = rings(Grid(height=200, width=200, resolution=0.5, offset=-0.25))  # the vehicle stands in row 50
    assert (behind[50, 100], behind[100, 100]) == (0, 1)
    sample = frame(found=labels({(20, 20, 20, 20): 4, (0, 0, 20, 20): 4}))
    near = flat()
    near[20, 20] = 1
    metric, contribution = scored(sample, [near])
    summary = metric.summary([contribution])
    assert summary["vehicle_iou_visible_calibrated_0_to_20_metres"] == 1
    assert summary["vehicle_iou_visible_calibrated_20_to_35_metres"] == 0
    assert "vehicle_iou_visible_calibrated_35_to_50_metres" not in summary  # the map ends before it


def test_calibration_chooses_the_best_threshold_of_each_class():
    road = np.zeros(flat().shape)
    road[:, :20] = 1
    sample = frame(found=labels({(10, 11, 4, 7): 4, (30, 31, 4, 6): 1}, road=road))
    vehicle = flat(0.1)
    vehicle[10:12, 4:8] = 0.304
    vehicle[30:32, 4:7] = 0.05  # hidden: its low probability must not lower the threshold
    metric, contribution = scored(sample, [vehicle, np.where(road, 0.9, 0.655)], ("vehicle", "road"))
    state = metric.calibrate([contribution])
    assert state == State(thresholds=(0.3, 0.66))
    calibrated = BevMetric(("vehicle", "road"), state.thresholds, state)
    assert calibrated.summary([contribution])["mean_iou_calibrated"] == 1
    assert metric.summary([contribution])["vehicle_iou_visible_at_50"] == 0


def test_without_a_positive_label_thresholds_stay():
    sample = frame(found=labels(road=np.ones(flat().shape)))
    metric, contribution = scored(sample, [flat(0.2), flat(0.2)], ("vehicle", "road"), (0.35, 0.5))
    assert metric.calibrate([contribution]) == State(thresholds=(0.35, 0.2))
    metric, contribution = scored(sample, [flat(0.2)])
    assert metric.calibrate([contribution]) is None


def test_weights_count_cases_again():
    rng = np.random.default_rng(0)
    contributions = []
    for number in range(3):
        sample = frame(found=labels({(5 * number, 5 * number + 4, 0, 20): 4, (30, 31, 30, 31): 1}))
        metric, contribution = scored(sample, [rng.random(flat().shape)])
        contributions.append(contribution)
    repeated = metric.summary([contributions[0]] * 2 + [contributions[2]] * 3)
    assert metric.summary(contributions, np.array([2.0, 0, 3.0])) == pytest.approx(repeated, nan_ok=True)


def test_a_sample_without_labels_is_refused_by_name():
    with pytest.raises(BadInput, match=r"front\.png: labels: found none"):
        scored(frame(), [flat()])
    without = labels(road=BadInput("map.json", "road", "none", "a map expansion"))
    with pytest.raises(BadInput, match=r"map\.json: road"):
        scored(frame(found=without), [flat(), flat()], ("vehicle", "road"))
