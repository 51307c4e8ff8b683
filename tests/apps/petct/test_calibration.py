"""The calibration of logits and the threshold, chosen on validation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from transect.apps.petct.app import PetCT
from transect.apps.petct.calibration import fit, logit, operating_point, probability
from transect.apps.petct.config import Calibration, Config, State
from transect.apps.petct.metrics import PetctMetric
from transect.data_adapters.petct.scores import SliceScores


class Known(ClassifierMixin, BaseEstimator):
    """A classifier whose decision function is its input."""

    def fit(self, inputs, target):
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, inputs):
        return inputs[:, 0]

    def predict(self, inputs):
        return (inputs[:, 0] > 0).astype(int)


def sampled(calibration, count=4000, seed=0):
    """Logits, and labels drawn with the probabilities of a calibration."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, count)
    return logit, rng.random(count) < probability(calibration, logit)


def test_probabilities_do_not_overflow():
    logit = np.array([-1e4, -1.0, 0.0, 1.0, 1e4])
    assert probability(Calibration(), logit) == pytest.approx([0, 1 / (1 + math.e), 0.5, math.e / (1 + math.e), 1])
    assert probability(Calibration(2, 1), np.array([-0.5])) == pytest.approx([0.5])


def test_a_logit_is_the_inverse_of_a_probability():
    p = np.array([1e-12, 0.3, 0.9999])
    assert probability(Calibration(), logit(p)) == pytest.approx(p)
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("scale", [0.01, 1, 100])
def test_a_known_calibration_is_found(scale):
    logits, positive = sampled(Calibration(0.5, -2))
    found = fit(logits * scale, positive)
    assert found is not None
    assert (found.slope * scale, found.bias) == pytest.approx((0.5, -2), abs=0.1)


def test_it_is_platt_scaling_as_scikit_learn_does_it():
    logits, positive = sampled(Calibration(0.5, -2), 200)
    inputs = logits[:, None]
    known = FrozenEstimator(Known().fit(inputs, positive))
    theirs = CalibratedClassifierCV(known, method="sigmoid").fit(inputs, positive).predict_proba(inputs)[:, 1]
    found = fit(logits, positive)
    assert found is not None
    assert probability(found, logits) == pytest.approx(theirs, abs=1e-3)


def test_separable_logits_keep_a_finite_slope():
    found = fit(np.array([-3.0, -2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    assert found is not None
    assert 0 < found.slope < 5


@pytest.mark.parametrize(
    ("logit", "positive"),
    [
        ([0.0, 1.0], [True, True]),
        ([0.0, 1.0], [False, False]),
        ([0.0, 1.0, 2.0, 3.0], [True, True, False, False]),  # the wrong way round
        ([0.0, math.nan], [False, True]),
        ([], []),
    ],
)
def test_no_calibration_where_none_can_be_fitted(logit, positive):
    assert fit(np.array(logit), np.array(positive, bool)) is None


def test_the_threshold_by_hand():
    slices = np.array([0.05, 0.1, 0.3, 0.5, 0.55, 0.7, 0.9])
    lesions = np.array([0.9, 0.7, 0.5, 0.3])
    for sensitivity, threshold in ((1.0, 0.2), (0.76, 0.2), (0.75, 0.4), (0.5, 0.625), (0.25, 0.8), (0.01, 0.8)):
        assert operating_point(slices, lesions, sensitivity) == pytest.approx(threshold)
    assert operating_point(np.array([0.4]), np.array([0.4]), 1.0) == pytest.approx(0.2)
    assert operating_point(slices, np.zeros(0), 0.9) is None


def test_rounding_does_not_ask_for_another_lesion():
    lesions = np.linspace(0.1, 0.9, 100)
    # 0.29 * 100 is 28.999999999999996, and 0.07 * 100 is 7.000000000000001.
    for share, needed in ((0.29, 29), (0.07, 7), (0.95, 95)):
        threshold = operating_point(lesions, lesions, share)
        assert (lesions >= threshold).sum() == needed


def contributions(study, scores, metric, logits):
    """Studies of one voxel of tumour in the slices 2 and 6, with these logits."""
    mask = np.zeros((4, 4, 9), np.uint8)
    mask[1, 1, 2] = mask[2, 2, 6] = 1
    one = study(mask)
    return [metric.contribution(scores(one, logit), one) for logit in logits]


def test_calibrating_hits_the_share_of_lesions(study, scores):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 9))
    logits[:, [2, 6]] += 2
    state = State(tracers=("FDG",))
    metric = PetctMetric(0.9, None, state)
    made = contributions(study, scores, metric, logits)
    chosen = metric.calibrate(made)
    auroc = metric.summary(made)["auroc"]
    assert chosen == replace(
        state, threshold=chosen.threshold, calibration=chosen.calibration, validation_auroc=pytest.approx(auroc)
    )
    summary = PetctMetric(0.9, None, chosen).summary(made)
    assert summary["sensitivity_per_lesion"] == pytest.approx(36 / 40)
    assert summary["calibration_error"] < metric.summary(made)["calibration_error"]
    assert summary["auroc"] == auroc


def test_without_lesions_nothing_is_chosen(study, scores):
    one = study(np.zeros((4, 4, 9)))
    metric = PetctMetric(0.9, None, State())
    assert metric.calibrate([metric.contribution(scores(one, np.zeros(9)), one)]) is None
    assert metric.calibrate([]) is None


def test_a_model_that_is_worse_than_chance_keeps_its_order(study, scores):
    metric = PetctMetric(1.0, None, State())
    logits = np.ones((3, 9))
    logits[:, [2, 6]] = -1
    chosen = metric.calibrate(contributions(study, scores, metric, logits))
    assert chosen.calibration == Calibration()
    assert chosen.threshold == pytest.approx(1 / (1 + math.e) / 2)


def test_an_ensemble_is_measured_by_its_mean_probability(study, scores):
    members = [PetCT(Config(), State(threshold=0.2 + 0.2 * k, calibration=Calibration(1 + k, -k))) for k in range(2)]
    both = PetCT.ensemble(members)
    mask = np.zeros((4, 4, 5), np.uint8)
    mask[1, 1, 3] = 1
    one, logits = study(mask), np.array([[-1.0, 0, 1, 2, 3], [2, 1, 0, -1, 3]])
    predictions = [
        SliceScores(one, probability(member.state.calibration, each), member.threshold, each)
        for member, each in zip(members, logits, strict=True)
    ]
    mean = both.average(predictions)
    made = [both.metric.contribution(mean, one)]
    pool = both.metric.pooled(made)
    assert pool.slices["model"].score == pytest.approx(mean.probability)
    assert pool.slices["model"].flag.tolist() == mean.flags.tolist()
