"""Metrics of flagged slices, compared with scikit-learn and with figures by hand."""

import math
import time

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional import classification

from transect.apps.petct.config import State
from transect.apps.petct.lesions import Lesion, lesions, runs
from transect.apps.petct.metrics import PetctMetric
from transect.apps.petct.ranking import Ranking
from transect.data_adapters.base import BadInput
from transect.data_adapters.petct.study import TumourLabel


def metric(threshold=0.5):
    return PetctMetric(0.95, None, State(threshold=threshold))


def blocks(*places, shape=(8, 8, 12)):
    """A mask with these blocks, each ((x, x), (y, y), (z, z)), ends included."""
    mask = np.zeros(shape, np.uint8)
    for (a, b), (c, d), (e, f) in places:
        mask[a : b + 1, c : d + 1, e : f + 1] = 1
    return mask


def random_cases(study, scores, count=12, seed=0, slices=20):
    """Contributions of random studies, some without tumour."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        mask = (rng.random((6, 6, slices)) < 0.004).astype(np.uint8) * (index % 3 > 0)
        one = study(mask, rng.gamma(1.5, 1.5, mask.shape))
        logit = np.round(rng.normal(size=slices) + 1.5 * mask.any((0, 1)), 1)
        made.append(metric().contribution(scores(one, logit), one))
    return made


def test_lesions_by_hand():
    mask = blocks(((0, 1), (0, 1), (2, 4)), ((5, 6), (5, 6), (7, 7)))
    mask[2, 2, 5] = 1  # shares a corner with the first: a lesion of its own with 18 neighbours
    mask[6, 7, 8] = 1  # shares an edge with the second
    found = lesions(TumourLabel(mask, mask.any((0, 1))))
    assert found == [Lesion(2, 4, 12), Lesion(5, 5, 1), Lesion(7, 8, 5)]


def test_contours_smaller_than_a_voxel():
    mask = blocks(((0, 1), (0, 1), (2, 3)))
    positive = mask.any((0, 1))
    positive[[4, 8, 9]] = True
    # Slice 4 continues the lesion below; 8 and 9 are one without a voxel.
    assert lesions(TumourLabel(mask, positive)) == [Lesion(2, 3, 8), Lesion(8, 9, 0)]
    assert lesions(TumourLabel(np.zeros_like(mask), np.zeros(12, bool))) == []
    assert runs(np.array([1, 1, 0, 1], bool)) == [(0, 1), (3, 3)]


def test_a_contribution_by_hand(study, scores):
    mask = blocks(((0, 1), (0, 1), (2, 4)), ((5, 5), (5, 5), (7, 7)))
    values = np.ones(mask.shape)
    values[3, 3, 3] = 8
    one = study(mask, values)
    logit = np.arange(12.0)
    made = metric().contribution(scores(one, logit), one)
    assert made["label"].tolist() == [2 <= k <= 4 or k == 7 for k in range(12)]
    assert made["area_mm2"][[1, 2, 7]].tolist() == [0, 4 * 20, 20]  # voxels of 4 x 5 mm
    assert made["scores"][:, 0].tolist() == logit.tolist()
    assert made["scores"][[0, 3], 1].tolist() == [1, 8]
    assert made["scores"][[0, 3], 2].tolist() == [1 / 8, 1]
    assert made["lesion_scores"].tolist() == [[4, 8, 1], [7, 1, 1 / 8]]


def test_only_slices_that_count_are_scored(study, scores):
    mask = blocks(((0, 1), (0, 1), (2, 4)), ((5, 5), (5, 5), (7, 7)))
    parts = [study(mask, part=(number, 3)) for number in range(3)]
    made = [metric().contribution(scores(part, np.arange(12.0)), part) for part in parts]
    assert sum(len(each["label"]) for each in made) == 12
    for part, each in zip(parts, made, strict=True):
        counted = np.flatnonzero(part.counted)
        assert each["scores"][:, 0].tolist() == counted.tolist()
        highest = [max(set(counted) & covered, default=-1) for covered in ({2, 3, 4}, {7})]
        assert each["lesion_scores"][:, 0].tolist() == [slice for slice in highest if slice >= 0]
    assert sum(float(each["share"]) for each in made) == pytest.approx(1)


def test_a_study_without_label_is_refused(study, scores):
    one = study(values=np.ones((4, 4, 3)))
    with pytest.raises(BadInput, match="label"):
        metric().contribution(scores(one, np.zeros(3)), one)


def test_a_summary_by_hand(study, scores):
    first = study(blocks(((0, 1), (0, 1), (2, 4)), ((5, 5), (5, 5), (7, 7))))
    second = study(np.zeros((8, 8, 12)))
    flagged = np.where(np.isin(np.arange(12), (3, 4, 5)), 1.0, -1.0)
    clear = np.full(12, -2.0)
    made = [metric().contribution(scores(*each), each[0]) for each in ((first, flagged), (second, clear))]
    summary = metric().summary(made)
    expected = {
        "sensitivity": 2 / 4,
        "specificity": 19 / 20,
        "precision": 2 / 3,
        "sensitivity_per_lesion": 1 / 2,
        "false_slices_per_study": 1 / 2,
        "auroc_per_study": 1,
        "auprc_per_study": 1,
        "sensitivity_per_study": 1,
        "specificity_per_study": 1,
        "sensitivity_below_1_cm2": 2 / 4,  # 80 and 20 mm2
    }
    assert {name: summary[name] for name in expected} == pytest.approx(expected)
    assert math.isnan(summary["sensitivity_from_10_cm2"])
    assert summary["suv4_sensitivity"] == 0
    assert summary["suv41_sensitivity"] == 1  # the body is uniform: every voxel is the maximum
    assert summary["suv41_specificity"] == 0


def test_the_threshold_of_a_person_wins(study, scores):
    one = study(blocks(((0, 1), (0, 1), (2, 4))))
    made = [metric().contribution(scores(one, np.linspace(-3, 3, 12)), one)]
    for threshold in (0.3, 0.9):
        chosen = PetctMetric(0.95, threshold, State(threshold=0.5)).summary(made)
        assert chosen == pytest.approx(metric(threshold).summary(made), nan_ok=True)
    assert metric(0.3).summary(made)["specificity"] < metric(0.9).summary(made)["specificity"]


def test_areas_equal_scikit_learn_with_weights_and_ties():
    rng = np.random.default_rng(1)
    for size in (2, 30, 500):
        score, positive = np.round(rng.normal(size=size), 1), rng.random(size) < 0.3
        positive[:2] = True, False
        weights = rng.integers(1, 4, size).astype(float)
        auroc, auprc = Ranking(score, positive).areas(weights)
        assert auroc == pytest.approx(reference.roc_auc_score(positive, score, sample_weight=weights))
        assert auprc == pytest.approx(reference.average_precision_score(positive, score, sample_weight=weights))


def test_a_summary_equals_scikit_learn_and_torchmetrics(study, scores):
    made = random_cases(study, scores)
    summary = metric(0.6).summary(made)
    label = np.concatenate([each["label"] for each in made])
    logit = np.concatenate([each["scores"][:, 0] for each in made])
    p = 1 / (1 + np.exp(-logit))
    flag = p >= 0.6
    assert summary["auroc"] == pytest.approx(reference.roc_auc_score(label, p))
    assert summary["auprc"] == pytest.approx(reference.average_precision_score(label, p))
    assert summary["sensitivity"] == pytest.approx(reference.recall_score(label, flag))
    assert summary["specificity"] == pytest.approx(reference.recall_score(~label, ~flag))
    assert summary["precision"] == pytest.approx(reference.precision_score(label, flag))
    assert summary["brier"] == pytest.approx(reference.brier_score_loss(label, p))
    tensors = torch.tensor(p), torch.tensor(label.astype(int))
    error = classification.binary_calibration_error(*tensors, n_bins=10)
    assert summary["calibration_error"] == pytest.approx(float(error), abs=1e-6)
    suv = np.concatenate([each["scores"][:, 1] for each in made])
    assert summary["suv4_auroc"] == pytest.approx(reference.roc_auc_score(label, suv))
    studies = [(each["label"].any(), each["scores"][:, 0].max()) for each in made]
    assert summary["auroc_per_study"] == pytest.approx(reference.roc_auc_score(*zip(*studies, strict=True)))


def test_a_weight_of_two_is_the_same_as_the_case_twice(study, scores):
    made = random_cases(study, scores)
    weights = np.random.default_rng(2).integers(0, 4, len(made))
    repeated = [each for each, weight in zip(made, weights, strict=True) for _ in range(weight)]
    weighted, twice = metric().summary(made, weights.astype(float)), metric().summary(repeated)
    assert list(weighted) == list(twice)
    assert weighted == pytest.approx(twice, nan_ok=True)
    assert not math.isnan(weighted["auroc"])


def test_undefined_metrics_are_nan(study, scores):
    healthy = study(np.zeros((8, 8, 12)))
    made = [metric().contribution(scores(healthy, np.zeros(12) - 1), healthy)]
    summary = metric().summary(made)
    undefined = {name for name, value in summary.items() if math.isnan(value)}
    assert {"auroc", "auprc", "sensitivity", "precision", "sensitivity_per_lesion", "auroc_per_study"} <= undefined
    assert summary["specificity"] == 1
    assert summary["false_slices_per_study"] == 0
    nothing = metric().summary([])
    assert all(math.isnan(value) for value in nothing.values())
    assert list(nothing) == list(summary)
    assert metric().summary(made, np.zeros(1)) == pytest.approx(nothing, nan_ok=True)


def test_a_changed_list_of_contributions_is_seen(study, scores):
    made = random_cases(study, scores)
    one = metric()
    before = one.summary(made)
    assert one.summary(made[:6]) == pytest.approx(metric().summary(made[:6]), nan_ok=True)
    made.append(made[1])
    assert one.summary(made) != before


def test_a_bootstrap_is_quick(study, scores):
    """Faster than scikit-learn, whose AUROC and AUPRC are only a part of a summary."""
    made = random_cases(study, scores, count=30, slices=200)
    one, weights = metric(), np.ones(30)
    one.summary(made, weights)
    label = np.concatenate([each["label"] for each in made])
    p = np.concatenate([each["scores"][:, 0] for each in made])

    def seconds(work):
        def once():
            clock = time.process_time()
            work()
            return time.process_time() - clock

        return min(once() for _ in range(5))

    def theirs():
        for function in (reference.roc_auc_score, reference.average_precision_score):
            for _ in range(3):  # the model and both baselines
                function(label, p, sample_weight=np.ones(len(p)))

    assert seconds(lambda: one.summary(made, weights)) < seconds(theirs)
