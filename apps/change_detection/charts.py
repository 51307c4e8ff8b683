"""Charts of change detection over many pairs."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import MODEL_COLOUR, Picture, picture
from transect.apps.change_detection.calibration import Histogram, events
from transect.apps.reliability import draw_reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 16


def reliability_chart(
    changed: Histogram, unchanged: Histogram, probabilities: NDArray[np.float64]
) -> dict[str, Picture]:
    """The reliability of the probabilities of change, `(LEVELS + 1,)`; none without labelled pixels."""
    predicted, right, weights = events(changed, unchanged, probabilities)
    if not len(predicted):
        return {}
    draw = partial(draw_reliability, predicted, right, "pixels", "that a pixel has changed", weights=weights)
    return {"reliability": picture(lambda figure: draw(figure=figure))}


def transition_chart(recalls: dict[str, tuple[float, int]]) -> dict[str, Picture]:
    """Bars of the recall of each transition of land cover with its number of pixels; none without transitions."""
    shown = list(recalls.items())[:MOST_BARS]
    if not shown:
        return {}

    def draw(figure: "Figure") -> None:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        names = [f"{name} ({pixels:,} pixels)" for name, (_, pixels) in shown]
        bars = axes.barh(names, [recall for _, (recall, _) in shown], color=MODEL_COLOUR)
        axes.bar_label(bars, [f"{recall:.2f}" for _, (recall, _) in shown], padding=4)
        axes.set(xlim=(0, 1.1), xlabel="recall", title="Share of the changed pixels that were found, by land cover")
        axes.invert_yaxis()

    return {"transitions": picture(draw, parse_math=False)}
