import math
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest

from transect.apps.canvas import MODEL_COLOUR, RIGHT_COLOUR, WRONG_COLOUR
from transect.apps.peptide import figures
from transect.apps.peptide import spectrum_figure as mirrors
from transect.apps.peptide.baselines import choices
from transect.apps.peptide.config import Calibration
from transect.apps.peptide.figures import charts, pictures
from transect.apps.peptide.metrics import calibrated
from transect.apps.peptide.outcomes import joined, spectrum_row
from transect.apps.peptide.spectrum_figure import (
    B_COLOUR,
    HEIGHT,
    MODIFIED_COLOUR,
    PEAK_COLOUR,
    WIDTH,
    Y_COLOUR,
    mirror,
    render,
)
from transect.apps.reliability import draw_reliability
from transect.data_adapters.peptide.peptide import PROTON, WATER, Peptide
from transect.data_adapters.peptide.proforma import parse_peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum
from transect.data_adapters.peptide.spectrum import Candidate, CandidateSet, Spectrum

S, A, M, P, K = 87.032028, 71.037114, 131.040485, 97.052764, 128.094963
B1, B2, Y1 = S + PROTON, S + A + PROTON, K + WATER + PROTON  # of SAMPK; b1 and b2 of SAPMK too, b2 and y1 of ASMPK
OTHER = 300.0
SAMPK = parse_peptide("SAMPK")


def ranked(*texts: str, label: str = "", mz: tuple[float, ...] = (B1, Y1, B2, OTHER), scores=(), index=0, charge=2):
    """A spectrum of peaks that are equally high, ranked as `texts` with `scores`."""
    peaks = np.array(sorted(mz)), np.ones(len(mz), np.float32)
    spectrum = Spectrum(index, "", "", 480.0, charge, math.nan, *peaks, parse_peptide(label) if label else None)
    tools = tuple(f"tool{place}" for place in range(len(texts)))
    peptides = [text if isinstance(text, Peptide) else parse_peptide(text) for text in texts]
    candidates = tuple(Candidate(one, (tool,), (0.5,), (1,)) for one, tool in zip(peptides, tools, strict=True))
    ranking = tuple(
        RankedCandidate(one, score, 1.0, np.full(len(one.peptide.residues), score, np.float32), 0.0, True)
        for one, score in zip(candidates, scores or (0.9, 0.4, 0.2)[: len(candidates)], strict=True)
    )
    return RankedSpectrum(CandidateSet(spectrum, candidates), ranking)


@lru_cache
def seen(*texts: str, **kinds: Any) -> np.ndarray:
    """The picture of what `ranked` makes, drawn once."""
    return mirror(ranked(*texts, **kinds))


def count(picture: np.ndarray, colour: str) -> int:
    """Pixels of just this colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted) <= 2).all(-1).sum())


def half(picture: np.ndarray, upper: bool) -> np.ndarray:
    """The panel of the spectrum above or below its middle."""
    top, bottom = mirrors.SPECTRUM
    middle = (top + bottom) // 2
    rows = slice(top, middle - 2) if upper else slice(middle + 3, bottom - 4)
    return picture[rows, mirrors.LEFT + 4 : WIDTH - mirrors.RIGHT]


def at(picture: np.ndarray, mz: float, of: RankedSpectrum, upper: bool) -> np.ndarray:
    """What is drawn between 10 and 80 % of the height of the peak at `mz`."""
    peaks = of.candidate_set.spectrum.mz
    margin = 0.03 * (peaks[-1] - peaks[0]) + 5
    low, high = peaks[0] - margin, peaks[-1] + margin
    column = round(mirrors.LEFT + (mz - low) / (high - low) * (WIDTH - mirrors.LEFT - mirrors.RIGHT))
    top, bottom = mirrors.SPECTRUM
    middle, full = (top + bottom) / 2, (bottom - top) / 2 / 1.22
    rows = (middle - 0.8 * full, middle - 0.1 * full) if upper else (middle + 0.1 * full, middle + 0.8 * full)
    return picture[round(rows[0]) : round(rows[1]), column - 2 : column + 3]


@pytest.mark.parametrize(
    ("mz", "winner", "runner_up"),
    [
        (B1, B_COLOUR, PEAK_COLOUR),
        (B2, B_COLOUR, B_COLOUR),
        (Y1, Y_COLOUR, Y_COLOUR),
        (OTHER, PEAK_COLOUR, PEAK_COLOUR),
    ],
)
def test_peaks_have_the_colour_of_the_ion_that_each_candidate_sees_in_them(mz, winner, runner_up) -> None:
    one = ranked("SAMPK", "ASMPK")
    made = seen("SAMPK", "ASMPK")
    for upper, expected in ((True, winner), (False, runner_up)):
        actual = {colour: count(at(made, mz, one, upper), colour) for colour in (B_COLOUR, Y_COLOUR, PEAK_COLOUR)}
        assert max(actual, key=lambda colour: actual[colour]) == expected
        assert actual[expected] > 60
        assert all(actual[colour] == 0 for colour in (B_COLOUR, Y_COLOUR) if colour != expected)


def test_the_tolerance_decides_what_matches() -> None:
    one = ranked("SAMPK", mz=(B1 * (1 + 30e-6), OTHER))
    assert count(half(mirror(one), upper=True), B_COLOUR) == 0
    assert count(half(mirror(one, tolerance_ppm=40), upper=True), B_COLOUR) > 60


def test_ions_of_two_charges_are_looked_for_in_precursors_of_three() -> None:
    twice = (S + A + M + P) / 2 + PROTON
    assert count(half(seen("SAMPK", mz=(twice, OTHER)), upper=True), B_COLOUR) == 0
    assert count(half(seen("SAMPK", mz=(twice, OTHER), charge=3), upper=True), B_COLOUR) > 60


def test_the_ladder_has_a_hook_for_each_cleavage_that_is_seen() -> None:
    def hooks(*mz: float) -> tuple[int, int]:
        top = mirrors.LADDERS[0]
        ladder = seen("SAMPK", mz=(*mz, OTHER))[top : top + mirrors.LADDER_HEIGHT]
        return count(ladder, B_COLOUR), count(ladder, Y_COLOUR)

    none, b, both, two = hooks(), hooks(B1), hooks(B1, Y1), hooks(B1, B2)
    assert none == (0, 0)
    assert b[0] > 20
    assert b[1] == 0
    assert both[0] == b[0]
    assert both[1] > 20
    assert two[0] > 1.5 * b[0]


def test_modified_residues_are_told_apart() -> None:
    assert count(seen("SAMPK"), MODIFIED_COLOUR) == 0
    assert count(seen("SAM[Oxidation]PK"), MODIFIED_COLOUR) > 10


def test_residues_are_darker_the_surer_they_are() -> None:
    one = ranked("SAMPK")
    scores = np.array([0.1, 0.5, 0.9, math.nan, 0.0], np.float32)
    made = mirror(replace(one, ranking=(replace(one.ranking[0], residue_scores=scores),)))
    above_letters = made[mirrors.LADDERS[0] + 29]
    boxes = [above_letters[mirrors.LEFT + round((at + 0.5) * mirrors.CELL)].sum() for at in range(5)]
    assert boxes[0] > boxes[1] + 30 > boxes[2] + 60
    assert boxes[3] == boxes[4] > boxes[0]


def test_winner_and_runner_up_are_held_against_the_label() -> None:
    unknown = seen("SAMPK")
    assert count(unknown, RIGHT_COLOUR) == count(unknown, WRONG_COLOUR) == 0
    for texts, upper, lower in (
        (("SLMPK", "ASMPK"), RIGHT_COLOUR, WRONG_COLOUR),
        (("ASMPK", "SLMPK"), WRONG_COLOUR, RIGHT_COLOUR),
    ):
        made = seen(*texts, label="SIMPK")
        for rows, expected, other in ((made[: HEIGHT // 2], upper, lower), (made[HEIGHT // 2 :], lower, upper)):
            assert count(rows, expected) > 20
            assert count(rows, other) == 0


def test_whatever_spectra_lack_and_tools_are_called_their_pictures_have_one_size() -> None:
    long = Peptide(("[Acetyl]-", *"SM" * 200), (42.010565, *(S, M) * 200))
    odd = Candidate(SAMPK, ("$\\frac{1}$", "π_novo", "{}%s"), (0.1,) * 3, (1,) * 3)
    named = ranked("SAMPK", mz=())
    named = replace(named, ranking=(replace(named.ranking[0], candidate=odd),))
    lacking = [ranked(), named, ranked("K", mz=(OTHER,)), ranked(long)]
    assert {mirror(one).shape for one in lacking} == {(HEIGHT, WIDTH, 3)}


def test_pictures_of_a_run_show_telling_spectra_once() -> None:
    spectra = [
        ranked("SAMPK", "ASMPK", label="SAMPK", scores=(0.99, 0.1), index=0),
        ranked("SAMPK", "ASMPK", label="SAMPK", scores=(0.6, 0.59), index=1),
        ranked("SAMPK", "ASMPK", label="ASMPK", scores=(0.5, 0.1), index=2),
        ranked("SAMPK", label="ASMPK", scores=(0.8,), index=3),
        ranked(label="SAMPK", index=4),
    ]
    made = pictures(spectra)
    assert list(made) == ["surest", "middle", "surest_of_the_wrong", "scores"]  # the middle is the closest call
    np.testing.assert_array_equal(made["surest_of_the_wrong"], mirror(spectra[3]))
    assert {one.shape for one in made.values()} == {(HEIGHT, WIDTH, 3)}
    assert pictures(spectra[4:]) == {}


def test_scores_are_divided_into_right_and_wrong_only_with_labels() -> None:
    def drawn(right: np.ndarray | None) -> tuple[int, int]:
        made = render(partial(figures._draw_scores, np.array([0.2, 0.9, 0.9]), right, "score"))
        panel = made[150 : HEIGHT - 70]  # without the legend
        return count(panel, RIGHT_COLOUR), count(panel, WRONG_COLOUR)

    assert drawn(None) == (0, 0)
    right, wrong = drawn(np.array([False, True, True]))
    assert right > 1.5 * wrong > 100


def measures(right: int, wrong: int) -> list[dict]:
    """So many winners, the right ones with the better scores."""
    labels = ["SAMPK"] * right + ["WWWW"] * wrong
    rows = [
        spectrum_row(ranked("SAMPK", label=label, scores=(0.95 - 0.9 * place / len(labels),)), choices(("tool0",)))
        for place, label in enumerate(labels)
    ]
    return [joined(row for row in rows if row)]


def line_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """The mean row of a curve at each column of the panel that it crosses."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    panel = picture[60 : HEIGHT - 66, 88:868].astype(int)
    rows, columns = np.nonzero((np.abs(panel - wanted) <= 2).all(-1))
    return np.array([rows[columns == column].mean() + 60 for column in np.unique(columns)])


def test_precision_falls_as_wrong_winners_come_in() -> None:
    perfect, mixed = (render(partial(figures._draw_precision, measures(*split))) for split in ((40, 0), (30, 10)))
    top, bottom = 64, HEIGHT - 64
    height = np.array([1.0, 0.75]) / 1.02 * (bottom - top)
    assert line_of(perfect, MODEL_COLOUR) == pytest.approx(bottom - height[0], abs=2)
    curve = line_of(mixed, MODEL_COLOUR)
    assert curve[0] == pytest.approx(bottom - height[0], abs=2)
    assert curve[-1] == pytest.approx(bottom - height[1], abs=3)


def test_charts_that_need_a_calibration_come_with_one() -> None:
    plain = measures(30, 10)
    assert list(charts(plain, 0.05)) == ["precision_coverage", "scores"]
    known = charts(calibrated(plain, Calibration(bias=3.0, log_score=4.0)), 0.05)
    assert list(known) == ["precision_coverage", "scores", "calibration", "accepted"]
    assert {one.shape for one in known.values()} == {(HEIGHT, WIDTH, 3)}
    assert charts([joined([])], 0.05) == {}


def test_calibration_lies_on_the_diagonal_where_probabilities_hold() -> None:
    width, height = WIDTH - 84 - 32, HEIGHT - 64 - 248
    wanted = [int(MODEL_COLOUR[at : at + 2], 16) for at in (1, 3, 5)]
    for said in (0.5, 0.8):
        probabilities, right = np.full(40, said), np.arange(40) % 2 == 0
        made = render(partial(draw_reliability, probabilities, right, "winners", "of it"))
        panel = made[64 : HEIGHT - 250, 240:1168].astype(int)  # without the legend
        rows, columns = np.nonzero((np.abs(panel - wanted) <= 2).all(-1))
        assert columns.mean() + 240 == pytest.approx(84 + said * width, abs=3)
        assert rows.mean() + 64 == pytest.approx(64 + (1 - 0.5 / 1.02) * height, abs=3)


def test_wrong_winners_among_the_accepted_are_drawn() -> None:
    probabilities = np.linspace(0.99, 0.9, 40)
    for right, drawn in ((np.arange(40) < 20, True), (np.ones(40, np.bool_), False)):
        made = render(partial(figures._draw_accepted, probabilities, right, 0.05))
        left = made[64 : HEIGHT - 80, 100:600]  # without the legend; zeros lie on the axis
        assert (count(left, WRONG_COLOUR) > 50) == drawn


def test_pictures_leave_no_pyplot_behind() -> None:
    script = (
        "import sys; from transect.apps.canvas import picture\n"
        "assert 'matplotlib' not in sys.modules\n"
        "picture(lambda figure: None)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
