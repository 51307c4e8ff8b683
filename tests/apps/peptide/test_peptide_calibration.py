import math

import numpy as np
import pytest

from transect.apps.peptide.calibration import (
    features,
    fit,
    probability,
    realised,
)
from transect.apps.peptide.config import Calibration
from transect.apps.reliability import expected_calibration_error
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Spectrum

ROW = (-0.2, 0.3, 0.5, 1.0)
FITTED = Calibration(bias=-1.0, log_score=2.0, margin=3.0, agreement=0.5, fits=1.0)


def drawn(count: int, truth: Calibration, seed: int = 0) -> tuple[list[list[float]], list[bool]]:
    """Winners that are right as often as `truth` says."""
    random = np.random.default_rng(seed)
    table = np.column_stack(
        [-random.exponential(1, count), random.random(count), random.random(count), random.random(count) < 0.8]
    )
    return table.tolist(), [bool(random.random() < probability(truth, row)) for row in table]


def proposed(tools: tuple[str, ...]) -> Candidate:
    return Candidate(parse_peptide("PEPTIDEK"), tools, (1.0,) * len(tools), (1,) * len(tools))


def ranked(*winners: tuple[float, tuple[str, ...]], fits: bool = True, others: tuple[str, ...] = ()) -> RankedSpectrum:
    spectrum = Spectrum(0, "", "", 500.0, 2, math.nan, np.empty(0), np.empty(0, np.float32))
    ranking = [
        RankedCandidate(proposed(tools), score, 0.0, np.ones(8, np.float32), 0.0, fits) for score, tools in winners
    ]
    left = tuple(proposed((tool,)) for tool in others)
    return RankedSpectrum(CandidateSet(spectrum, tuple(one.candidate for one in ranking) + left), tuple(ranking))


def test_features_by_hand() -> None:
    one = ranked((0.8, ("a", "b")), (0.3, ("c",)), others=("d",))
    assert features(one) == pytest.approx((math.log(0.8), 0.5, 0.5, 1.0))
    assert features(ranked((0.8, ("a",)), fits=False)) == pytest.approx((math.log(0.8), 0.8, 1.0, 0.0))
    assert all(map(math.isfinite, features(ranked((0.0, ())))))


def test_probability_by_hand() -> None:
    assert probability(FITTED, ROW) == pytest.approx(1 / (1 + math.exp(-(-1 - 0.4 + 0.9 + 0.25 + 1))))
    assert math.isnan(probability(Calibration(), ROW))
    assert probability(Calibration(bias=2000.0), ROW) == 1.0
    assert probability(Calibration(bias=-2000.0), ROW) == 0.0


def test_a_calibration_finds_the_odds_that_data_was_drawn_with() -> None:
    actual = fit(*drawn(20000, FITTED))
    for name in ("bias", "log_score", "margin", "agreement", "fits"):
        assert getattr(actual, name) == pytest.approx(getattr(FITTED, name), abs=0.15), name
    rows, right = drawn(20000, FITTED, seed=1)
    assert expected_calibration_error([probability(actual, row) for row in rows], right) < 0.015


def test_no_feature_speaks_against_a_winner() -> None:
    rows, right = drawn(2000, Calibration(bias=-1.0, log_score=2.0, margin=3.0, agreement=-2.0, fits=1.0))
    actual = fit(rows, right)
    assert actual.agreement == 0
    assert min(actual.log_score, actual.margin, actual.fits) > 0
    without = fit([[row[0], row[1], 0.0, row[3]] for row in rows], right)
    assert actual.bias == pytest.approx(without.bias, abs=1e-3)
    assert actual.margin == pytest.approx(without.margin, abs=1e-3)
    worse = fit([[-value for value in row] for row in drawn(2000, FITTED)[0]], drawn(2000, FITTED)[1])
    share = np.mean(drawn(2000, FITTED)[1])
    assert worse == Calibration(bias=pytest.approx(math.log(share / (1 - share))))


def test_nothing_is_fitted_where_all_winners_are_alike() -> None:
    assert not fit([ROW, ROW], [True, True]).is_fitted
    assert not fit([], []).is_fitted
    assert fit([ROW, ROW], [True, False]) == fit([ROW, ROW], [True, False])


def test_realised_says_what_share_of_the_accepted_was_wrong() -> None:
    p, right = [0.99, 0.98, 0.97, 0.2, math.nan], [True, False, True, True, False]
    accepted, wrong = realised(p, right, 0.05)
    assert accepted == 3
    assert wrong == pytest.approx(1 / 3)
    accepted, wrong = realised(p, right, 0.001)
    assert accepted == 0
    assert math.isnan(wrong)


def test_the_stated_rate_is_the_realised_one_where_probabilities_are_true() -> None:
    rows, right = drawn(20000, Calibration(bias=2.0, log_score=2.0, margin=3.0, agreement=0.5, fits=1.0), seed=2)
    actual = fit(*drawn(20000, Calibration(bias=2.0, log_score=2.0, margin=3.0, agreement=0.5, fits=1.0), seed=3))
    p = [probability(actual, row) for row in rows]
    for fdr in (0.01, 0.05, 0.1):
        accepted, wrong = realised(p, right, fdr)
        assert accepted > 1000
        assert wrong == pytest.approx(fdr, abs=4 * math.sqrt(fdr / accepted))
