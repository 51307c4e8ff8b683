"""Pictures of ranked spectra and charts of metrics over many."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution
from transect.apps.canvas import (
    INK,
    MODEL_COLOUR,
    RIGHT_COLOUR,
    SOFT,
    WRONG_COLOUR,
    Picture,
    chart,
)
from transect.apps.peptide.baselines import UNTRAINED
from transect.apps.peptide.calibration import q_values
from transect.apps.peptide.fragments import FRAGMENT_TOLERANCE_PPM
from transect.apps.peptide.metrics import choices_in, curve, pool, summary_of
from transect.apps.peptide.outcomes import RERANKER
from transect.apps.peptide.spectrum_figure import mirror, render
from transect.apps.reliability import draw_reliability
from transect.data_adapters.peptide.ranking import RankedSpectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

TOOL_COLOURS = ("#6a51a3", "#2e8b8b", "#b8860b", "#ad1457", "#5d4037", "#607d8b", "#7cb342", "#3949ab")
BARS = [place / 40 for place in range(41)]
"""Bin edges of the histograms."""
FEWEST = 20
"""Smallest number of winners for which precision is drawn; it is too noisy below."""
MARKS = dict(zip(UNTRAINED, "osD^v*", strict=True))


PICTURED = 500
"""Number of ranked spectra of a run that are kept for its pictures."""


class RankingPictures:
    """Keeps the first ranked spectra of a run for its pictures.

    Args:
        tolerance_ppm: of fragment ions.
    """

    def __init__(self, tolerance_ppm: float) -> None:
        self._tolerance_ppm = tolerance_ppm
        self._kept: list[RankedSpectrum] = []

    def add(self, block: RankedSpectrum) -> None:
        """Keep a spectrum that has a winner, up to PICTURED of them."""
        if len(self._kept) < PICTURED and block.ranking:
            self._kept.append(block)

    def pictures(self) -> dict[str, Picture]:
        """See `pictures`."""
        return pictures(self._kept, self._tolerance_ppm)


def pictures(spectra: Sequence[RankedSpectrum], tolerance_ppm: float = FRAGMENT_TOLERANCE_PPM) -> dict[str, Picture]:
    """Pictures of a run by name, uint8 `(height, width, 3)` of one size: example spectra and a histogram of scores.

    The examples are the spectrum with the most confident winner, the median one, the one with the smallest margin and,
    where there are labels, the most confident wrong winner; each is shown once.
    """
    answered = sorted((ranked for ranked in spectra if ranked.ranking), key=_certainty, reverse=True)
    if not answered:
        return {}
    wrong = [ranked for ranked in answered if _is_right(ranked) is False]
    examples = {
        "surest": answered[0],
        "middle": answered[len(answered) // 2],
        "closest_call": min(answered, key=lambda ranked: math.inf if math.isnan(ranked.margin) else ranked.margin),
        **({"surest_of_the_wrong": wrong[0]} if wrong else {}),
    }
    names: dict[int, str] = {}
    for name, ranked in examples.items():
        names.setdefault(ranked.candidate_set.spectrum.index, name)
    made = {name: mirror(examples[name], tolerance_ppm) for name in names.values()}
    certainties = np.array([_certainty(ranked) for ranked in answered])
    rights = [_is_right(ranked) for ranked in answered]
    right = None if None in rights else np.array(rights, np.bool_)
    what = "score of the winner" if math.isnan(answered[0].probability) else "probability that the winner is right"
    return made | {"scores": render(partial(_draw_scores, certainties, right, what))}


def _certainty(ranked: RankedSpectrum) -> float:
    return ranked.ranking[0].score if math.isnan(ranked.probability) else ranked.probability


def _is_right(ranked: RankedSpectrum) -> bool | None:
    label = ranked.candidate_set.spectrum.label
    return None if label is None else ranked.ranking[0].candidate.peptide.merged == label.merged


def charts(contributions: Sequence[Contribution], fdr: float) -> dict[str, Picture]:
    """Charts over many cases by name, uint8 `(height, width, 3)` of one size.

    Precision-coverage curves of the reranker, tools and baselines; score histograms of right and wrong winners; and if
    the reranker is calibrated, the reliability curve and the winners accepted at each false discovery rate.
    """
    pooled = pool(contributions, RERANKER)
    if not len(pooled.true):
        return {}
    made = {"precision_coverage": render(partial(_draw_precision, contributions))}
    probabilities, right, scores = pooled.probability, pooled.count("right") > 0, pooled.score
    known = ~np.isnan(probabilities)
    answered = ~np.isnan(scores)
    if answered.any():
        draw = partial(_draw_scores, scores[answered], right[answered], "score of the winner")
        made["scores"] = render(draw)
    if known.any():
        draw = partial(draw_reliability, probabilities[known], right[known], "winners", "that the winner is right")
        made["calibration"] = render(draw)
        made["accepted"] = render(partial(_draw_accepted, probabilities[known], right[known], fdr))
    return made


def _draw_scores(scores: Numbers, right: Flags | None, what: str, figure: "Figure") -> None:
    axes = chart(figure, f"Scores of the winners of {len(scores)} spectra", what, "spectra")
    if right is None:
        axes.hist(scores, BARS, color=MODEL_COLOUR, alpha=0.8)
    else:
        groups = (("right", right, RIGHT_COLOUR), ("wrong", ~right, WRONG_COLOUR))
        for name, members, colour in groups:
            label = f"{name}: {members.sum()}"
            axes.hist(scores[members], BARS, color=colour, alpha=0.25)
            axes.hist(scores[members], BARS, color=colour, histtype="step", linewidth=1.6, label=label)
        axes.legend(frameon=False, loc="upper center")
    axes.set_xlim(0, 1)


def _draw_precision(contributions: Sequence[Contribution], figure: "Figure") -> None:
    spectra = sum(len(contribution["true"]) for contribution in contributions)
    title = f"Precision against coverage, {spectra} labelled spectra"
    axes = chart(figure, title, "coverage: fraction of labelled spectra", "precision: fraction right", right=330)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    names = choices_in(contributions)
    summary = summary_of(contributions, 0.5)
    recall = {name: summary["peptide_recall" if name == RERANKER else f"{name}_peptide_recall"] for name in names}
    tools = [name for name in names if name not in (RERANKER, *UNTRAINED)]
    for name in sorted(names, key=lambda name: (name != RERANKER, name in UNTRAINED, -recall[name])):
        label = f"{name}, recall {recall[name]:.3f}"
        coverage, precision = curve(contributions, name)
        known = coverage * len(pool(contributions, name).true) >= min(FEWEST, spectra)
        coverage, precision = coverage[known], precision[known]
        if name == RERANKER:
            axes.plot(coverage, precision, color=MODEL_COLOUR, linewidth=2.6, label=label, zorder=4)
        elif name in UNTRAINED:
            axes.plot(
                *_point(contributions, name), MARKS[name], color=INK, markersize=8, label=label, clip_on=False, zorder=3
            )
        else:
            colour = TOOL_COLOURS[tools.index(name) % len(TOOL_COLOURS)]
            if len(coverage):
                axes.plot(coverage, precision, color=colour, linewidth=1.3, label=label)
            axes.plot(
                *_point(contributions, name), ".", color=colour, markersize=9, label="" if len(coverage) else label
            )
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, fontsize=10)


def _point(contributions: Sequence[Contribution], name: str) -> tuple[float, float]:
    """Coverage and precision of a choice over all its predictions."""
    pooled = pool(contributions, name)
    predicted, right = int((pooled.count("predicted") > 0).sum()), int(pooled.count("right").sum())
    return predicted / len(pooled.true), right / predicted if predicted else math.nan


def _draw_accepted(probabilities: Numbers, right: Flags, fdr: float, figure: "Figure") -> None:
    q = q_values(probabilities)
    order = np.argsort(q, kind="stable")
    accepted = np.arange(1, len(q) + 1)
    wrong = np.cumsum(~right[order])
    last = np.append(np.diff(q[order]) > 0, True)
    rate, accepted, wrong = q[order][last], accepted[last], wrong[last]
    title = f"Accepted winners against false discovery rate, {len(q)} in total"
    axes = chart(figure, title, "estimated false discovery rate (mean error probability of the accepted)", "winners")
    axes.step(rate, accepted, where="post", color=MODEL_COLOUR, linewidth=2.2, label="accepted")
    axes.step(rate, accepted - wrong, where="post", color=RIGHT_COLOUR, linewidth=1.6, label="accepted and right")
    axes.step(rate, wrong, where="post", color=WRONG_COLOUR, linewidth=1.6, label="accepted and wrong")
    axes.plot(rate, rate * accepted, color=SOFT, linewidth=1, linestyle="--", label="wrong, as estimated")
    within = rate <= fdr
    stated = f"{accepted[within][-1]}, {wrong[within][-1] / accepted[within][-1]:.1%} wrong" if within.any() else "none"
    axes.axvline(fdr, color=INK, linewidth=1, linestyle=":", label=f"accepted at {fdr:.0%}: {stated}")
    axes.set_xlim(0, min(1.0, max(2.5 * fdr, 0.1)))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, loc="center right")
