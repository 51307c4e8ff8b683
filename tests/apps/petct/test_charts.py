"""Charts of flagged slices: which there are, and that their lines lie where the numbers say."""

import numpy as np
import pytest

from transect.apps.canvas import BASELINE_COLOUR, HEIGHT, MODEL_COLOUR, WIDTH
from transect.apps.petct import charts as drawn
from transect.apps.petct.charts import charts
from transect.apps.petct.config import State
from transect.apps.petct.metrics import PetctMetric
from transect.apps.petct.organs import NAMES

ALL = ["curves", "calibration", "sensitivity_by_area", "lesions", "slices_and_studies", "false_positives", "split"]


def case(label, logit, suv=1.0, area=50.0, spot=0, trained_on=False):
    """A contribution whose lesions are single slices."""
    label, logit = np.asarray(label, bool), np.asarray(logit, np.float64)
    scores = np.stack([logit, np.broadcast_to(suv, logit.shape), np.broadcast_to(suv, logit.shape) / np.max(suv)], 1)
    return {
        "scores": scores,
        "label": label,
        "area_mm2": np.where(label, area, 0.0),
        "spot": np.full(len(label), spot, np.uint8),
        "share": np.array(1.0),
        "trained_on": np.array(trained_on),
        "lesion_scores": scores[label],
    }


def pool(*cases):
    return PetctMetric(0.95, None, State()).pooled(cases)


def made(*cases, validation=None, unit="patient"):
    return charts(pool(*cases), validation, unit)


def pixels(picture, colour):
    """Rows and columns of a colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.nonzero((np.abs(picture.astype(int) - wanted) <= 2).all(-1))


MIXED = case([0, 1, 1, 0, 0], [-1, 2, -1, 1, -2], suv=[1, 5, 2, 6, 1], spot=4)
HEALTHY = case([0, 0, 0], [-3, -2, -1])


def test_all_charts_have_one_size():
    shown = made(MIXED, HEALTHY, validation=0.9)
    assert list(shown) == ALL
    assert {(picture.dtype, picture.shape) for picture in shown.values()} == {(np.dtype(np.uint8), (HEIGHT, WIDTH, 3))}


@pytest.mark.parametrize(
    ("cases", "names"),
    [
        ([], []),
        ([HEALTHY], ["calibration"]),
        ([case([1, 1], [-1, -2])], ["calibration", "sensitivity_by_area", "lesions"]),
        ([MIXED], ["curves", "calibration", "sensitivity_by_area", "lesions", "false_positives"]),
        ([case([0, 0], [1, -2])], ["calibration", "false_positives"]),
    ],
)
def test_only_what_there_is_is_drawn(cases, names):
    assert list(made(*cases)) == names


def test_a_perfect_roc_runs_along_the_upper_left():
    width, height = WIDTH - 84 - 502, HEIGHT - 120 - 64
    for logit, upper in (([2, 2.5, -1, -2, -3], True), ([-2, -2.5, 1, 2, 3], False)):
        rows, columns = pixels(made(case([1, 1, 0, 0, 0], logit))["curves"], MODEL_COLOUR)
        roc = (columns < 84 + width) & (rows > 64) & (rows < 64 + height)
        far = (columns - 84) / width + (rows - 64) / height  # 0 at the upper left corner, 2 at the lower right
        assert (np.median(far[roc]) < 1) == upper


def test_sensitivity_is_drawn_in_the_bin_of_the_area():
    picture = made(case([1, 1, 1, 1, 0], [2, 2, 2, -2, -2], area=500.0))["sensitivity_by_area"]
    rows, columns = pixels(picture[64 : HEIGHT - 140], MODEL_COLOUR)
    across = 84 + (2 + 0.5 - 0.14) / 4 * (WIDTH - 84 - 32)  # the third bin, 3 to 10 cm2
    assert np.median(columns) == pytest.approx(across, abs=3)
    up = (1.05 - 0.75) / 1.07 * (HEIGHT - 64 - 136)
    assert np.median(rows) == pytest.approx(up, abs=25)


def test_the_lesion_curve_starts_at_the_lesions_without_any_false_slice():
    """Of two lesions one is scored above every slice without tumour: half of the lesions at no false slice."""
    scored = pool(case([1, 0, 1, 0], [3, 1, 0, -1]))
    false, share = drawn.lesion_curve(scored, "model")
    assert false.tolist() == [0, 0, 1, 1, 2]
    assert share.tolist() == [0, 0.5, 0.5, 1, 1]


def test_false_positives_are_counted_by_place():
    cases = case([0, 0, 0, 1], [1, 1, -1, 1], spot=NAMES.index("bladder")), case([0], [1], spot=0)
    bars = made(*cases)["false_positives"]
    near, elsewhere = (len(pixels(bars, colour)[0]) for colour in (MODEL_COLOUR, "#9a9a9a"))
    assert near / elsewhere == pytest.approx(2, abs=0.1)


def test_a_split_of_slices_is_marked_as_overestimating():
    cases = MIXED, case([0, 1, 0], [-1, 2, -1], trained_on=True)
    marked = made(*cases, validation=0.99, unit="slice")["split"]
    assert len(pixels(marked, BASELINE_COLOUR)[0]) > 200
    assert "split" not in made(case([0, 1, 0], [-1, 2, -1], trained_on=True), validation=0.99, unit="slice")
    new = made(MIXED, validation=0.99)["split"]
    assert len(pixels(new, BASELINE_COLOUR)[0]) == 0


def test_validation_is_not_compared_with_itself():
    auroc = PetctMetric(0.95, None, State()).summary([MIXED, HEALTHY])["auroc"]
    assert "split" not in made(MIXED, HEALTHY, validation=auroc)
