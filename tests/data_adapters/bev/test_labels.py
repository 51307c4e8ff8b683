import cv2
import numpy as np
import pytest

from transect.data_adapters.bev import geometry, labels
from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.bev.sample import INVISIBLE, Boxes

GRID = Grid()


def boxes(*records: tuple[str, tuple[float, float], float, tuple[float, float], int]) -> Boxes:
    """Boxes from (category, centre, heading in degrees, length and width, visibility)."""
    names, centers, headings, sizes, visibility = zip(*records, strict=True)
    half = np.radians(headings) / 2
    turns = geometry.rotation(np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], -1))
    corners = geometry.box_corners([(*c, 1) for c in centers], [(*s, 2) for s in sizes], turns)
    return Boxes(corners, names, np.array(visibility, np.uint8))


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_forward_is_up_and_left_is_left() -> None:
    vehicle, _, _ = labels.draw_boxes(boxes(("vehicle.car", (10, 0), 0, (5, 2), 4)), GRID)
    assert extent(vehicle) == (75, 85, 98, 102)
    assert vehicle.sum() == 55  # 5 x 11 pixels: the outline belongs to the box
    vehicle, _, _ = labels.draw_boxes(boxes(("vehicle.car", (-10, 20), 90, (5, 2), 4)), GRID)
    assert extent(vehicle) == (118, 122, 55, 65)


@pytest.mark.parametrize(
    ("category", "vehicle", "visible"),
    [
        ("vehicle.car", True, True),
        ("vehicle.bus.rigid", True, True),
        ("vehicle.construction", True, True),
        ("vehicle.emergency.ambulance", False, True),
        ("human.pedestrian.adult", False, False),
        ("human.pedestrian.construction_worker", False, False),
        ("human.pedestrian.construction", True, False),  # the earlier of `DYNAMIC` counts
        ("static_object.bicycle_rack", False, False),
        ("movable_object.trailer", True, False),
        ("vehicles.cars", False, False),
    ],
)
def test_words_of_categories(category, vehicle, visible) -> None:
    assert labels.is_vehicle(category) is vehicle
    assert labels.has_visibility(category) is visible
    mask, visibility, score = labels.draw_boxes(boxes((category, (0, 0), 0, (4, 4), 2)), GRID)
    assert mask.sum() == 81 * vehicle
    assert (visibility == 2).sum() == (score > 0).sum() == 81 * visible


def test_the_later_box_gives_visibility_and_score() -> None:
    below, above = ("vehicle.car", (-20, -20), 0, (4, 4), 1), ("vehicle.truck", (-18, -20), 0, (4, 4), 3)
    vehicle, visibility, score = labels.draw_boxes(boxes(below, above), GRID)
    assert vehicle.sum() == 81 + 36
    assert [(visibility == value).sum() for value in (1, 3, INVISIBLE)] == [36, 81, 40000 - 117]
    assert score[136, 140] == 1  # the centre of the truck
    assert score[140, 140] == pytest.approx(np.exp(-16))  # the centre of the car is 4 pixels behind it


def test_the_score_falls_with_the_squared_distance_to_the_centre() -> None:
    _, _, score = labels.draw_boxes(boxes(("vehicle.car", (10.1, 0.05), 0, (5, 2), 4)), GRID)
    assert score.dtype == np.float32
    assert score[80, 101] == pytest.approx(np.exp(-(0.2**2) - 1.1**2), rel=1e-6)  # the centre is at (99.9, 79.8)
    assert score[0, 0] == 0


def test_windows_of_boxes_change_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        record = ("vehicle.car", tuple(rng.uniform(-55, 55, 2)), rng.uniform(0, 360), tuple(rng.uniform(0.3, 14, 2)), 4)
        box = boxes(record)
        whole = np.zeros((200, 200), np.uint8)
        corners = np.rint(labels.to_pixels(box.corners[0, :4], GRID)).astype(np.int32)
        cv2.fillPoly(whole, [corners], 1)
        np.testing.assert_array_equal(labels.draw_boxes(box, GRID)[0], whole)


def test_halves_are_even_also_when_they_are_off_by_an_error_of_rounding() -> None:
    for error in (-1e-9, 0, 1e-9):
        vehicle, _, _ = labels.draw_boxes(boxes(("vehicle.car", (10.25 + error, 0), 0, (5, 2), 4)), GRID)
        assert extent(vehicle) == (74, 84, 98, 102)


def test_shapes_outside_the_grid_draw_nothing() -> None:
    vehicle, visibility, _ = labels.draw_boxes(boxes(("vehicle.car", (9e6, -9e6), 3, (5, 2), 4)), GRID)
    assert not vehicle.any()
    assert (visibility == INVISIBLE).all()
    far = np.array([[9e6, 9e6], [9e6 + 5, 9e6], [9e6, 9e6 + 5]])
    assert not labels.draw_polygons([[far]], GRID).any()
    assert not labels.draw_lines([far], GRID).any()


def test_shapes_that_reach_beyond_whole_numbers_of_32_bits() -> None:
    huge = 3e9 * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
    assert labels.draw_polygons([[huge]], GRID).all()
    ahead = np.array([[0.0, 3e9], [3e9, 3e9], [3e9, -3e9], [0.0, -3e9]])
    assert extent(labels.draw_polygons([[ahead]], GRID)) == (0, 100, 0, 199)
    assert extent(labels.draw_lines([np.array([[-3e9, 10.0], [3e9, 10.0]])], GRID)) == (0, 199, 80, 80)
    assert labels.draw_boxes(boxes(("vehicle.car", (0, 0), 0, (6e8, 6e8), 4)), GRID)[0].all()


def test_holes_lose_their_outline_and_clear_what_is_below() -> None:
    square = np.array([[20, 20], [20, -20], [-20, -20], [-20, 20.0]])
    hole = np.array([[5, 5], [10, 5], [10, -5], [5, -5.0]])
    mask = labels.draw_polygons([[square, hole]], GRID)
    assert mask.sum() == 81 * 81 - 11 * 21
    assert labels.draw_polygons([[hole], [square, hole]], GRID).sum() == mask.sum()
    assert labels.draw_polygons([[square, hole], [hole]], GRID).sum() == 81 * 81


def test_lines_are_one_pixel_wide_and_stay_open() -> None:
    mask = labels.draw_lines([np.array([[-60.0, 10], [60, 10]]), np.array([[0.0, 0], [0, -5], [5, -5]])], GRID)
    assert mask[:, 80].all()
    assert mask.sum() == 200 + 11 + 10


def test_another_grid() -> None:
    grid = Grid(height=100, width=60, resolution=1.0, offset=0.25)
    vehicle, _, _ = labels.draw_boxes(boxes(("vehicle.car", (10, 5), 0, (4, 2), 4)), grid)
    assert extent(vehicle) == (75 - 12, 75 - 8, 24, 26)


def test_an_empty_sample_has_empty_labels() -> None:
    none = Boxes(np.zeros((0, 8, 3)), (), np.zeros(0, np.uint8))
    vehicle, visibility, score = labels.draw_boxes(none, GRID)
    assert not vehicle.any()
    assert (visibility == INVISIBLE).all()
    assert not score.any()
