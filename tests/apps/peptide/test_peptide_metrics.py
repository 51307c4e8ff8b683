import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transect.apps.peptide.baselines import choices
from transect.apps.peptide.config import Calibration
from transect.apps.peptide.matching import STRICT, residue_matches
from transect.apps.peptide.metrics import calibrated, curve, fitted, precision_coverage, summary_of
from transect.apps.peptide.outcomes import joined, outcome, spectrum_row
from transect.data_adapters.peptide.peptide import AMINO_ACID_MASS
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Spectrum

LETTERS = st.text(st.sampled_from(sorted(AMINO_ACID_MASS)), min_size=1, max_size=12)
FDR = 0.05


def matches(predicted: str, label: str, *rule) -> str:
    actual = residue_matches(parse_peptide(predicted), parse_peptide(label), *rule)
    return "".join(str(int(bit)) for bit in actual)


def ranked(
    label: str | None, *proposals: tuple[str, str, float], order: tuple[int, ...] = (), scores: tuple[float, ...] = ()
) -> RankedSpectrum:
    """A spectrum whose candidates are `proposals` of (peptide, tool, score), ranked in an `order` with `scores`."""
    peptide = parse_peptide(label) if label else None
    spectrum = Spectrum(0, "", "", 500.0, 2, math.nan, np.array([100.0]), np.ones(1, np.float32), peptide)
    candidates = tuple(Candidate(parse_peptide(text), (tool,), (score,), (1,)) for text, tool, score in proposals)
    ranking = tuple(
        RankedCandidate(candidates[i], score, 1.0, np.ones(len(candidates[i].peptide.residues), np.float32), 0.0, True)
        for i, score in zip(order or range(len(candidates)), scores or [0.5] * len(candidates), strict=True)
    )
    return RankedSpectrum(CandidateSet(spectrum, candidates), ranking)


def measured(*spectra: RankedSpectrum, tools: tuple[str, ...] = ()) -> dict:
    return joined(row for one in spectra if (row := spectrum_row(one, choices(tools))))


def test_every_row_of_the_reference_table(fixtures: Path) -> None:
    with (fixtures / "peptide" / "pmd_rmd.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) >= 30
    for row in rows:
        assert matches(row["query"], row["target"]) == row["aa_matches"], row["query"]
        assert outcome(parse_peptide(row["query"]), parse_peptide(row["target"]))[3] == int(row["pep_match"])


@pytest.mark.parametrize(
    ("predicted", "label", "loose", "strict"),
    [
        ("PEPTIDEK", "PEPTIDEQ", "11111111", "11111110"),  # 0.036 Da
        ("PEPTFDE", "PEPTM[Oxidation]DE", "1111111", "1111011"),  # 0.033 Da: the prefix is within 0.5 Da behind it too
        ("PEPTLDE", "PEPTIDE", "1111111", "1111111"),
        ("PEPTID", "PEPTIDE", "1111110", "1111110"),  # shorter
        ("PEPTIDEK", "PEPTIDE", "11111110", "11111110"),  # longer
        ("NPEPTIDE", "GGPEPTIDE", "001111111", "001111111"),
        ("[Acetyl]-PEPTIDE", "PEPTIDE", "01111111", "01111111"),
        ("EPPTIDE", "PEPTIDE", "0011111", "0011111"),
        ("GAVST", "WWWWW", "00000", "00000"),
    ],
)
def test_matches_by_hand(predicted: str, label: str, loose: str, strict: str) -> None:
    assert matches(predicted, label) == loose
    assert matches(predicted, label, STRICT) == strict


def test_strict_sums_are_lost_behind_a_difference_and_found_again_from_the_end() -> None:
    """0.036 Da is 36 ppm of the first 1000 Da, and all that follows it is paired from the C-terminus."""
    assert matches("KSAMPLER", "QSAMPLER", STRICT) == "01111111"
    assert matches("SAMPKER", "SAMPQER", STRICT) == "1111011"


@given(LETTERS, LETTERS)
@settings(max_examples=150, deadline=None)
def test_no_peptide_has_more_matches_than_amino_acids(predicted: str, label: str) -> None:
    counted = outcome(parse_peptide(predicted), parse_peptide(label))
    assert counted[2] <= counted[1] <= min(len(predicted), len(label))


def test_pairs_from_both_ends_do_not_count_twice() -> None:
    assert matches("QAAGGNQG", "QAQG").count("1") == 5  # as Casanovo counts
    assert outcome(parse_peptide("QAAGGNQG"), parse_peptide("QAQG"))[1] == 4


def test_precision_is_of_the_predicted_and_recall_of_the_true_amino_acids() -> None:
    actual = summary_of([measured(ranked("PEPTIDEK", ("PEPTIDE", "a", 1.0)))], FDR)
    assert actual["amino_acid_precision"] == 1.0
    assert actual["amino_acid_recall"] == 0.875
    assert actual["peptide_recall"] == 0.0


def test_missing_predictions_count_in_recall_alone() -> None:
    right, none = ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0)), ranked("ELVISK")
    actual = summary_of([measured(right, none)], FDR)
    assert actual["peptide_recall"] == actual["coverage"] == 0.5
    assert actual["peptide_precision"] == actual["amino_acid_precision"] == 1.0
    assert actual["amino_acid_recall"] == pytest.approx(8 / 14)
    assert actual["precision_coverage_auc"] == 0.5


def test_spelling_tells_what_masses_do_not() -> None:
    actual = summary_of(
        [
            measured(
                ranked("PEPTIDEK", ("PEPTLDEK", "a", 1.0)),
                ranked("PEPTIDEK", ("PEPTIDEQ", "a", 1.0)),
                ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0)),
                ranked("PEPTN[Deamidated]K", ("PEPTDK", "a", 1.0)),
            )
        ],
        FDR,
    )
    assert actual["peptide_recall"] == 1.0
    assert actual["peptide_recall_strict"] == 0.75
    assert actual["peptide_recall_merged"] == 0.5
    assert actual["peptide_recall_exact"] == 0.25
    assert actual["peptide_recall_modified"] == 1.0


def test_labels_with_carbamidomethyl_alone_are_not_modified() -> None:
    wrong = ranked("PEPTM[Oxidation]K", ("PEPTMK", "a", 1.0))
    right = ranked("C[Carbamidomethyl]PEPTK", ("C[Carbamidomethyl]PEPTK", "a", 1.0))
    assert summary_of([measured(wrong, right)], FDR)["peptide_recall_modified"] == 0.0
    assert math.isnan(summary_of([measured(right)], FDR)["peptide_recall_modified"])


def test_spectra_without_a_label_do_not_count() -> None:
    assert spectrum_row(ranked(None, ("PEPTIDEK", "a", 1.0)), choices(("a",))) is None


def test_equal_scores_are_one_point_whatever_the_order() -> None:
    scores, right = np.array([0.9, 0.5, 0.5, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])
    coverage, precision = precision_coverage(scores, right, 5)
    np.testing.assert_allclose(coverage, [0.2, 0.6, 0.8])
    np.testing.assert_allclose(precision, [1, 2 / 3, 0.5])
    for order in ([0, 2, 1, 3], [3, 2, 1, 0]):
        again = precision_coverage(scores[order], right[order], 5)
        np.testing.assert_array_equal(again, (coverage, precision))


def test_area_by_hand() -> None:
    """0.2 x 1, then 0.4 x (1 + 2/3) / 2, then 0.2 x (2/3 + 1/2) / 2; the missing fifth adds nothing."""
    texts = ["PEPTIDEK", "PEPTIDEK", "GGGG", "GGGG"]
    spectra = [
        ranked("PEPTIDEK", (text, "a", 1.0), scores=(score,))
        for text, score in zip(texts, (0.9, 0.5, 0.5, 0.1), strict=True)
    ]
    actual = summary_of([measured(*spectra, ranked("ELVISK"))], FDR)["precision_coverage_auc"]
    assert actual == pytest.approx(0.2 + 0.4 * 5 / 6 + 0.2 * 7 / 12)


def test_choices_stand_beside_the_reranker_with_their_names_in_front() -> None:
    one = ranked("PEPTIDEK", ("GGGG", "Tool A", 0.3), ("PEPTIDEK", "tool_b", 0.7), order=(1, 0), scores=(0.9, 0.1))
    two = ranked("ELVISK", ("ELVISK", "Tool A", 0.8))
    actual = summary_of([measured(one, two, tools=("Tool A", "tool_b"))], FDR)
    assert actual["peptide_recall"] == actual["oracle_peptide_recall"] == 1.0
    assert (
        actual["tool-a_peptide_recall"] == actual["tool-b_peptide_recall"] == actual["best-tool_peptide_recall"] == 0.5
    )
    assert actual["tool-b_amino_acid_precision"] == 1.0
    assert actual["tool-a_amino_acid_precision"] == pytest.approx(6 / 10)
    # Tool A is right where its own score is higher, tool_b has nothing for the second spectrum.
    assert actual["tool-a_precision_coverage_auc"] == pytest.approx(0.5 * 1 + 0.5 * 0.75)
    assert actual["tool-b_precision_coverage_auc"] == 0.5
    assert "vote_precision_coverage_auc" not in actual


def test_a_tool_is_scored_over_the_cases_that_it_was_run_on() -> None:
    with_b = measured(ranked("PEPTIDEK", ("PEPTIDEK", "b", 1.0)), tools=("b",))
    without = measured(ranked("PEPTIDEK", ("GGGG", "a", 1.0)), tools=("a",))
    actual = summary_of([with_b, without], FDR)
    assert actual["b_peptide_recall"] == 1.0
    assert actual["a_peptide_recall"] == 0.0
    assert actual["peptide_recall"] == actual["vote_peptide_recall"] == 0.5


def test_cases_are_pooled_by_spectrum() -> None:
    right, wrong = ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0)), ranked("PEPTIDEK", ("GGGG", "a", 1.0))
    apart = [measured(right, wrong, wrong), measured(right)]
    actual, expected = summary_of(apart, FDR), summary_of([measured(right, wrong, wrong, right)], FDR)
    assert {name: value for name, value in actual.items() if not math.isnan(value)} == {
        name: value for name, value in expected.items() if not math.isnan(value)
    }


def test_weights_count_cases_as_often_as_they_stand() -> None:
    right = measured(ranked("PEPTIDEK", ("PEPTIDEK", "a", 0.9)), ranked("ELVISK"), tools=("a",))
    wrong = measured(ranked("PEPTIDEK", ("GGGG", "a", 0.4), scores=(0.7,)), tools=("a",))
    other = measured(ranked("SAMPK", ("SAMPK", "b", 0.2), scores=(0.6,)), tools=("b",))
    cases = calibrated([right, wrong, other], Calibration(bias=1.0, log_score=2.0))
    weighted = summary_of(cases, 0.3, np.array([3.0, 1.0, 0.0]))
    repeated = summary_of([cases[0]] * 3 + [cases[1]], 0.3)
    assert {name: weighted[name] for name in repeated} == pytest.approx(repeated, abs=1e-12, nan_ok=True)


def test_nothing_measured_has_no_scores() -> None:
    assert math.isnan(summary_of([measured()], FDR)["peptide_recall"])


def test_probabilities_come_from_the_calibration_and_accept_at_its_rate() -> None:
    right = [ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0), scores=(score,)) for score in (0.99, 0.98, 0.97, 0.6)]
    wrong = [ranked("PEPTIDEK", ("GGGG", "a", 1.0), scores=(score,)) for score in (0.01, 0.02, 0.03, 0.4)]
    plain = [measured(*right, *wrong, ranked("ELVISK"))]
    assert math.isnan(summary_of(plain, FDR)["calibration_error"])
    calibration = fitted(plain)
    assert calibration.is_fitted
    known = calibrated(plain, calibration)
    assert math.isnan(known[0]["probability"][-1])
    actual = summary_of(known, FDR)
    assert actual["accepted_share"] == pytest.approx(4 / 9)
    assert actual["accepted_wrong_share"] == 0.0
    assert actual["calibration_error"] < 0.1
    assert np.isnan(calibrated(known, Calibration())[0]["probability"]).all()


def test_a_ranking_that_was_calibrated_tells_its_probability() -> None:
    one = replace(ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0)), probability=0.75)
    assert measured(one)["probability"].tolist() == [0.75]
    assert summary_of([measured(one)], 0.3)["accepted_share"] == 1.0
    assert summary_of([measured(one)], 0.2)["accepted_share"] == 0.0


def test_the_curve_of_a_choice_without_scores_is_empty() -> None:
    coverage, _ = curve([measured(ranked("PEPTIDEK", ("PEPTIDEK", "a", 1.0)))], "vote")
    assert len(coverage) == 0
