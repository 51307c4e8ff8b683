"""Training samples are padded to one size, read once, and refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from torch.utils.data import default_collate

from tests.apps.bev.frames import CASE, GRID, frame, labels
from transect.apps.bev.config import Config
from transect.apps.bev.dataset import VIEWS, TrainingSamples
from transect.data_adapters.base import BadInput
from transect.data_adapters.bev.config import ReadConfig

CONFIG = Config(read=ReadConfig(height=32, width=48, grid=GRID))


def samples(*frames, config=CONFIG):
    """A data set of these frames, and the identifiers of those that were read."""
    read = []
    cases = [replace(CASE, id=str(number)) for number in range(len(frames))]

    def opened(case):
        read.append(case.id)
        return frames[int(case.id)]

    return TrainingSamples(cases, opened, config), read


def test_samples_with_different_numbers_of_views_make_a_batch():
    frames = [frame(2, labels({(1, 2, 3, 4): 4})), frame(5, labels({(7, 9, 3, 4): 2}), seed=1)]
    dataset, _ = samples(*frames)
    batch = default_collate([dataset[0], dataset[1]])
    assert batch["present"].tolist() == [[True] * 2 + [False] * 6, [True] * 5 + [False] * 3]
    assert batch["images"].shape == (2, VIEWS, 3, 32, 48)
    for number, sample in enumerate(frames):
        count = len(sample.names)
        np.testing.assert_array_equal(batch["images"][number, :count].permute(0, 2, 3, 1), sample.images)
        assert not batch["images"][number, count:].any()
        np.testing.assert_allclose(batch["camera_to_ego"][number, :count], sample.camera_to_ego, atol=1e-6)
        np.testing.assert_array_equal(batch["intrinsics"][number, count:], np.tile(np.eye(3), (VIEWS - count, 1, 1)))
        np.testing.assert_array_equal(batch["masks"][number, 0], sample.labels().mask("vehicle"))
        np.testing.assert_array_equal(batch["visibility"][number], sample.labels().visibility)
        np.testing.assert_array_equal(batch["center"][number], sample.labels().center)


def test_a_sample_is_read_once_and_its_copy_is_equal(monkeypatch):
    dataset, read = samples(frame(found=labels({(1, 2, 3, 4): 4})))
    first, again = dataset[0], dataset[0]
    assert read == ["0"]
    monkeypatch.setattr(dataset, "kept", False)
    unkept = dataset[0]
    assert read == ["0", "0"]
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        np.testing.assert_array_equal(values, unkept[name])
        assert values.dtype == unkept[name].dtype


def test_samples_that_do_not_fit_on_the_disk_are_read_each_time(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 19})())
    assert not samples(*[frame(found=labels())] * 8)[0].kept
    assert samples(frame(found=labels()))[0].kept


def test_a_sample_without_the_label_of_a_class_is_refused_by_file():
    without = labels(road=BadInput("map.json", "road", "none", "a map expansion"))
    dataset, _ = samples(frame(found=without), config=replace(CONFIG, classes=("vehicle", "road")))
    with pytest.raises(BadInput, match=r"map\.json: road"):
        dataset[0]
    with pytest.raises(BadInput, match=r"front\.png: labels: found none"):
        samples(frame())[0][0]
