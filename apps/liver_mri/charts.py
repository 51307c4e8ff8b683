"""Charts of liver masks over many cases: Dice case by case, and agreement of volumes (Bland and Altman)."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.base import Contribution
from transect.apps.canvas import BASELINE_COLOUR, MODEL_COLOUR, SOFT, Picture, chart, picture
from transect.apps.liver_mri.metrics import dice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = NDArray[np.float64]
"""float64 `(cases,)`."""


def charts(contributions: Sequence[Contribution]) -> dict[str, Picture]:
    """Charts of a whole split by name, of one size; none without cases."""
    if not contributions:
        return {}
    tp, fp, fn, voxel_ml = (
        np.array([contribution[name] for contribution in contributions], np.float64)
        for name in ("tp", "fp", "fn", "voxel_ml")
    )
    empty = ((tp + fp == 0) | (tp + fn == 0)) & (fp + fn > 0)
    return {
        "dice": picture(partial(_draw_dice, dice(tp, fp, fn), empty)),
        "volumes": picture(partial(_draw_volumes, (tp + fp) * voxel_ml, (tp + fn) * voxel_ml, empty)),
    }


def _draw_dice(scores: Values, empty: NDArray[np.bool_], figure: "Figure") -> None:
    order = np.argsort(scores, kind="stable")
    axes = chart(figure, f"Dice of {_cases(scores)}, from the lowest", "case", "Dice")
    _dots(axes, np.arange(1, len(scores) + 1, dtype=float), scores[order], empty[order])
    median = float(np.median(scores))
    axes.axhline(median, color=SOFT, linewidth=1, linestyle="--", label=f"median {median:.3f}")
    axes.set(xlim=(0.5, len(scores) + 0.5), ylim=(min(0.5, scores.min()) - 0.03, 1.03))
    axes.locator_params("x", integer=True)
    axes.legend(frameon=False, loc="lower right")


def _draw_volumes(predicted: Values, labelled: Values, empty: NDArray[np.bool_], figure: "Figure") -> None:
    middle, difference = (predicted + labelled) / 2, predicted - labelled
    title = f"Liver volumes of {_cases(predicted)}: difference against mean"
    axes = chart(figure, title, "mean of predicted and labelled volume [mL]", "predicted minus labelled volume [mL]")
    _dots(axes, middle, difference, empty)
    bias = float(difference.mean())
    axes.axhline(0, color=SOFT, linewidth=0.6)
    axes.axhline(bias, color=SOFT, linewidth=1, linestyle="--", label=f"mean {bias:+.0f} mL")
    if len(difference) > 2:
        spread = 1.96 * float(difference.std(ddof=1))
        limits = f"limits of agreement {bias - spread:+.0f} to {bias + spread:+.0f} mL"
        for place, text in ((bias - spread, limits), (bias + spread, "")):
            axes.axhline(place, color=SOFT, linewidth=1, linestyle=":", label=text or None)
    axes.margins(0.08, 0.2)
    axes.legend(frameon=False)


def _dots(axes: "Axes", across: Values, up: Values, empty: NDArray[np.bool_]) -> None:
    axes.plot(across[~empty], up[~empty], "o", color=MODEL_COLOUR, markersize=6, alpha=0.8)
    if empty.any():
        axes.plot(across[empty], up[empty], "X", color=BASELINE_COLOUR, markersize=8, label="only one mask has liver")


def _cases(values: Values) -> str:
    return f"{len(values)} case{'s' if len(values) > 1 else ''}"
