import math

import numpy as np
import pytest

from transect.apps.canvas import picture
from transect.apps.reliability import draw_reliability, expected_calibration_error, reliability


def test_reliability_by_hand() -> None:
    p, right = [0.05, 0.15, 0.11, 0.95, 1.0, math.nan], [False, True, False, True, True, True]
    actual = reliability(p, right)
    assert [one.count for one in actual] == [1, 2, 2]
    assert [one.right for one in actual] == [0, 0.5, 1]
    assert [one.probability for one in actual] == pytest.approx([0.05, 0.13, 0.975])
    assert expected_calibration_error(p, right) == pytest.approx((0.05 + 2 * 0.37 + 2 * 0.025) / 5)
    assert math.isnan(expected_calibration_error([math.nan], [True]))


def test_a_weight_of_two_is_the_same_as_twice():
    p, right = [0.2, 0.3, 0.8], [False, True, True]
    twice = expected_calibration_error([*p, 0.3], [*right, True])
    assert expected_calibration_error(p, right, [1, 2, 1]) == pytest.approx(twice)


@pytest.mark.parametrize("height", [640, 700])
def test_the_chart_shows_curve_and_histogram(height):
    rng = np.random.default_rng(0)
    p = rng.random(200)
    chart = picture(lambda figure: draw_reliability(p, rng.random(200) < p, "slices", "of tumour", figure), height)
    blue = (np.abs(chart.astype(int) - (11, 85, 159)).max(-1) < 40).any(1)
    assert blue[80:380].any()
    paler = (np.abs(chart.astype(int) - (60, 119, 178)).max(-1) < 40).any(1)
    assert paler[height - 180 : height - 64].any()
