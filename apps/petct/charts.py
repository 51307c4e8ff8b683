"""Charts of flagged slices over many studies."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import (
    BASELINE_COLOUR,
    INK,
    MODEL_COLOUR,
    SOFT,
    Picture,
    headline,
    open_frame,
    panel,
    picture,
)
from transect.apps.canvas import chart as canvas_chart
from transect.apps.petct.metrics import AREAS_CM2, flagged
from transect.apps.petct.organs import NAMES
from transect.apps.petct.pool import SCORERS, Pool
from transect.apps.reliability import draw_reliability, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = dict(zip(SCORERS, ("model", "SUV > 4.0", "SUV > 41 % of the maximum"), strict=True))
COLOURS = dict(zip(SCORERS, (MODEL_COLOUR, BASELINE_COLOUR, "#8a8a3a"), strict=True))
MARKS = dict(zip(SCORERS, ("o", "s", "D"), strict=True))
SHARING = {
    "patient": "other patients",
    "centre": "other hospitals",
    "slice": "other slices of the same patients",
}
"""What the validation split has, by its unit."""


def charts(pool: Pool, validation_auroc: float | None, unit: str) -> dict[str, Picture]:
    """Charts of a whole split by name, of one size; each needs slices, lesions or false positives to show.

    ROC and precision-recall curves of slices, the reliability of their probabilities, sensitivity by the area of tumour
    in the slice, lesions with a flagged slice against false slices of a study, the same metrics per slice and per
    study, where the hottest voxels of false positives lie, and AUROC on validation against that on new patients. Both
    SUV thresholds are drawn with the model.

    Args:
        pool: Of all cases.
        validation_auroc: AUROC of slices on the validation split, None if unknown.
        unit: What the validation split does not share with training: "patient", "centre" or "slice".
    """
    slices, lesions, studies = pool.slices["model"], pool.lesions["model"], pool.studies["model"]
    both = slices.positive.any() and not slices.positive.all()
    made: dict[str, Callable[[Figure], None]] = {}
    if both:
        made["curves"] = partial(_draw_curves, pool)
    if len(slices.score):
        made["calibration"] = partial(
            draw_reliability, slices.score, slices.positive, "slices", "that a slice shows tumour"
        )
    if slices.positive.any():
        made["sensitivity_by_area"] = partial(_draw_areas, pool)
    if len(lesions.score):
        made["lesions"] = partial(_draw_lesions, pool)
    if both and studies.positive.any() and not studies.positive.all():
        made["slices_and_studies"] = partial(_draw_levels, pool)
    if (slices.flag & ~slices.positive).any():
        made["false_positives"] = partial(_draw_false_positives, pool)
    auroc, _ = slices.ranking.areas((~pool.trained_on).astype(float)[slices.case])
    # Equal where these data are the validation split itself.
    if validation_auroc is not None and not np.isnan(auroc) and auroc != validation_auroc:
        made["split"] = partial(_draw_split, pool, validation_auroc, unit)
    return {name: picture(draw) for name, draw in made.items()}


def _draw_curves(pool: Pool, figure: "Figure") -> None:
    positive = pool.slices["model"].positive
    weights = np.ones(len(positive))
    headline(figure, f"ROC and precision-recall of {_count(positive, 'slice')}, {int(positive.sum())} with tumour")
    roc, pr = panel(figure, 84, 120, 502, 64), panel(figure, 552, 120, 32, 64)
    for axes, across, up in ((roc, "1 - specificity", "sensitivity"), (pr, "sensitivity (recall)", "precision")):
        open_frame(axes)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=across, ylabel=up)
    handles = []
    for name, scored in pool.slices.items():
        tp, fp = scored.ranking.counts(weights)
        auroc, auprc = scored.ranking.areas(weights)
        style: Any = {"color": COLOURS[name], "linewidth": 2.2 if name == "model" else 1.3, "zorder": 3}
        text = f"{LABELS[name]}: AUROC {auroc:.3f}, AUPRC {auprc:.3f}"
        (line,) = roc.plot(np.append(0, fp / fp[-1]), np.append(0, tp / tp[-1]), label=text, **style)
        pr.plot(tp / tp[-1], tp / (tp + fp), **style)
        hit, wrong = int((scored.flag & positive).sum()), int((scored.flag & ~positive).sum())
        mark: Any = {
            "color": COLOURS[name],
            "marker": MARKS[name],
            "markersize": 9,
            "markeredgecolor": "white",
            "zorder": 4,
        }
        roc.plot(wrong / fp[-1], hit / tp[-1], **mark)
        if hit + wrong:
            pr.plot(hit / tp[-1], hit / (hit + wrong), **mark)
        handles.append(line)
    roc.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    pr.axhline(positive.mean(), color=SOFT, linewidth=0.8, linestyle=":")
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.08, 0.0), frameon=False, fontsize=10)
    figure.text(
        0.98,
        0.02,
        "points: the thresholds in use\ndotted: random scores",
        ha="right",
        va="bottom",
        color=SOFT,
        fontsize=10,
    )


def _draw_areas(pool: Pool, figure: "Figure") -> None:
    positive = pool.slices["model"].positive
    title = f"Sensitivity by area of tumour in the slice, {_count(positive[positive], 'positive slice')}"
    axes = canvas_chart(figure, title, "area of tumour in the slice [cm²]", "sensitivity of slices", bottom=136)
    bins = [positive & (pool.area_mm2 >= 100 * low) & (pool.area_mm2 < 100 * high) for low, high in AREAS_CM2.values()]
    counts = np.array([members.sum() for members in bins], np.float64)
    places, known = np.arange(len(bins)), counts > 0
    for number, (name, scored) in enumerate(pool.slices.items()):
        hit = np.array([scored.flag[members].sum() for members in bins])
        share = hit[known] / counts[known]
        axes.errorbar(
            places[known] + 0.14 * (number - 1), share, standard_error(share, counts[known]), linestyle="none",
            color=COLOURS[name], marker=MARKS[name], markersize=8, capsize=4, label=f"{LABELS[name]} ± 1 SE",
        )  # fmt: skip
    axes.set_xticks(
        places, [f"{_range(*edges)}\nn = {int(n)}" for edges, n in zip(AREAS_CM2.values(), counts, strict=True)]
    )
    axes.set(xlim=(-0.5, len(bins) - 0.5), ylim=(-0.02, 1.05))
    _legend(axes)


def _draw_lesions(pool: Pool, figure: "Figure") -> None:
    lesions = pool.lesions["model"].score
    title = f"{_count(lesions, 'lesion')} in {_count(pool.studies['model'].score, 'study', 'studies')}"
    across = "flagged slices without tumour per study"
    axes = canvas_chart(figure, f"Lesions with a flagged slice, of {title}", across, "share of lesions", bottom=136)
    studies, widest = max(float(pool.share.sum()), 1e-9), 1.0
    for name, scored in pool.slices.items():
        found = pool.lesions[name]
        style: Any = {"color": COLOURS[name]}
        wide = 2.2 if name == "model" else 1.3
        axes.plot(*lesion_curve(pool, name), drawstyle="steps-post", linewidth=wide, **style)
        place = float((scored.flag & ~scored.positive).sum()) / studies
        text = f"{LABELS[name]}: {found.flag.mean():.0%} of lesions, {place:.1f} false slices per study"
        axes.plot(
            place,
            found.flag.mean(),
            MARKS[name],
            color=COLOURS[name],
            markersize=9,
            markeredgecolor="white",
            label=text,
        )
        widest = max(widest, place)
    axes.set(xlim=(-0.02 * widest, 1.15 * widest), ylim=(-0.02, 1.05))
    _legend(axes)


def lesion_curve(pool: Pool, scorer: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False slices per study, and the share of lesions with a flagged slice, at each threshold from the highest."""
    slices, lesions = pool.slices[scorer], np.sort(pool.lesions[scorer].score)
    false = slices.ranking.counts(np.ones(len(slices.score))).fp / max(float(pool.share.sum()), 1e-9)
    share = 1 - np.searchsorted(lesions, slices.ranking.thresholds) / len(lesions)
    return np.append(0, false), np.append(0, share)


def _draw_levels(pool: Pool, figure: "Figure") -> None:
    title = "The same flags per slice and per study; a study counts by its highest-scored slice"
    axes = canvas_chart(figure, title, "", "", bottom=108)
    axes.grid(visible=False, axis="x")
    names = ("auroc", "auprc", "sensitivity", "specificity")
    for number, scorer in enumerate(SCORERS):
        values = flagged(pool, scorer, np.ones(pool.cases))
        for filled, suffix in ((True, ""), (False, "_per_study")):
            found = [values.get(f"{name}{suffix}", np.nan) for name in names]
            axes.plot(
                np.arange(len(names)) + 0.2 * (number - 1) + (-0.04 if filled else 0.04), found, MARKS[scorer],
                color=COLOURS[scorer], markerfacecolor=COLOURS[scorer] if filled else "white", markersize=10,
                markeredgewidth=1.8, label=f"{LABELS[scorer]}, per {'slice' if filled else 'study'}",
            )  # fmt: skip
    axes.set_xticks(np.arange(len(names)), ["AUROC", "AUPRC", "sensitivity", "specificity"])
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.03, 1.05))
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.07), fontsize=10, columnspacing=1.2)


def _draw_false_positives(pool: Pool, figure: "Figure") -> None:
    slices = pool.slices["model"]
    false = slices.flag & ~slices.positive
    counts = np.bincount(pool.spot[false], minlength=len(NAMES))
    order = [*np.argsort(-counts[1:], kind="stable") + 1, 0]
    title = f"{_count(pool.spot[false], 'flagged slice')} without tumour, by the place of the hottest voxel"
    headline(figure, title)
    axes = panel(figure, 156, 96, 32, 64)
    open_frame(axes)
    axes.set_xlabel("slices")
    axes.grid(visible=False, axis="y")
    bars = axes.barh(np.arange(len(order)), counts[order], color=[MODEL_COLOUR] * (len(order) - 1) + ["#9a9a9a"])
    axes.bar_label(bars, padding=4, color=INK)
    axes.set_yticks(np.arange(len(order)), [f"near the {NAMES[index]}" if index else NAMES[0] for index in order])
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.locator_params("x", integer=True)
    text = "By position within the body alone, not by a segmentation of organs."
    figure.text(0.98, 0.015, text, ha="right", va="bottom", color=SOFT, fontsize=10)


def _draw_split(pool: Pool, validation: float, unit: str, figure: "Figure") -> None:
    slices = pool.slices["model"]
    shared = unit == "slice"
    bars = [(f"validation in training:\n{SHARING[unit]}", validation, BASELINE_COLOUR if shared else MODEL_COLOUR)]
    for known, name in ((True, "these data:\npatients of the training"), (False, "these data:\nnew patients")):
        auroc, _ = slices.ranking.areas((pool.trained_on == known).astype(float)[slices.case])
        if not np.isnan(auroc):
            bars.append((name, auroc, BASELINE_COLOUR if known else MODEL_COLOUR))
    title = "AUROC of slices: " + (
        "a validation that shares patients with training, and new patients" if shared else "validation and new patients"
    )
    axes = canvas_chart(figure, title, "", "AUROC of slices", bottom=100)
    axes.grid(visible=False, axis="x")
    names, values, colours = zip(*bars, strict=True)
    for place, (value, colour) in enumerate(zip(values, colours, strict=True)):
        axes.plot(place, value, "o", color=colour, markersize=13)
        axes.annotate(f"{value:.3f}", (place, value), (14, 0), textcoords="offset points", va="center", color=INK)
    axes.axhline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(bars)), names)
    axes.set(xlim=(-0.6, len(bars) - 0.4), ylim=(min(0.45, *values) - 0.05, 1.05))
    text = "Slices of one patient are alike: orange overestimates how well the model does on new patients."
    if any(colour == BASELINE_COLOUR for colour in colours):
        figure.text(0.98, 0.015, text, ha="right", va="bottom", color=SOFT, fontsize=10)


def _legend(axes: "Axes") -> None:
    """Below the axes, where it covers no point."""
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.13), borderaxespad=0, fontsize=10)


def _range(low: float, high: float) -> str:
    return f"below {high:g}" if low == 0 else f"{low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}"


def _count(of: NDArray[np.generic], one: str, many: str = "") -> str:
    return f"{len(of)} {one if len(of) == 1 else many or one + 's'}"
