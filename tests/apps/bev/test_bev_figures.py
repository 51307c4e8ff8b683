"""Pictures of maps and charts of their metrics."""

from dataclasses import replace

import numpy as np
import pytest

from tests.apps.bev.frames import GRID, frame, labels
from transect.apps.bev.charts import charts
from transect.apps.bev.config import State
from transect.apps.bev.figures import MapPreview
from transect.apps.bev.metrics import BevMetric
from transect.apps.canvas import HEIGHT, WIDTH
from transect.data_adapters.bev.drawing.palette import colour_of
from transect.data_adapters.bev.geometry import box_corners
from transect.data_adapters.bev.prediction import BevMap
from transect.data_adapters.bev.sample import Boxes

CLASSES = ("vehicle", "road")


@pytest.fixture(scope="module")
def prediction():
    road = np.zeros((GRID.height, GRID.width))
    road[:, 10:16] = 1
    box = box_corners([[9.5, -6, 1]], [[5, 4, 2]], np.eye(3)[None])
    found = replace(
        labels({(8, 13, 24, 28): 4}, road=road), boxes=Boxes(box, ("vehicle.car",), np.array([4], np.uint8))
    )
    sample = frame(3, found)
    vehicle = np.full(road.shape, 0.1, np.float32)
    vehicle[26:32, 30:36] = 0.6
    return BevMap(sample, CLASSES, np.stack([vehicle, road * 0.9]).astype(np.float32), np.array([0.4, 0.5]))


def pixels(picture, colour, near=12):
    return int((np.abs(picture.astype(int) - np.array(colour)).max(-1) < near).sum())


def test_pictures_have_one_size_and_show_prediction_and_label(prediction):
    made = MapPreview(prediction, labels=True).pictures()
    assert list(made) == ["image", "prediction", "label", "comparison"]
    assert len({picture.shape for picture in made.values()}) == 1
    orange = {name: pixels(picture, colour_of("vehicle")) for name, picture in made.items()}
    assert orange["image"] < 500  # of noise
    assert orange["prediction"] > 5000  # 36 of 1600 pixels of the map
    assert orange["label"] > 4000
    plain, compared = (made[name][560:1080, 480:1000].astype(int) for name in ("prediction", "comparison"))  # the map
    assert (np.abs(plain - compared).max(-1) > 100).sum() > 100  # the outline of the box


def test_without_labels_nothing_is_compared(prediction):
    assert list(MapPreview(prediction, labels=False).pictures()) == ["image", "prediction"]
    unlabelled = BevMap(frame(2), ("vehicle",), prediction.probability[:1], np.array([0.5]))
    assert list(MapPreview(unlabelled, labels=True).pictures()) == ["image", "prediction"]


def test_charts_of_a_split(prediction):
    metric = BevMetric(CLASSES, (0.4, 0.5), State())
    contribution = metric.contribution(prediction, prediction.frame)
    made = charts(metric.totals([contribution]), (0.4, 0.5), GRID)
    assert list(made) == ["iou_by_threshold", "iou_by_range", "iou_by_class"]
    assert {picture.shape for picture in made.values()} == {(HEIGHT, WIDTH, 3)}
    vehicle = metric.totals([contribution])
    vehicle["road"] = np.zeros_like(vehicle["road"])
    other = charts(vehicle, (0.4, 0.5), GRID)
    assert all(not np.array_equal(made[name], other[name]) for name in made)
    assert charts(metric.totals([]), (0.4, 0.5), GRID) == {}
