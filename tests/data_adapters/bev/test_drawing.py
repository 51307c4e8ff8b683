"""Pictures of a sample: lines lie where the calibration projects them; maps have forward up and left on the left."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data_adapters.bev.rigs import AT, FORWARD, K, camera, frame, write_rig
from transect.data_adapters.bev.drawing.camera import NEAR, clipped, draw_camera
from transect.data_adapters.bev.drawing.map import draw_map
from transect.data_adapters.bev.drawing.montage import montage
from transect.data_adapters.bev.drawing.palette import CLASS_COLOURS, GROUND
from transect.data_adapters.bev.drawing.strokes import Pen, area, lines
from transect.data_adapters.bev.geometry import box_corners, pose, project
from transect.data_adapters.bev.sample import Boxes, Frame

POSE, MATRIX, SIZE = pose(FORWARD, AT), np.array(K), (180, 320)


@pytest.fixture
def sample(tmp_path: Path) -> Frame:
    return frame(write_rig(tmp_path, camera()))


def test_segments_in_front_of_a_camera_are_projected_as_they_are() -> None:
    segment = np.array([[[8, 2, 0.5], [12, -3, 1.0]]])
    assert np.allclose(clipped(segment, POSE, MATRIX, SIZE)[0], project(segment[0], POSE, MATRIX)[0], atol=1e-9)


def test_a_segment_that_passes_the_camera_is_cut_before_it() -> None:
    """A line on the ground below the camera, from behind it to ahead, comes in at the lower border."""
    ((start, end),) = clipped(np.array([[[-20, 0.2, 0], [20, 0.2, 0]]]), POSE, MATRIX, SIZE)
    assert np.allclose(start, [159.5, SIZE[0] + 4], atol=1e-6)
    assert np.allclose(end, project([20, 0.2, 0], POSE, MATRIX)[0], atol=1e-6)
    backwards = clipped(np.array([[[20, 0.2, 0], [-20, 0.2, 0]]]), POSE, MATRIX, SIZE)
    assert np.allclose(backwards[0], [end, start], atol=1e-6)


def test_what_is_behind_a_camera_or_beside_its_view_is_left_out() -> None:
    behind = [[-5, 0, 1], [1.5 + NEAR / 2, 0.2, 1.6]]
    beside = [[3, 30, 1], [6, 40, 1]]
    assert len(clipped(np.array([behind, beside], float), POSE, MATRIX, SIZE)) == 0


def test_points_of_random_segments_that_are_seen_lie_on_their_clipped_parts() -> None:
    rng = np.random.default_rng(0)
    for segment in rng.uniform([-20, -20, -1], [20, 20, 4], (200, 2, 3)):
        points = segment[0] + np.linspace(0, 1, 200)[:, None] * (segment[1] - segment[0])
        pixels, depth = project(points, POSE, MATRIX)
        inside = (depth > NEAR) & ((pixels >= 0) & (pixels < SIZE[::-1])).all(1)
        part = clipped(segment[None], POSE, MATRIX, SIZE)
        assert len(part) or not inside.any()
        for pixel in pixels[inside]:
            start, end = part[0]
            along = np.clip((pixel - start) @ (end - start) / max((end - start) @ (end - start), 1e-12), 0, 1)
            assert np.hypot(*(pixel - start - along * (end - start))) < 1e-6


def test_the_grid_and_a_box_are_drawn_where_they_project(sample: Frame) -> None:
    grid = draw_camera(sample, 0, 320, {})
    (column, row), _ = project([10, -4, 0], POSE, MATRIX)  # on the line 10 m ahead
    assert grid[round(row), round(column)].mean() > 140
    assert abs(int(grid[round(row) + 6, round(column)].mean()) - 90) < 3
    boxes = Boxes(box_corners([[12, 3, 0.8]], [[4, 2, 1.6]], [np.eye(3)]), ("vehicle.car",), np.array([4], np.uint8))
    plain, boxed = (draw_camera(sample, 0, 320, {}, each, grid=False) for each in (None, boxes))
    changed = np.argwhere((plain != boxed).any(2))
    pixels, _ = project(boxes.corners[0], POSE, MATRIX)
    assert np.abs(changed.min(0)[::-1] - pixels.min(0)).max() < 3.5
    assert np.abs(changed.max(0)[::-1] - pixels.max(0)).max() < 3.5


def test_classes_are_drawn_on_the_ground_of_an_image(sample: Frame) -> None:
    road = np.zeros((200, 200), np.float32)
    road[60:90, 95:106] = 1  # 5 to 20 m ahead, 2.5 m to each side
    plain, drawn = (draw_camera(sample, 0, 320, layers, grid=False) for layers in ({}, {"road": road}))
    changed = (plain != drawn).any(2)
    for point, inside in (([10, 0, 0], True), ([10, 2, 0], True), ([10, 3.5, 0], False), ([25, 0, 0], False)):
        (column, row), _ = project(point, POSE, MATRIX)
        assert changed[round(row), round(column)] == inside
    assert not changed[:85].any()  # above the horizon


def test_a_panel_of_another_width_is_drawn_at_its_scale(sample: Frame) -> None:
    wide = draw_camera(sample, 0, 640, {})
    assert wide.shape == (360, 640, 3)
    (column, row), _ = project([10, -4, 0], POSE, MATRIX)
    assert wide[round(2 * row + 0.5), round(2 * column + 0.5)].mean() > 140


def test_the_map_has_forward_up_and_left_on_the_left(sample: Frame) -> None:
    vehicle = np.zeros((200, 200), np.float32)
    vehicle[20:30, 40:50] = 1  # 37.5 m ahead, 27.5 m to the left
    picture = draw_map(sample, 600, {"vehicle": vehicle}, views=False)
    assert picture.shape == (600, 600, 3)
    assert picture[75, 135].tolist() == list(CLASS_COLOURS["vehicle"])
    assert picture[600 - 75, 135].tolist() == picture[75, 600 - 135].tolist() == list(GROUND)


def test_the_field_of_view_opens_forward(sample: Frame) -> None:
    plain, drawn = (draw_map(sample, 400, {}, views=views) for views in (False, True))
    changed = (plain != drawn).any(2)
    assert changed[120:180, 185:215].all()
    assert not changed[220:280, 100:170].any()


def test_a_montage_shows_missing_cameras_and_any_number_of_others(sample: Frame) -> None:
    for count, columns in ((1, 1), (2, 2), (3, 3), (6, 3), (8, 4)):
        many = replace(
            sample,
            names=tuple(f"{number}" for number in range(count)),
            images=np.repeat(sample.images, count, 0),
            intrinsics=np.repeat(sample.intrinsics, count, 0),
            camera_to_ego=np.repeat(sample.camera_to_ego, count, 0),
        )
        picture = montage(many, "title", {}, {}, remarks=["a sentence " * 30])
        assert picture.shape[1] == 1484
        assert picture.dtype == np.uint8
        assert columns == {1: 1, 2: 2}.get(count, 3 if count <= 6 else 4)
    one, two = (montage(replace(sample, missing=missing), "title", {}, {}) for missing in (("back",), ()))
    assert one.shape != two.shape


def test_strokes_outside_a_picture_change_nothing() -> None:
    picture = np.full((20, 30, 3), 7, np.uint8)
    lines(picture, [], (255, 0, 0))
    lines(picture, [[(-1e12, 3), (-5, -1e12)]], (255, 0, 0))
    area(picture, [(100, 100), (1e9, 100), (100, 1e9)], (255, 0, 0))
    assert (picture == 7).all()


def test_sentences_are_broken_between_words() -> None:
    pen = Pen(np.zeros((10, 10, 3), np.uint8))
    words = "the height, pitch or roll of that camera is wrong"
    broken = pen.wrapped(words, 12, 120)
    assert " ".join(broken) == words
    assert len(broken) > 2
    assert all(pen.width(line, 12) <= 120 for line in broken)
