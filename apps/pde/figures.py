"""Pictures of a rollout beside the truth, and of the scores of many."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from apps.pde.diagnostics import FAILED_NRMSE
from apps.pde.measures import PERSISTENCE, Measures
from apps.pde.metrics import mean_nrmse, mean_of, steps_to_failure
from apps.pde.panels import (
    MODEL_COLOUR,
    PERSISTENCE_COLOUR,
    TRUTH_COLOUR,
    Colours,
    Picture,
    colour_bar,
    curves,
    frames,
    label,
    moment,
    paint_grid,
    paint_mesh,
    panels,
    picture,
    quartiles,
)
from apps.pde.preview import Preview

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILM_HEIGHT, FILM_WIDTH, FILM_FRAMES = 360, 800, 60
DECADES_SHOWN = 12
"""How far below its peak a spectrum is drawn: beneath it there is little but rounding."""

_CURVES = (("", "model", MODEL_COLOUR), (PERSISTENCE, "persistence", PERSISTENCE_COLOUR))

Frames = NDArray[np.float32]


def pictures(preview: Preview, measures: Measures | None = None) -> dict[str, Picture]:
    """Pictures of one rollout by name, uint8 `(height, width, 3)` of one size.

    With a truth these are prediction, truth and error, without one prediction and initial state: over space and time
    of a line, of the last frame of anything else. Then the energy spectrum, on grids, and, where the `measures` of the
    whole rollout are given, the error over time. Missing cells are grey, those where the prediction is no longer
    finite black.
    """
    fields = _fields(preview)
    made = {name: picture(lambda figure, name=name: _draw_fields(figure, preview, fields, name)) for name in fields}
    if preview.spectra:
        made["spectrum"] = picture(lambda figure: _draw_spectra(figure, preview))
    if measures:
        made["error_over_time"] = picture(lambda figure: _draw_error(figure, preview, measures))
    return made


def _fields(preview: Preview) -> dict[str, Frames]:
    """What is painted, by name, in the order of the pictures; `(times, channels, *cells)`."""
    prediction, truth = preview.prediction, preview.truth
    if truth is None:
        return {"prediction": prediction, "initial_state": np.broadcast_to(prediction[:1], prediction.shape)}
    with np.errstate(invalid="ignore", over="ignore"):
        return {"prediction": prediction, "truth": truth, "error": prediction - truth}


def _lost(prediction: Frames) -> NDArray[np.bool_]:
    """Where a prediction is no longer finite: infinite, or NaN in a cell whose first prediction was not."""
    return np.isinf(prediction) | (np.isnan(prediction) & ~np.isnan(prediction[1:2]))


def _draw_fields(figure: "Figure", preview: Preview, fields: dict[str, Frames], name: str) -> None:
    shown = fields[name]
    time, line = preview.times, preview.is_line
    lost = _lost(fields["prediction"]) & (name in ("prediction", "error"))
    scale = fields.get("truth", fields["prediction"])
    if not line:
        shown, lost, scale = shown[-1:], lost[-1:], scale[-1:]
    what = {"initial_state": "Initial state", "error": "Prediction minus truth"}.get(name, name.capitalize())
    when = moment(time, time.values[0 if name == "initial_state" else -1])
    title = f"{what}, {'kept from' if name == 'initial_state' else 'at'} {when}"
    if line and name != "initial_state":
        title = what
    title += _slice_of(preview)
    each = panels(figure, shown.shape[1], title, bars=True, stacked=_is_wide(preview))
    for channel, panel in enumerate(each):
        values = shown[:, channel]
        colours = Colours.of_error(values) if name == "error" else Colours.of(scale[:, channel])
        _paint(panel, preview, values, colours, lost[:, channel])
        colour_bar(panel, _quantity(preview, channel), colours, values)
        if len(each) > 1:
            panel.set_title(preview.simulation.channels[channel], loc="left")


def _paint(
    panel: "Axes", preview: Preview, values: Frames, colours: Colours, lost: NDArray[np.bool_]
) -> Callable[[Frames], None]:
    """Paint frames `(times, cells)` of a line over time, or the only frame of anything else."""
    if preview.mesh is not None:
        return paint_mesh(panel, values[0], preview.mesh, colours)
    if preview.is_line:
        return paint_grid(panel, values.T, preview.axes[0], preview.times, colours, lost.T)
    return paint_grid(panel, values[0], *preview.axes, colours, lost[0])


def _slice_of(preview: Preview) -> str:
    axes = preview.simulation.axes
    if len(axes) < 3:
        return ""
    return f", slice at {axes[0].name} = {axes[0].values[len(axes[0]) // 2]:.4g} {axes[0].units}".rstrip()


def _is_wide(preview: Preview) -> bool:
    axes = preview.axes
    return preview.is_line or (len(axes) == 2 and bool(np.ptp(axes[1].values) > 1.3 * np.ptp(axes[0].values)))


def _quantity(preview: Preview, channel: int) -> str:
    """A channel's name for people with its units."""
    name = preview.simulation.channels[channel]
    field = next(one for one in preview.simulation.fields if name in one.components)
    return label(field.long_name if field.long_name and len(field.components) == 1 else name, field.units)


def _draw_spectra(figure: "Figure", preview: Preview) -> None:
    from matplotlib import colormaps

    longest = max(preview.simulation.axes, key=len)
    for channel, panel in enumerate(panels(figure, len(preview.spectra[0].prediction), "Energy spectrum")):
        curves(panel, f"wave number k [cycles along {longest.name}]", "energy of " + _quantity(preview, channel) + "²")
        panel.set_xscale("log")
        peak = 0.0
        for spectra, shade in zip(preview.spectra, np.linspace(0.75, 0.1, len(preview.spectra)), strict=True):
            when, colour = moment(preview.times, spectra.time), colormaps["viridis"](shade)
            reference = spectra.prediction if spectra.truth is None else spectra.truth
            k = np.arange(1, reference.shape[1])
            if spectra.truth is not None:
                panel.plot(k, spectra.truth[channel, 1:], color=colour, label=f"truth, {when}")
            panel.plot(k, spectra.prediction[channel, 1:], color=colour, linestyle="--", label=f"prediction, {when}")
            peak = max(peak, float(np.nan_to_num(reference[channel, 1:]).max(initial=0)))
        if peak:
            panel.set_ylim(bottom=max(peak * 10**-DECADES_SHOWN, panel.get_ylim()[0]), top=peak * 30)
        if channel == 0:
            panel.legend(frameon=False, fontsize=9, loc="lower left")


def _draw_error(figure: "Figure", preview: Preview, measures: Measures) -> None:
    (panel,) = panels(figure, 1, "Error over time")
    time = preview.predicted
    step = steps_to_failure(measures)
    curves(panel, label(time.name, time.units), "nRMSE, mean over channels")
    for of, name, colour in _CURVES:
        panel.plot(
            time.values, mean_nrmse(measures, of), color=colour, label=name, marker="." if len(time) < 20 else ""
        )
    panel.axhline(FAILED_NRMSE, color="#808080", linewidth=0.8, linestyle=":")
    if step:
        when = f"time to failure: step {step}, {moment(time, time.values[step - 1])}"
        panel.axvline(time.values[step - 1], color="#202020", linewidth=1, linestyle="--", label=when)
    panel.legend(frameon=False, title=None if step else f"no failure within {len(time)} steps", alignment="left")


def film(preview: Preview) -> Picture:
    """The rollout of the first channel, beside the truth where there is one, from the last known frame on.

    Returns uint8 `(frames, height, width, 3)`, at most 60 frames.
    """
    fields = {name: values[:, 0] for name, values in _fields(preview).items() if name in ("truth", "prediction")}
    shown = np.unique(np.linspace(0, len(preview.times) - 1, FILM_FRAMES).round().astype(int))
    names = [name for name in ("truth", "prediction") if name in fields]
    colours = Colours.of(fields[names[0]])
    updates: list[Callable[[int], object]] = []

    def draw(figure: "Figure") -> None:
        if preview.is_line:
            (panel,) = panels(figure, 1, " ")
            low, high = colours.low, colours.high
            panel.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
            panel.set_xlabel(label(preview.axes[0].name, preview.axes[0].units))
            panel.set_ylabel(_quantity(preview, 0))
            for name in names:
                colour = MODEL_COLOUR if name == "prediction" else TRUTH_COLOUR
                (line,) = panel.plot(preview.axes[0].values, fields[name][0], color=colour, label=name)
                updates.append(lambda at, line=line, values=fields[name]: line.set_ydata(values[at]))
            panel.legend(frameon=False, loc="upper right", ncols=2)
        else:
            for name, panel in zip(names, panels(figure, len(names), " ", bars=True), strict=True):
                paint = _paint(panel, preview, fields[name][:1], colours, np.zeros(fields[name][:1].shape, bool))
                colour_bar(panel, _quantity(preview, 0), colours, fields[name])
                panel.set_title(name.capitalize(), loc="left")
                updates.append(lambda at, paint=paint, values=fields[name]: paint(values[at]))
        updates.append(lambda at: figure.suptitle(moment(preview.times, preview.times.values[at]) + _slice_of(preview)))

    def show(at: int) -> None:
        for update in updates:
            update(int(shown[at]))

    return frames(draw, show, len(shown), FILM_HEIGHT, FILM_WIDTH)


def charts(measures: Sequence[Measures]) -> dict[str, Picture]:
    """Pictures of a whole split by name, of one size: nRMSE with persistence's, and the spectrum error on grids.

    Lines are medians over the trajectories that reach a step, bands lie between their quartiles.
    """
    made = {}
    if measures:
        made["rollout_error"] = picture(lambda figure: _draw_rollout_error(figure, measures))
    spectral = [mean_of(one, "spectrum_error") for one in measures if "spectrum_error" in one]
    if spectral:
        made["spectrum_error"] = picture(lambda figure: _draw_spectrum_error(figure, spectral))
    return made


def _draw_rollout_error(figure: "Figure", measures: Sequence[Measures]) -> None:
    (panel,) = panels(figure, 1, _over(len(measures), "Error of rollouts"))
    curves(panel, "step", "nRMSE, mean over channels")
    for of, name, colour in _CURVES:
        quartiles(panel, [mean_nrmse(one, of) for one in measures], colour, name)
    panel.axhline(FAILED_NRMSE, color="#808080", linewidth=0.8, linestyle=":")
    panel.legend(frameon=False)


def _draw_spectrum_error(figure: "Figure", spectral: Sequence[NDArray[np.float64]]) -> None:
    (panel,) = panels(figure, 1, _over(len(spectral), "Error of energy spectra"))
    curves(panel, "step", "spectrum error [decades]")
    quartiles(panel, spectral, MODEL_COLOUR, "model")


def _over(count: int, what: str) -> str:
    return f"{what}: median and quartiles of {count} trajectories" if count > 1 else what
