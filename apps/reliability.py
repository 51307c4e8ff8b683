"""Reliability of predicted probabilities: curves, expected calibration error, and a chart."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transect.apps.canvas import DPI, MODEL_COLOUR, SOFT, chart, open_frame, panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS, BARS = 10, 50


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability curve: weighted count, mean predicted probability, and observed fraction right."""

    count: float
    probability: float
    right: float


def reliability(
    probabilities: ArrayLike, right: ArrayLike, bins: int = BINS, weights: ArrayLike | None = None
) -> list[Bin]:
    """Reliability curve: mean predicted probability against observed frequency, per non-empty bin; NaN is left out.

    Written here because scikit-learn's `calibration_curve` and torchmetrics' calibration error take no sample weights.
    """
    p, observed = np.asarray(probabilities, np.float64), np.asarray(right, np.float64)
    weight = np.ones(len(p)) if weights is None else np.asarray(weights, np.float64)
    known = ~np.isnan(p)
    p, observed, weight = p[known], observed[known], weight[known]
    number = np.minimum((p * bins).astype(int), bins - 1)
    counts, sums, rights = (np.bincount(number, weight * values, bins) for values in (np.ones(len(p)), p, observed))
    return [
        Bin(float(count), float(total / count), float(correct / count))
        for count, total, correct in zip(counts, sums, rights, strict=True)
        if count
    ]


def expected_calibration_error(probabilities: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Expected calibration error (Guo et al. 2017, ICML): mean over all of |predicted - observed| of their bin.

    NaN without any.
    """
    curve = reliability(probabilities, right, weights=weights)
    total = sum(part.count for part in curve)
    return sum(part.count * abs(part.probability - part.right) for part in curve) / total if total else math.nan


def draw_reliability(
    probabilities: NDArray[np.float64],
    right: NDArray[np.bool_],
    unit: str,
    event: str,
    figure: "Figure",
    weights: NDArray[np.float64] | None = None,
) -> None:
    """Draw a reliability curve with a histogram of the probabilities below it.

    Args:
        probabilities: `(n,)`, without NaN.
        right: `(n,)`, whether each event took place.
        unit: What has a probability, in the plural, such as "slices".
        event: What it is the probability of, such as "that a slice shows tumour".
        figure: Empty.
        weights: `(n,)`, how often each counts; once by default. The histogram of many is logarithmic.
    """
    from matplotlib.ticker import MaxNLocator

    error = expected_calibration_error(probabilities, right, weights)
    total = f"{len(right)}" if weights is None else f"{weights.sum():,.0f}"
    title = f"Reliability of {total} {unit}: expected calibration error {error:.3f}"
    axes = chart(figure, title, "", "observed fraction", bottom=248)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle="--", label="perfectly calibrated")
    bins = reliability(probabilities, right, weights=weights)
    predicted, observed, counts = (
        np.array([getattr(part, name) for part in bins]) for name in ("probability", "right", "count")
    )
    label = "observed ± 1 SE"
    spread = standard_error(observed, counts)
    axes.errorbar(predicted, observed, spread, color=MODEL_COLOUR, marker="o", capsize=3, linewidth=1.6, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.tick_params(labelbottom=False)
    axes.legend(frameon=False, loc="upper left")
    histogram = panel(figure, 84, 64, 32, figure.get_figheight() * DPI - 228)
    open_frame(histogram)
    many = weights is not None
    histogram.hist(probabilities, BARS, range=(0, 1), weights=weights, color=MODEL_COLOUR, alpha=0.8, log=many)
    histogram.set(xlim=(0, 1), xlabel=f"probability {event}", ylabel=unit)
    if not many:
        histogram.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def standard_error(observed: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """One standard error of proportions, with one success and one failure added (Agresti and Coull, 1998)."""
    return np.sqrt((observed * counts + 1) * ((1 - observed) * counts + 1) / (counts + 2) ** 2 / (counts + 2))
