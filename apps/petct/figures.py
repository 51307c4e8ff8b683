"""Pictures of a prediction: projections of the PET with the probability along the axis, and slices with PET and CT."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Picture, View
from transect.apps.canvas import DPI, INK, MODEL_COLOUR, SOFT, open_frame, panel, picture
from transect.apps.petct.lesions import lesions, runs
from transect.apps.petct.projection import BODY_SUV, Image, Projections
from transect.apps.petct.slice_figure import Slices
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAMES = 30
"""Views of a turn."""

SUV_BLACK = 10.0
"""SUV that is black in projections; less in a study whose largest is lower."""

FLAG_COLOUR, LABEL_COLOUR = "#e69f00", "#0072b2"
"""Orange and blue of Okabe and Ito's palette, which readers with any colour vision tell apart."""

LEAST_HEIGHT, HEIGHT, WIDTH = 560, 720, 960
"""Of pictures, in pixels: a short field of view needs less height."""

TOP, BOTTOM, GAP, AXIS, CURVE = 52, 100, 14, 68, 224
"""Margins of the projections, and widths of the vertical axis and the curve next to them, in pixels. The report names a
picture in its upper corners."""

LEAST_SHOWN = 0.001
"""Probabilities below, and above 1 minus this, are drawn at it."""


class StudyPreview:
    """Pictures of a study that need no more than its prediction.

    Args:
        prediction: Of the study.
        sample: The study.
        labels: Whether to show the label and to compare with it.
    """

    def __init__(self, prediction: SliceScores, sample: Study, labels: bool) -> None:
        self._scores, self._study = prediction, sample
        self._positive = sample.label.positive if labels and sample.label is not None else None

    def add(self, block: Any) -> None:
        """Nothing: a prediction is not lazy."""

    def pictures(self) -> dict[str, Picture]:
        """Pictures by name, those of slices only where there are any.

        `image`: projections from the front and from the left, with the largest SUV of each slice. `prediction`: with
        the probability of each slice, the flagged ones and the label. `turning`: a film of a turn. `flagged`: the most
        probable slices of the highest runs of flagged slices. With a label also `false_positives`, likewise without
        tumour, and `missed`, the largest lesions without a flagged slice.
        """
        views = [self._cropped(self._projections.view(angle)) for angle in (0, 90)]
        titles = ["from the front", "from the left"]
        made = {
            "image": picture(partial(self._draw, views, titles, False), self._height(views), WIDTH),
            "prediction": picture(partial(self._draw, views, titles, True), self._height(views), WIDTH),
            "turning": self._turning(),
        }
        slices = Slices(self._study, self._scores, self._positive is not None, self._height(views))
        for name, (title, tiles) in self._chosen().items():
            if tiles:
                made[name] = slices.picture(title, tiles)
        return made

    @cached_property
    def _projections(self) -> Projections:
        return Projections.of(self._study)

    def _cropped(self, view: Image) -> Image:
        """The columns with the body, and one on each side."""
        found = np.flatnonzero((view > BODY_SUV).any(axis=0))
        return view[:, max(int(found[0]) - 1, 0) : int(found[-1]) + 2] if len(found) else view

    @cached_property
    def _black(self) -> float:
        return min(SUV_BLACK, max(float(self._study.pet.values.max()), 1e-3))

    def _chosen(self) -> dict[str, tuple[str, list[int]]]:
        """The slices of each picture, with its title."""
        flags, probability = self._scores.flags, self._scores.probability

        def peaks(slices: NDArray[np.bool_]) -> list[int]:
            best = [first + int(probability[first : last + 1].argmax()) for first, last in runs(slices)]
            return sorted(best, key=lambda index: -probability[index])

        found = {"flagged": ("Flagged slices, the most probable of each run", peaks(flags))}
        label = self._study.label
        if self._positive is None or label is None:
            return found
        found["false_positives"] = ("Flagged slices without tumour", peaks(flags & ~self._positive))
        missed = [each for each in lesions(label) if not flags[each.first : each.last + 1].any()]
        largest = sorted(missed, key=lambda each: -each.voxels)
        areas = np.count_nonzero(label.mask, axis=(0, 1))
        places = [each.first + int(areas[each.first : each.last + 1].argmax()) for each in largest]
        return found | {"missed": ("Largest lesions without a flagged slice", list(dict.fromkeys(places)))}

    def _turning(self) -> Picture:
        """A film of FRAMES views, uint8 `(FRAMES, height, width, 3)`."""
        from PIL import Image as Resized

        views = self._projections.turn(FRAMES)
        scale, width = self._layout(views[:1])
        still = picture(partial(self._draw, views[:1], [""], True), self._height(views[:1]), width)
        film = np.repeat(still[None], FRAMES, axis=0)
        wide, tall = (round(size) for size in self._size(views[0], scale))
        for frame, view in zip(film, views, strict=True):
            # Pasted rather than drawn: a frame takes milliseconds in place of a tenth of a second.
            grey = 255 * (1 - np.clip(self._rows(view) / self._black, 0, 1))
            shown = Resized.fromarray(grey).resize((wide, tall), Resized.Resampling.BILINEAR)
            frame[TOP : TOP + tall, GAP : GAP + wide] = np.asarray(shown).astype(np.uint8)[..., None]
        return film

    def _size(self, view: Image, scale: float) -> tuple[float, float]:
        """Width and height of a view in pixels."""
        low, high = self._ends
        return view.shape[1] * self._projections.pixel * scale, (high - low) * scale

    def _height(self, views: list[Image]) -> int:
        scale, _ = self._layout(views)
        return max(round(self._size(views[0], scale)[1]) + TOP + BOTTOM, LEAST_HEIGHT)

    def _layout(self, views: list[Image]) -> tuple[float, int]:
        """Pixels per mm, and the width of a picture of views and curve that fits in HEIGHT and WIDTH."""
        across, tall = sum(self._size(view, 1)[0] for view in views), self._size(views[0], 1)[1]
        rest = AXIS + CURVE + (len(views) + 2) * GAP
        scale = min((HEIGHT - TOP - BOTTOM) / tall, (WIDTH - rest) / across)
        return scale, max(round(across * scale) + rest, 480)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The lower face of the lowest slice and the upper one of the highest, mm."""
        positions = self._study.positions
        half = (
            float(np.abs(np.diff(positions)).mean()) / 2 if len(positions) > 1 else self._study.pet.grid.spacing[2] / 2
        )
        return float(positions[0]) - half, float(positions[-1]) + half

    def _rows(self, view: Image) -> Image:
        """A view with rows at even distances from the head to the feet: each shows the slice nearest to it."""
        positions = self._study.positions
        low, high = self._ends
        count = max(2 * len(positions), 256)
        places = high - (np.arange(count) + 0.5) * (high - low) / count
        middles = (positions[1:] + positions[:-1]) / 2
        return view[np.searchsorted(middles, places)]

    def _draw(self, views: list[Image], titles: list[str], predicted: bool, figure: Figure) -> None:
        scale, _ = self._layout(views)
        total = float(figure.get_figwidth() * DPI)
        height, left = figure.get_figheight() * DPI, float(GAP)
        for view, title in zip(views, titles, strict=True):
            wide, tall = self._size(view, scale)
            bottom = height - TOP - tall
            axes = panel(figure, left, bottom, total - left - wide, TOP)
            axes.set_axis_off()
            axes.imshow(self._rows(view), "gray_r", vmin=0, vmax=self._black, aspect="auto", interpolation="bilinear")
            axes.text(0.5, -8 / tall, title, transform=axes.transAxes, ha="center", va="top", color=SOFT, fontsize=10)
            left += wide + GAP
        self._scale_bar(figure, total, height, bottom - 62)
        side = panel(figure, left + AXIS, bottom, GAP, TOP)
        side.set_ylim(*self._ends)
        side.set_ylabel("position [mm], feet to head", fontsize=10)
        open_frame(side)
        self._draw_probability(side) if predicted else self._draw_suv(side)

    def _scale_bar(self, figure: Figure, total: float, height: float, bottom: float) -> None:
        bar = panel(figure, GAP + 6, bottom, total - GAP - 186, height - bottom - 12)
        bar.imshow(np.linspace(0, 1, 256)[None], "gray_r", aspect="auto", extent=(0, self._black, 0, 1))
        bar.set_yticks([])
        bar.set_xticks([0, self._black / 2, self._black], ["0", f"{self._black / 2:.3g}", f"≥ {self._black:.3g}"])
        bar.tick_params(labelsize=9)
        figure.text((GAP + 200) / total, (bottom + 6) / height, "SUV [g/mL]", va="center", fontsize=10, color=INK)

    def _draw_suv(self, axes: Axes) -> None:
        largest = self._study.pet.values.max(axis=(0, 1))
        axes.step(largest, self._study.positions, where="mid", color=INK, linewidth=1.2)
        axes.set_xlabel("largest SUV of the slice [g/mL]", fontsize=10)
        axes.set_xlim(left=0)

    def _draw_probability(self, axes: Axes) -> None:
        scores, positions = self._scores, self._study.positions
        least = min(LEAST_SHOWN, scores.threshold / 2)
        edges = np.concatenate([[self._ends[0]], (positions[1:] + positions[:-1]) / 2, [self._ends[1]]])
        axes.set_xscale("logit")
        shown = np.clip(scores.probability, least, 1 - least)
        for first, last in runs(scores.flags):
            axes.axhspan(edges[first], edges[last + 1], color=FLAG_COLOUR, alpha=0.35, linewidth=0)
        axes.stairs(shown, edges, orientation="horizontal", baseline=None, color=MODEL_COLOUR, linewidth=1.4)
        axes.axvline(scores.threshold, color=INK, linewidth=1, linestyle=":")
        axes.set_xlim(least, 1 - least)
        ticks = [tick for tick in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999) if least < tick < 1 - least]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.tick_params(axis="x", labelsize=9)
        axes.set_xlabel("probability of tumour in the slice", fontsize=10)
        entries = [(FLAG_COLOUR, f"{int(scores.flags.sum())} slices flagged, from {scores.threshold:.3g}")]
        if self._positive is not None:
            for first, last in runs(self._positive):
                axes.plot(
                    [1.0, 1.0], [edges[first], edges[last + 1]], transform=axes.get_yaxis_transform(),
                    color=LABEL_COLOUR, linewidth=7, solid_capstyle="butt", clip_on=False,
                )  # fmt: skip
            entries.append((LABEL_COLOUR, f"{int(self._positive.sum())} with tumour in the label"))
        style: Any = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "fontsize": 9.5}
        for number, (colour, text) in enumerate(entries):
            axes.annotate("■", (0, 0), (0, -36 - 13 * number), color=colour, **style)
            axes.annotate(text, (0, 0), (13, -36 - 13 * number), color=INK, **style)


def film_view(folder: Path) -> list[View]:
    """The turning projection as a page of its own, where its picture was written below `folder`."""
    file = "preview/turning.png"
    legend = (
        "Maximum-intensity projection of the PET as the patient turns, with the probability of tumour of each slice."
    )
    return [View("film", (file,), legend)] if (folder / file).is_file() else []
