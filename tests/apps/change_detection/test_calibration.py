"""Calibrated probabilities: a known miscalibration is mended, empty levels and few pixels do no harm."""

import numpy as np
import pytest

from transect.apps.change_detection.app import ChangeDetection
from transect.apps.change_detection.calibration import (
    by_level,
    calibration_error,
    fit_probabilities,
    mean_probabilities,
)
from transect.apps.change_detection.config import Config, State
from transect.apps.change_detection.metrics import ChangeMetric
from transect.data_adapters.change_detection.maps import LEVELS

SCORES = np.arange(LEVELS + 1) / LEVELS


def histograms(truth: np.ndarray, seed: int = 0, pixels: int = 400_000) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of random scores, each changed with the probability that `truth` has for its score."""
    rng = np.random.default_rng(seed)
    levels = rng.binomial(LEVELS, rng.beta(0.5, 2, pixels))
    changed = rng.random(pixels) < truth[levels]
    parts = (np.bincount(levels[of], minlength=LEVELS + 1).astype(float) for of in (changed, ~changed))
    first, second = parts
    return first, second


def test_the_error_of_perfect_probabilities_is_zero():
    changed = np.zeros(LEVELS + 1)
    unchanged = np.zeros(LEVELS + 1)
    changed[[50, 200]], unchanged[[0, 50]] = (25, 10), (40, 75)
    assert calibration_error(changed, unchanged, SCORES) == 0
    assert calibration_error(changed, unchanged, np.clip(SCORES + 0.1, 0, 1)) == pytest.approx(0.1 * 140 / 150)
    assert np.isnan(calibration_error(np.zeros(LEVELS + 1), np.zeros(LEVELS + 1), SCORES))


@pytest.mark.parametrize("truth", [SCORES**3, np.sqrt(SCORES), 0.02 + 0.6 * SCORES, 1 / (1 + np.exp(5 - 12 * SCORES))])
def test_a_miscalibrated_score_is_mended_on_other_pixels(truth):
    fitted = np.array(fit_probabilities(*histograms(truth)))
    unseen = histograms(truth, seed=1)
    assert calibration_error(*unseen, SCORES) > 0.05
    assert calibration_error(*unseen, fitted) < 0.005
    assert np.abs(fitted - truth)[5:120].max() < 0.05
    assert (np.diff(fitted) >= 0).all()


def test_a_score_that_ranks_nothing_becomes_the_share_of_changed_pixels():
    fitted = np.array(fit_probabilities(*histograms(np.full(LEVELS + 1, 0.2))))
    assert fitted[:150] == pytest.approx(0.2, abs=0.01)


def test_empty_levels_and_the_edge_of_one_object_do_not_make_a_probability():
    changed, unchanged = np.zeros(LEVELS + 1), np.zeros(LEVELS + 1)
    unchanged[10], changed[190], unchanged[190] = 10_000, 1_000, 1_000
    unchanged[100] = 1  # one pixel among 10,000 at this level
    fitted = np.array(fit_probabilities(changed, unchanged))
    assert fitted[:11] == pytest.approx(1 / 10_002, abs=2e-5)
    assert fitted[190:] == pytest.approx(0.5, abs=1e-3)
    assert 0.2 < fitted[100] < 0.3  # between the two
    certain = np.array(fit_probabilities(changed, unchanged * (np.arange(LEVELS + 1) < 100)))
    assert certain[-1] == pytest.approx(1001 / 1002, abs=1e-5)
    assert fit_probabilities(np.zeros(LEVELS + 1), unchanged) == ()


def test_training_keeps_the_probabilities_and_an_evaluation_uses_them():
    changed, unchanged = histograms(SCORES**3)
    contribution = {"changed": changed.astype(int), "unchanged": unchanged.astype(int)}
    before = ChangeMetric(0.5)
    state = before.calibrate([contribution])
    assert state is not None
    assert state.probabilities == fit_probabilities(changed, unchanged)
    assert before.summary([contribution])["ece"] > 0.1
    app = ChangeDetection(Config(), state)
    assert app.metric.summary([contribution])["ece"] < 0.005
    (name, chart), *others = app.charts([contribution]).items()
    assert (name, others, chart.dtype) == ("reliability", [], np.uint8)
    assert app.charts([]) == {}


def test_a_map_has_the_probability_of_each_of_its_values():
    table = by_level(tuple(SCORES))
    assert table is not None
    assert table[: LEVELS + 1].tolist() == SCORES.tolist()
    assert np.isnan(table[LEVELS + 1 :]).all()
    assert by_level(()) is None


def test_an_ensemble_has_the_mean_of_the_probabilities():
    first, second = tuple(SCORES), tuple(SCORES**2)
    members = [ChangeDetection(Config(), State(probabilities=each)) for each in (first, second)]
    together = ChangeDetection.ensemble(members)
    assert together.state.probabilities == pytest.approx((SCORES + SCORES**2) / 2)
    assert mean_probabilities([first, ()]) == ()


@pytest.mark.parametrize("values", [(0.5,) * 200, (*[0.5] * 200, 1.5), (*[0.5] * 200, float("nan"))])
def test_a_damaged_state_is_refused(values):
    with pytest.raises(ValueError, match="probabilities"):
        State(probabilities=values)
