"""Ray casting against the geometry of boxes and ellipsoids."""

import numpy as np
import pytest

from transect.data_adapters.bev.geometry import pose
from transect.data_adapters.bev.synthetic.raycast import Camera, Ground, Light, Part, Solid, cast, render

WHITE = (200.0, 200.0, 200.0)
BOX, BALL = Part((0, 0, 0), (1, 1, 1), WHITE), Part((0, 0, 0), (1, 1, 1), WHITE, round=True)
GROUND = Ground((np.full((64, 64, 3), 100, np.uint8),), (-32.0, -32.0), 1.0)
NOON = Light(np.array([0.6, 0.0, 0.8]), 0.5, 0.5, np.full(3, 220.0), np.full(3, 150.0), 1e9)
"""The sun stands ahead of a camera that looks along x."""


def ahead(distance: float, part: Part = BOX, half: tuple[float, float, float] = (1, 1, 1), yaw: float = 0.0) -> Solid:
    return Solid(np.array([distance, 0, half[2]]), yaw, np.array(half), (part,))


def camera(height: float = 1.0) -> Camera:
    """Looks along x from above the origin; 100 pixels are one unit at depth 1."""
    axes = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    k = np.array([[100.0, 0, 60], [0, 100, 40], [0, 0, 1]])
    return Camera(k, pose(axes, [0, 0, height]), 81, 121)


def test_a_box_covers_the_pixels_of_its_front() -> None:
    _, ids, alone = render(camera(), [ahead(11)], GROUND, NOON)
    rows, columns = np.nonzero(ids == 0)
    # 2 x 2 m at 10 m, as high as the camera in the middle: 10 pixels to each side, whose rays just touch the edges
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (31, 49, 51, 69)
    assert alone[0] == len(rows) == 19 * 19


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_near_hides_what_is_far(order: tuple[int, int]) -> None:
    two = [ahead(11), ahead(21, half=(1, 3, 3))]
    _, ids, alone = render(camera(1.03), [two[index] for index in order], GROUND, NOON)
    near, far = order.index(0), order.index(1)
    only = [render(camera(1.03), [one], GROUND, NOON)[1] == 0 for one in two]
    assert np.array_equal(ids == near, only[0])
    assert np.array_equal(ids == far, only[1] & ~only[0])
    assert [alone[near], alone[far]] == [one.sum() for one in only]


def test_a_ball_lies_in_its_box_and_a_turned_box_reaches_farther() -> None:
    start, along = np.array([[-10.0], [0], [0]]), np.array([[1.0, 1, 1], [0, 0.09, 0.095], [0, 0, 0]])
    box, _ = cast(ahead(0), start, along)
    ball, _ = cast(ahead(0, BALL), start, along)
    assert box == pytest.approx([9, 9, 9])
    assert ball[0] == pytest.approx(9)
    assert 9 < ball[1] < 10
    assert not np.isfinite(cast(ahead(0, BALL), start, np.array([[1.0], [0.11], [0]]))[0])
    widths = [(render(camera(), [ahead(11, yaw=yaw)], GROUND, NOON)[1] == 0).any(0).sum() for yaw in (0, np.pi / 4)]
    assert widths[1] > 1.2 * widths[0]


def test_what_is_behind_the_camera_or_around_it_is_not_seen() -> None:
    _, ids, alone = render(camera(), [ahead(-11), ahead(0)], GROUND, NOON)
    assert (ids == -1).all()
    assert alone.tolist() == [0, 0]


def test_the_ground_before_a_box_is_in_its_shadow() -> None:
    image, ids, _ = render(camera(), [ahead(11)], GROUND, NOON)
    lit, shadow = image[80, 60], image[51, 60]  # at 2.5 m and 9.1 m; the shadow begins 1.5 m before the box at 10 m
    assert ids[51, 60] == ids[80, 60] == -1
    assert lit.tolist() == [90] * 3  # 100 (0.5 + 0.5 x 0.8)
    assert shadow.tolist() == [50] * 3
    assert image[51, 20].tolist() == [90] * 3
