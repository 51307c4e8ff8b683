"""Charts of metrics over many rollouts."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import MODEL_COLOUR, Picture, picture
from transect.apps.pde.diagnostics import FAILED_NRMSE
from transect.apps.pde.measures import Measures
from transect.apps.pde.metrics import mean_nrmse, mean_of
from transect.apps.pde.panels import CURVES, curves, panels, quartiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def charts(measures: Sequence[Measures]) -> dict[str, Picture]:
    """Charts of a whole split by name, of one size: nRMSE of model and persistence, and the spectrum error on grids.

    Lines are medians over the trajectories that reach a step, bands span the quartiles.
    """
    made = {}
    if measures:
        made["rollout_error"] = picture(partial(_draw_rollout_error, measures))
    spectral = [mean_of(measure, "spectrum_error") for measure in measures if "spectrum_error" in measure]
    if spectral:
        made["spectrum_error"] = picture(partial(_draw_spectrum_error, spectral))
    return made


def _draw_rollout_error(measures: Sequence[Measures], figure: "Figure") -> None:
    (panel,) = panels(figure, 1, _over(len(measures), "Error of rollouts"))
    curves(panel, "step", "nRMSE, mean over channels")
    for of, name, colour in CURVES:
        quartiles(panel, [mean_nrmse(measure, of) for measure in measures], colour, name)
    panel.axhline(FAILED_NRMSE, color="#808080", linewidth=1, linestyle=":", label=f"fails above {FAILED_NRMSE}")
    panel.legend(frameon=False)


def _draw_spectrum_error(spectral: Sequence[NDArray[np.float64]], figure: "Figure") -> None:
    (panel,) = panels(figure, 1, _over(len(spectral), "Error of energy spectra"))
    curves(panel, "step", "spectrum error [decades]")
    quartiles(panel, spectral, MODEL_COLOUR, "model")


def _over(count: int, what: str) -> str:
    return f"{what}: median and quartiles of {count} trajectories" if count > 1 else what
