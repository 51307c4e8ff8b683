"""What a model keeps of its rigs, and the differences that it names."""

from dataclasses import replace

import numpy as np
import pytest

from tests.apps.bev.frames import camera_pose, frame
from transect.apps.bev.config import State
from transect.apps.bev.rig_facts import compared, learned, merged, rig_values


def test_the_values_of_a_rig_are_those_it_was_made_with():
    values = rig_values(frame(3))
    expected = np.degrees(np.arctan(np.array([0.48 * 48 + 0.5, 47.5 - 0.48 * 48]) / (0.6 * 48))).sum()
    assert values["field_of_view"] == pytest.approx([expected] * 3)
    assert values["camera_height"] == [1.5] * 3
    assert values["tilt"] == pytest.approx([0, 0, 0])
    assert values["coverage"] == [pytest.approx(3 * expected, abs=3)]
    assert rig_values(frame(8))["coverage"] == [360]


def test_what_lies_left_in_the_image_is_covered_to_the_left():
    """A camera that looks forward with its principal point at the right edge sees the left alone."""
    sample = frame(1)
    sample.intrinsics[:, 0, 2] = 47.5
    shifted, half = rig_values(sample)["coverage"][0], np.degrees(np.arctan(48 / (0.6 * 48)))
    assert shifted == pytest.approx(half, abs=1)
    other = replace(sample, names=("a", "b"), images=np.repeat(sample.images, 2, axis=0),
        intrinsics=np.repeat(sample.intrinsics, 2, axis=0),
        camera_to_ego=np.stack([camera_pose(0), camera_pose(half)]))  # fmt: skip
    assert rig_values(other)["coverage"] == [pytest.approx(2 * half, abs=1)]


def test_a_rig_like_those_of_training_is_not_named():
    state = learned([frame(3), frame(6)])
    assert (state.cameras, state.camera_height) == ((3, 6), (1.5, 1.5))
    assert compared(frame(4), state) == []
    assert compared(frame(2), State()) == []


def test_each_difference_is_named_with_both_values():
    state = learned([frame(6)])
    lower = frame(6)
    lower.camera_to_ego[2, 2, 3] = 0.4
    assert compared(lower, state) == ["a camera 0.4 m above the ground, in the training data 1.5 m"]
    tilted = frame(6)
    tilted.camera_to_ego[1] = camera_pose(60, tilt=-20)
    assert compared(tilted, state) == ["a camera tilted by -20 degrees, in the training data 0"]
    wide = frame(6)
    wide.intrinsics[0, 0, 0] /= 2
    (line,) = compared(wide, state)
    assert line.startswith("a camera with a field of view of 118 degrees")
    fewer = compared(frame(2), state)
    assert fewer[0] == "2 cameras, in the training data 6"
    assert "degrees of the horizon, in the training data 360" in fewer[1]


def test_an_ensemble_knows_the_rigs_of_all_members():
    state = merged([learned([frame(3)]), learned([frame(6)]), State()], (0.4,))
    assert (state.thresholds, state.cameras) == ((0.4,), (3, 6))
    assert merged([State(), State()], ()) == State()


def test_a_sample_without_cameras_is_no_error():
    assert learned([]) == State()
