"""Pictures of a rollout and its ground truth."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import (
    HEIGHT,
    MODEL_COLOUR,
    TRUTH_COLOUR,
    Picture,
    frames,
    headline,
    label,
    picture,
)
from transect.apps.pde.diagnostics import FAILED_NRMSE
from transect.apps.pde.measures import Measures, frame_measures, joined
from transect.apps.pde.metrics import mean_nrmse, steps_to_failure
from transect.apps.pde.panels import (
    CURVES,
    Colours,
    colour_bar,
    curves,
    moment,
    paint_grid,
    paint_mesh,
    panels,
)
from transect.apps.pde.preview import RolloutPreview
from transect.data_adapters.pde.simulation import Coordinate, Rollout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILM_HEIGHT, FILM_WIDTH, FILM_FRAMES = 360, 800, 60
DECADES_SHOWN = 12
"""Range of a spectrum below its peak that is drawn; values further down are rounding errors."""

_COLOUR_OF = {"prediction": MODEL_COLOUR, "truth": TRUTH_COLOUR}

Frames = NDArray[np.float32]


class RolloutPictures:
    """Collects pictures of a rollout and of its error where the simulation has the true frames.

    Args:
        rollout: not yet drained.
        moving: whether to add an animation.
    """

    def __init__(self, rollout: Rollout, moving: bool) -> None:
        self._rollout, self._moving = rollout, moving
        self._preview = RolloutPreview(rollout.simulation, rollout.times, rollout.last)
        self._measures: list[Measures] = []
        self._start = rollout.start

    def add(self, block: Frames) -> None:
        """Process the next frames `(frames, channels, *shape)`, without the spread of an ensemble."""
        sample = self._rollout.simulation
        block = block[:, : len(sample.channels)]
        truth = sample.known(self._start, len(block))
        if truth is not None:
            self._measures.append(frame_measures(block[: len(truth)], truth, self._rollout.last, sample.axes))
        self._preview.add(block, truth if truth is not None and len(truth) == len(block) else None)
        self._start += len(block)

    def pictures(self) -> dict[str, Picture]:
        """`pictures` of the rollout and, if requested, the animation `film`."""
        made = pictures(self._preview, joined(self._measures) or None)
        return made | ({"film": film(self._preview)} if self._moving else {})


def pictures(preview: RolloutPreview, measures: Measures | None = None) -> dict[str, Picture]:
    """Pictures of one rollout by name, uint8 `(height, width, 3)` of one size.

    With ground truth these are prediction, truth and error, without it prediction and initial state: space-time
    diagrams in 1-D, otherwise the last frame. Then the energy spectrum, on grids, and, where the `measures` of the
    whole rollout are given, the error over time. Missing cells are grey, cells where the prediction is no longer finite
    are black.
    """
    fields = _fields(preview)
    height = _height(preview, fields["prediction"].shape[1])
    made = {name: picture(partial(_draw_fields, preview, fields, name), height) for name in fields}
    if preview.spectra and preview.spectra[0].prediction.shape[1] > 1:
        made["spectrum"] = picture(partial(_draw_spectra, preview), height)
    if measures:
        made["error_over_time"] = picture(partial(_draw_error, preview, measures), height)
    return made


def _height(preview: RolloutPreview, channels: int) -> int:
    """The height of the pictures, lower for two panels in a row."""
    return HEIGHT if channels != 2 or _is_wide(preview) else round(HEIGHT * 0.66)


def _fields(preview: RolloutPreview) -> dict[str, Frames]:
    """The fields to draw, by name, in the order of the pictures; `(times, channels, *cells)`."""
    prediction, truth = preview.prediction, preview.truth
    if truth is None:
        return {"prediction": prediction, "initial_state": np.broadcast_to(prediction[:1], prediction.shape)}
    with np.errstate(invalid="ignore", over="ignore"):
        return {"prediction": prediction, "truth": truth, "error": prediction - truth}


def _lost(prediction: Frames) -> NDArray[np.bool_]:
    """Where a prediction is no longer finite: infinite, or NaN in a cell whose first prediction was not."""
    return np.isinf(prediction) | (np.isnan(prediction) & ~np.isnan(prediction[1:2]))


def _draw_fields(preview: RolloutPreview, fields: dict[str, Frames], name: str, figure: "Figure") -> None:
    shown = fields[name]
    time, line = preview.times, preview.is_line
    lost = _lost(fields["prediction"]) & (name in ("prediction", "error"))
    scale = fields.get("truth", fields["prediction"])
    if not line:
        shown, lost, scale = shown[-1:], lost[-1:], scale[-1:]
    what = {"initial_state": "Initial state", "error": "Prediction minus truth"}.get(name, name.capitalize())
    when = moment(time, time.values[0 if name == "initial_state" else -1])
    title = what if line and name != "initial_state" else f"{what} at {when}"
    title += _slice_of(preview) + (", black where not finite" if lost.any() else "")
    each = panels(figure, shown.shape[1], title, bars=True, stacked=_is_wide(preview))
    for channel, panel in enumerate(each):
        values = shown[:, channel]
        colours = Colours.of_error(values) if name == "error" else Colours.of(scale[:, channel])
        _paint(panel, preview, values, colours, lost[:, channel])
        colour_bar(panel, _quantity(preview, channel), colours, values)
        if len(each) > 1:
            panel.set_title(preview.simulation.channels[channel], loc="left")


def _paint(
    panel: "Axes", preview: RolloutPreview, values: Frames, colours: Colours, lost: NDArray[np.bool_]
) -> Callable[[Frames], None]:
    """Draw frames `(times, cells)` of a 1-D rollout over time, or else the single frame given."""
    if preview.mesh is not None:
        return paint_mesh(panel, values[0], preview.mesh, colours)
    if preview.is_line:
        return paint_grid(panel, values.T, preview.axes[0], preview.times, colours, lost.T)
    first, second = preview.axes
    if _is_horizontal(first, second):
        repaint = paint_grid(panel, values[0].T, second, first, colours, lost[0].T)
        return lambda new: repaint(new.T)
    return paint_grid(panel, values[0], first, second, colours, lost[0])


def _is_horizontal(first: Coordinate, second: Coordinate) -> bool:
    """Whether the first of two axes is drawn horizontally, judged by its name; otherwise the second is."""
    names = first.name.lower(), second.name.lower()
    return names[0] in ("x", "lon", "longitude") or names == ("y", "z")


def _slice_of(preview: RolloutPreview) -> str:
    if len(preview.simulation.axes) < 3:
        return ""
    axis, index = preview.slice
    return f", slice at {axis.name} = {axis.values[index]:.4g} {axis.units}".rstrip()


def _is_wide(preview: RolloutPreview) -> bool:
    """Whether two panels are better stacked than side by side."""
    if len(preview.axes) != 2:
        return preview.is_line
    first, second = (np.ptp(axis.values) for axis in preview.axes)
    across, up = (first, second) if _is_horizontal(*preview.axes) else (second, first)
    return bool(across > 1.3 * up)


def _quantity(preview: RolloutPreview, channel: int) -> str:
    """A channel's long name with its units."""
    name = preview.simulation.channels[channel]
    field = next(field for field in preview.simulation.fields if name in field.components)
    return label(field.long_name if field.long_name and len(field.components) == 1 else name, field.units)


def _draw_spectra(preview: RolloutPreview, figure: "Figure") -> None:
    from matplotlib import colormaps

    each = panels(figure, len(preview.spectra[0].prediction), "Energy spectrum")
    longest = max(preview.simulation.axes, key=lambda axis: float(np.ptp(axis.values)))
    for channel, panel in enumerate(each):
        curves(panel, f"wave number k [cycles along {longest.name}]", f"energy of {_quantity(preview, channel)}²")
        peak = 0.0
        for spectra, shade in zip(preview.spectra, np.linspace(0.75, 0.1, len(preview.spectra)), strict=True):
            when, colour = moment(preview.times, spectra.time), colormaps["viridis"](shade)
            k = np.arange(1, spectra.prediction.shape[1])
            if spectra.truth is not None:
                panel.plot(k, spectra.truth[channel, 1:], color=colour)
            dashes, reference = ("-", spectra.prediction) if spectra.truth is None else ("--", spectra.truth)
            panel.plot(k, spectra.prediction[channel, 1:], color=colour, linestyle=dashes, label=when)
            peak = max(peak, float(np.nan_to_num(reference[channel, 1:], posinf=0).max(initial=0)))
        if peak:
            panel.set_ylim(max(peak * 10.0**-DECADES_SHOWN, panel.get_ylim()[0]), peak * 10)
        panel.set_xscale("log")
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if tick <= k[-1]]
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.set_xticks([], minor=True)
    handles, labels = each[0].get_legend_handles_labels()
    if preview.spectra[0].truth is not None:
        handles += each[0].plot([], color=TRUTH_COLOUR) + each[0].plot([], color=TRUTH_COLOUR, linestyle="--")
        labels += ["truth", "prediction"]
    # The space between the title and the right border fits three dates.
    figure.legend(
        handles, labels, loc="upper right", ncols=5, frameon=False, fontsize=9, handlelength=1.6, columnspacing=1.2
    )


def _draw_error(preview: RolloutPreview, measures: Measures, figure: "Figure") -> None:
    (panel,) = panels(figure, 1, "Error over time")
    time, measured = preview.predicted, len(measures["cells"])
    step = steps_to_failure(measures)
    curves(panel, label(time.name, time.units), "nRMSE, mean over channels")
    for of, name, colour in CURVES:
        dots = "." if measured < 20 else ""
        panel.plot(time.values[:measured], mean_nrmse(measures, of), color=colour, label=name, marker=dots)
    panel.axhline(FAILED_NRMSE, color="#808080", linewidth=1, linestyle=":", label=f"fails above {FAILED_NRMSE}")
    if step:
        when = f"time to failure: step {step}, {moment(time, time.values[step - 1])}"
        panel.axvline(time.values[step - 1], color="#202020", linewidth=1, linestyle="--", label=when)
    panel.legend(frameon=False, title=None if step else f"no failure within {measured} steps", alignment="left")


def film(preview: RolloutPreview) -> Picture:
    """Animation of the first channel of a rollout and its ground truth, from the last known frame on.

    Returns uint8 `(frames, height, width, 3)`, at most 60 frames; cells that are missing or no longer finite are grey.
    """
    fields = {
        name: values[:, 0] for name, values in reversed(_fields(preview).items()) if name in ("truth", "prediction")
    }
    colours = Colours.of(next(iter(fields.values())))
    shown = np.unique(np.linspace(0, len(preview.times) - 1, FILM_FRAMES).round().astype(int))
    show: dict[str, Callable[[Frames], object]] = {}

    def draw(figure: "Figure") -> None:
        show.update((_line_film if preview.is_line else _plane_film)(figure, preview, fields, colours))

    def change(figure: "Figure", index: int) -> None:
        headline(figure, moment(preview.times, preview.times.values[shown[index]]) + _slice_of(preview))
        for name, values in fields.items():
            show[name](values[shown[index]])

    return frames(draw, change, len(shown), FILM_HEIGHT, FILM_WIDTH)


def _line_film(
    figure: "Figure", preview: RolloutPreview, fields: dict[str, Frames], colours: Colours
) -> dict[str, Callable[[Frames], object]]:
    (panel,) = panels(figure, 1, " ")
    margin = 0.1 * (colours.high - colours.low)
    panel.set_ylim(colours.low - margin, colours.high + margin)
    panel.set_xlabel(label(preview.axes[0].name, preview.axes[0].units))
    panel.set_ylabel(_quantity(preview, 0))
    lines = {
        name: panel.plot(preview.axes[0].values, values[0], color=_COLOUR_OF[name], label=name)[0]
        for name, values in fields.items()
    }
    panel.legend(frameon=False, loc="upper right", ncols=2)
    return {name: line.set_ydata for name, line in lines.items()}


def _plane_film(
    figure: "Figure", preview: RolloutPreview, fields: dict[str, Frames], colours: Colours
) -> dict[str, Callable[[Frames], object]]:
    each = dict(zip(fields, panels(figure, len(fields), " ", bars=True), strict=True))
    show: dict[str, Callable[[Frames], object]] = {}
    for name, panel in each.items():
        first = fields[name][:1]
        show[name] = _paint(panel, preview, first, colours, np.zeros(first.shape, bool))
        panel.set_title(name.capitalize(), loc="left")
    colour_bar(each["prediction"], _quantity(preview, 0), colours, fields["prediction"])
    if len(each) > 1:
        each["prediction"].set_ylabel("")
        each["prediction"].tick_params(labelleft=False)
        figure.subplots_adjust(wspace=0.08)
    return show
