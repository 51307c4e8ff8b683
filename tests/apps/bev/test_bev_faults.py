"""Faults are the same for a sample each time, and as large as asked for."""

from dataclasses import replace

import numpy as np

from tests.apps.bev.frames import CASE, frame
from transect.apps.bev.config import FaultConfig
from transect.apps.bev.faults import faulty


def turned(before, after):
    """Angle between two rotations in degrees."""
    cos = (np.einsum("nij,nij->n", before[:, :3, :3], after[:, :3, :3]) - 1) / 2
    return np.degrees(np.arccos(np.clip(cos, -1, 1)))


def many(config, count=200):
    frames = [frame(6, case=replace(CASE, id=f"case_{number}")) for number in range(count)]
    return frames, [faulty(sample, config) for sample in frames]


def test_without_faults_a_sample_is_itself():
    sample = frame()
    assert faulty(sample, FaultConfig()) is sample
    assert faulty(sample, FaultConfig(missing_as="black")) is sample


def test_views_are_dropped_one_after_the_other_and_one_remains():
    sample, before = frame(6), {f"camera{number}" for number in range(6)}
    for missing in range(8):
        left = faulty(sample, FaultConfig(missing=missing))
        names = set(left.names)
        assert len(names) == max(6 - missing, 1)
        assert names <= before
        assert set(left.missing) == {*sample.names} - names
        before = names
        for index, name in enumerate(left.names):
            source = sample.names.index(name)
            np.testing.assert_array_equal(left.images[index], sample.images[source])
            np.testing.assert_array_equal(left.camera_to_ego[index], sample.camera_to_ego[source])


def test_a_black_view_stays_in_its_place():
    sample = frame(6)
    black, dropped = (faulty(sample, FaultConfig(missing=2, missing_as=kind)) for kind in ("black", "dropped"))
    assert black.names == sample.names
    gone = {sample.names[index] for index in range(6) if not black.images[index].any()}
    assert gone == set(dropped.missing)
    assert sample.images.any(axis=(1, 2, 3)).all()


def test_errors_have_their_deviation_and_those_of_a_calibration_differ_between_cameras():
    before, after = many(FaultConfig(rotation=2.0))
    angles = np.concatenate([turned(a.camera_to_ego, b.camera_to_ego) for a, b in zip(before, after, strict=True)])
    assert abs(np.sqrt((angles**2).mean() / 2) - 2) < 0.15  # yaw and pitch
    assert np.ptp(angles[:6]) > 0.1
    np.testing.assert_array_equal(after[0].camera_to_ego[:, :3, 3], before[0].camera_to_ego[:, :3, 3])


def test_an_error_of_the_pose_moves_all_cameras_together():
    before, after = many(FaultConfig(position=1.0, heading=3.0))
    moves = [b.camera_to_ego @ np.linalg.inv(a.camera_to_ego) for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(moves[0], np.tile(moves[0][0], (6, 1, 1)), atol=1e-9)
    single = np.stack([move[0] for move in moves])
    assert abs(single[:, :2, 3].std() - 1) < 0.1
    assert abs(np.degrees(np.arctan2(single[:, 1, 0], single[:, 0, 0])).std() - 3) < 0.5
    np.testing.assert_allclose(single[:, 2], np.tile([0, 0, 1, 0], (len(single), 1)), atol=1e-12)


def test_a_sample_gets_the_same_errors_again_and_another_gets_others():
    config = FaultConfig(missing=1, rotation=1.0, position=0.5)
    first, again = (faulty(frame(6), config) for _ in range(2))
    np.testing.assert_array_equal(first.camera_to_ego, again.camera_to_ego)
    other = faulty(frame(6, case=replace(CASE, id="another")), config)
    assert not np.array_equal(first.camera_to_ego, other.camera_to_ego)


def test_larger_deviations_scale_the_same_errors():
    one, two = (faulty(frame(6), FaultConfig(position=size)).camera_to_ego for size in (0.5, 1.0))
    start = frame(6).camera_to_ego
    np.testing.assert_allclose(two - start, 2 * (one - start), atol=1e-12)
