"""Charts of change detection over many pairs."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import Picture, picture
from transect.apps.change_detection.calibration import Histogram, events
from transect.apps.reliability import draw_reliability


def reliability_chart(
    changed: Histogram, unchanged: Histogram, probabilities: NDArray[np.float64]
) -> dict[str, Picture]:
    """The reliability of the probabilities of change, `(LEVELS + 1,)`; none without labelled pixels."""
    predicted, right, weights = events(changed, unchanged, probabilities)
    if not len(predicted):
        return {}
    draw = partial(draw_reliability, predicted, right, "pixels", "that a pixel has changed", weights=weights)
    return {"reliability": picture(lambda figure: draw(figure=figure))}
