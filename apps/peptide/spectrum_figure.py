"""Mirror plot of a spectrum annotated with the ions of its two best candidates.

Written here because spectrum_utils annotates only peptides parsed by its own ProForma reader, which downloads Unimod;
the ion colours are those of spectrum_utils.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import (
    FAINT,
    INK,
    MODEL_COLOUR,
    RIGHT_COLOUR,
    SOFT,
    WRONG_COLOUR,
    Picture,
    headline,
    open_frame,
    panel,
    picture,
)
from transect.apps.peptide.fragments import FRAGMENT_TOLERANCE_PPM, explained, matched_fragments
from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.ranking import RankedCandidate, RankedSpectrum
from transect.data_adapters.peptide.spectrum import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, WIDTH = 800, 1200
render = partial(picture, height=HEIGHT, width=WIDTH, parse_math=False)
"""`canvas.picture` at the size of this app's pictures, with names of tools and files verbatim."""
B_COLOUR, Y_COLOUR = COLOURS = "#1976d2", "#d32f2f"
"""Colours of b and y ions, as in spectrum_utils."""
PEAK_COLOUR, MODIFIED_COLOUR = "#a8a8a8", "#7b1fa2"
LEFT, RIGHT = 84, 32
SPECTRUM = (198, 578)
"""Top and bottom of the spectrum panel, in pixels from the top; the candidates are above and below it."""
FACTS, LADDERS = (52, 708), (114, 622)
LADDER_HEIGHT = 78
CELL = 34
"""Largest width of a residue in a ladder, in pixels."""
NAME_WIDTH = 12
"""Width of an ion label, which is rotated by 90 degrees, in pixels."""


def mirror(ranked: RankedSpectrum, tolerance_ppm: float = FRAGMENT_TOLERANCE_PPM) -> Picture:
    """The spectrum, with b and y ions of the winner above and of the runner-up below, uint8 `(height, width, 3)`.

    Each candidate is shown with its scores and its residues, shaded by residue score, with marks at matched cleavages.
    Without a runner-up the lower half is the spectrum without annotation.
    """
    return render(lambda figure: _draw(figure, ranked, tolerance_ppm))


def _draw(figure: "Figure", ranked: RankedSpectrum, tolerance_ppm: float) -> None:
    spectrum = ranked.candidate_set.spectrum
    headline(figure, _title(spectrum))
    axes = _spectrum_panel(figure, spectrum)
    for place in range(2):
        candidate = ranked.ranking[place] if place < len(ranked.ranking) else None
        ions = _ions(spectrum, candidate.candidate.peptide, tolerance_ppm) if candidate else {}
        _draw_peaks(axes, spectrum, ions, 1 - 2 * place)
        if candidate is None:
            text = "no other candidate" if place else "no candidate"
            figure.text(LEFT / WIDTH, 1 - FACTS[place] / HEIGHT, text, va="top", color=SOFT)
        else:
            _draw_facts(figure, ranked, place, tolerance_ppm)
            _draw_ladder(
                figure,
                candidate,
                LADDERS[place],
                matched_fragments(spectrum, candidate.candidate.peptide, tolerance_ppm)[0],
            )


def _title(spectrum: Spectrum) -> str:
    parts = [f"Scan {spectrum.scan}" if spectrum.scan else f"Spectrum {spectrum.index}"]
    parts.append(f"{spectrum.precursor_mz:.4f} Th, {spectrum.charge}+, {spectrum.precursor_mass:.4f} Da")
    if not math.isnan(spectrum.retention_time):
        parts.append(f"{spectrum.retention_time / 60:.2f} min")
    if spectrum.label:
        parts.append(f"label {spectrum.label.proforma}")
    return _line(parts, 125)


def _line(parts: Sequence[str], letters: int) -> str:
    text = "  ·  ".join(part for part in parts if part)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _spectrum_panel(figure: "Figure", spectrum: Spectrum) -> "Axes":
    axes = panel(figure, LEFT, HEIGHT - SPECTRUM[1], RIGHT, SPECTRUM[0])
    open_frame(axes)
    first, last = (spectrum.mz[0], spectrum.mz[-1]) if len(spectrum.mz) else (0.0, 1.0)
    margin = 0.03 * (last - first) + 5
    axes.set_xlim(first - margin, last + margin)
    axes.set_ylim(-1.22, 1.22)
    axes.set_yticks(np.arange(-1, 1.1, 0.5), [f"{abs(share):.0f}" for share in np.arange(-100, 101, 50)])
    axes.set_xlabel("m/z [Th]", labelpad=2)
    axes.set_ylabel("intensity [% of base peak]")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(spectrum.precursor_mz, color=SOFT, linewidth=0.8, linestyle=":")
    axes.text(spectrum.precursor_mz, 1.21, " precursor", color=SOFT, fontsize=8.5, va="top", clip_on=True)
    return axes


def _ions(spectrum: Spectrum, peptide: Peptide, tolerance_ppm: float) -> dict[int, tuple[str, str]]:
    """Name and colour of the ion matched to each peak; y is preferred to b, and charge 1 to charge 2."""
    matched, nearest = matched_fragments(spectrum, peptide, tolerance_ppm)
    ions: dict[int, tuple[str, str]] = {}
    cleavages = matched.shape[-1]
    for charge in range(len(matched), 0, -1):
        for kind, colour in enumerate(COLOURS):
            for cleavage in np.flatnonzero(matched[charge - 1, kind]):
                name = f"{'by'[kind]}{cleavages - cleavage if kind else cleavage + 1}{'²⁺' if charge == 2 else ''}"
                ions[int(nearest[charge - 1, kind, cleavage])] = (name, colour)
    return ions


def _draw_peaks(axes: "Axes", spectrum: Spectrum, ions: dict[int, tuple[str, str]], sign: int) -> None:
    """Draw peaks upwards or downwards; matched ones in colour and labelled where labels do not overlap."""
    height = sign * spectrum.intensity / max(float(spectrum.intensity.max(initial=0)), 1e-30)
    rest = np.setdiff1d(np.arange(len(height)), list(ions))
    axes.vlines(spectrum.mz[rest], 0, height[rest], color=PEAK_COLOUR, linewidth=0.9)
    for kind in COLOURS:
        of_kind = [peak for peak, (_, colour) in ions.items() if colour == kind]
        axes.vlines(spectrum.mz[of_kind], 0, height[of_kind], color=kind, linewidth=1.6)
    low, high = axes.get_xlim()
    pixel = (high - low) / (WIDTH - LEFT - RIGHT)
    named: list[float] = []
    for peak in sorted(ions, key=lambda peak: -abs(height[peak])):
        name, colour = ions[peak]
        mz = float(spectrum.mz[peak])
        if all(abs(mz - other) > NAME_WIDTH * pixel for other in named):
            named.append(mz)
            align = "bottom" if sign > 0 else "top"
            tip = height[peak] + 0.015 * sign
            axes.text(mz, tip, name, color=colour, fontsize=8.5, rotation=90, ha="center", va=align)


def _draw_facts(figure: "Figure", ranked: RankedSpectrum, place: int, tolerance_ppm: float) -> None:
    """Draw the peptide, whether it equals the label if there is one, and its scores."""
    candidate, spectrum = ranked.ranking[place], ranked.candidate_set.spectrum
    peptide, top = candidate.candidate.peptide, 1 - FACTS[place] / HEIGHT
    figure.text(24 / WIDTH, top, str(place + 1), va="top", fontsize=20, color=SOFT, weight="bold")
    figure.text(LEFT / WIDTH, top, _line([peptide.proforma], 85), va="top", fontsize=12, color=INK, weight="bold")
    if spectrum.label:
        right = peptide.merged == spectrum.label.merged
        verdict, colour = ("as labelled ✓", RIGHT_COLOUR) if right else ("not as labelled ✗", WRONG_COLOUR)
        figure.text(1 - RIGHT / WIDTH, top, verdict, va="top", ha="right", color=colour, weight="bold")
    matched = np.asarray(matched_fragments(spectrum, peptide, tolerance_ppm)[0].any((0, 1)))
    tools = {tool for candidate in ranked.candidate_set.candidates for tool in candidate.tools}
    facts = [
        f"score {candidate.score:.3f}",
        f"probability {ranked.probability:.3f}" if place == 0 and not math.isnan(ranked.probability) else "",
        f"predicted deviation {round(candidate.deviation, 1) + 0.0:.1f} Da",
        f"precursor {candidate.mass_error_ppm:+.1f} ppm" + ("" if candidate.fits else " does not fit"),
        f"{matched.sum()} of {len(matched)} cleavages",
        f"{100 * explained(spectrum, peptide, tolerance_ppm):.0f} % of intensity",
    ]
    proposers = list(dict.fromkeys(candidate.candidate.tools))
    agree = f"proposed by {len(proposers)} of {len(tools)} tools: {', '.join(proposers)}"
    for number, line in enumerate((_line(facts, 165), _line([agree], 115))):
        figure.text(LEFT / WIDTH, top - (22 + 18 * number) / HEIGHT, line, va="top", fontsize=9.5, color=SOFT)
    key = "residues: darker = higher score" + (", purple = modified" if "[" in peptide.proforma else "")
    figure.text(1 - RIGHT / WIDTH, top - 40 / HEIGHT, key, va="top", ha="right", fontsize=8.5, color=SOFT)


def _draw_ladder(figure: "Figure", candidate: RankedCandidate, top: float, matched: NDArray[np.bool_]) -> None:
    """Draw residues, darker for higher scores, with a hook at each matched cleavage: above for y, below for b."""
    from matplotlib.patches import Rectangle

    ladder = panel(figure, LEFT, HEIGHT - top - LADDER_HEIGHT, RIGHT, top)
    width = WIDTH - LEFT - RIGHT
    ladder.set(xlim=(0, width), ylim=(0, LADDER_HEIGHT))
    ladder.set_axis_off()
    residues, scores = candidate.candidate.peptide.residues, candidate.residue_scores
    start = 0.0
    if residues[0].endswith("-") and len(residues) > 1:
        ladder.text(0, 39, residues[0], color=MODIFIED_COLOUR, fontsize=10, va="center")
        start, residues, scores = 8.0 * len(residues[0]), residues[1:], scores[1:]
    cell = min(CELL, (width - start) / len(residues))
    for number, (residue, score) in enumerate(zip(residues, scores, strict=True)):
        shade = 0.04 + 0.4 * float(np.nan_to_num(score))
        box = (start + number * cell + 2, 27)
        ladder.add_patch(Rectangle(box, cell - 4, 24, color=MODEL_COLOUR, alpha=shade, linewidth=0))
        colour = MODIFIED_COLOUR if len(residue) > 1 else INK
        middle = start + (number + 0.5) * cell
        size = min(13, 0.55 * cell)
        ladder.text(
            middle, 38, residue[0], color=colour, fontsize=size, ha="center", va="center_baseline", weight="bold"
        )
    reach = min(9.0, 0.35 * cell)
    for number, (b, y) in enumerate(np.asarray(matched.any(0)).T, 1):
        x = start + number * cell
        ladder.plot([x, x], [25, 53], color=FAINT, linewidth=1)
        for is_matched, end, side, colour, name in (
            (b, 17, -reach, B_COLOUR, f"b{number}"),
            (y, 61, reach, Y_COLOUR, f"y{len(residues) - number}"),
        ):
            if is_matched:
                ladder.plot([x, x, x + side], [39, end, end], color=colour, linewidth=1.5)
                if cell >= 24:
                    align = "bottom" if end > 39 else "top"
                    offset = 2 if end > 39 else -2
                    ladder.text(x + side / 2, end + offset, name, color=colour, fontsize=8, ha="center", va=align)
