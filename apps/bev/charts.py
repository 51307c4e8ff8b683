"""Charts of the IoU over a split: by threshold, by range, and of each class."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from transect.apps.base import Picture
from transect.apps.bev.metrics import LEVELS, NAMED, RINGS, Counts, iou_curve
from transect.apps.canvas import INK, SOFT, chart, picture
from transect.data_adapters.bev.grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"vehicle": "#0b559f", "road": "#8a8a3a", "lane": "#c1440e"}


def charts(counts: Mapping[str, Counts], thresholds: Sequence[float], grid: Grid) -> dict[str, Picture]:
    """Charts by name, of one size; none without a labelled pixel.

    Args:
        counts: Of each class, added up over the split.
        thresholds: Probability from which a pixel is of each class.
        grid: Of the maps, for the title.
    """
    shown = {name: round(level * LEVELS) for name, level in zip(counts, thresholds, strict=True)}
    counts = {name: values for name, values in counts.items() if values[:, :, 1].any()}
    if not counts:
        return {}
    made = {"iou_by_threshold": _draw_thresholds, "iou_by_range": _draw_ranges, "iou_by_class": _draw_classes}
    return {name: picture(partial(draw, counts, shown, grid)) for name, draw in made.items()}


def protocol(grid: Grid) -> str:
    """How the numbers of a chart came about."""
    return f"{grid.height} x {grid.width} pixels of {grid.resolution:g} m, counts added up over all samples"


def _draw_thresholds(counts: Mapping[str, Counts], levels: Mapping[str, int], grid: Grid, figure: "Figure") -> None:
    axes = chart(figure, f"IoU by threshold ({protocol(grid)})", "probability from which a pixel is positive", "IoU")
    across = np.arange(1, LEVELS + 1) / LEVELS
    for name, values in counts.items():
        curve = iou_curve(values, visible=True)
        text = "vehicle, at least 40 % visible" if name == "vehicle" else name
        axes.plot(across, curve[1:], color=COLOURS[name], label=text)
        level = levels[name]
        if np.isfinite(curve[level]):
            axes.plot(level / LEVELS, curve[level], "o", color=COLOURS[name])
            axes.annotate(
                f"{curve[level]:.3f} at {level / LEVELS:g}",
                (level / LEVELS, curve[level]),
                (6, 6),
                textcoords="offset points",
                color=INK,
                fontsize=10,
            )
        if name == "vehicle":
            everywhere = iou_curve(values, visible=False)
            axes.plot(across, everywhere[1:], "--", color=COLOURS[name], label="vehicle, all")
    for level in NAMED.values():
        axes.axvline(level / LEVELS, color=SOFT, linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    _finish(axes)


def _draw_ranges(counts: Mapping[str, Counts], levels: Mapping[str, int], grid: Grid, figure: "Figure") -> None:
    axes = chart(figure, f"IoU by range ({protocol(grid)})", "distance from the vehicle [m]", "IoU")
    limits = list(pairwise(RINGS))
    shown = [ring for ring in range(len(limits)) if any(values[ring].any() for values in counts.values())]
    names = [f"{limits[ring][0]} to {limits[ring][1]}" for ring in shown]
    rings = {
        name: [iou_curve(values[ring : ring + 1], visible=True)[levels[name]] for ring in shown]
        for name, values in counts.items()
    }
    texts = {name: f"{name}{', visible,' if name == 'vehicle' else ''} at {levels[name] / LEVELS:g}" for name in counts}
    _draw_bars(axes, names, {texts[name]: values for name, values in rings.items()}, [COLOURS[name] for name in counts])


def _draw_classes(counts: Mapping[str, Counts], levels: Mapping[str, int], grid: Grid, figure: "Figure") -> None:
    axes = chart(figure, f"IoU of each class ({protocol(grid)})", "", "IoU")
    curves = {name: iou_curve(values, visible=True) for name, values in counts.items()}
    if "vehicle" in counts:
        everywhere = iou_curve(counts["vehicle"], visible=False)
        curves = {"vehicle, visible": curves.pop("vehicle"), "vehicle, all": everywhere} | curves
    chosen = [levels[name.partition(",")[0]] for name in curves]
    bars = {f"at {level / LEVELS:g}": [curve[level] for curve in curves.values()] for level in NAMED.values()}
    bars["calibrated"] = [curve[level] for curve, level in zip(curves.values(), chosen, strict=True)]
    _draw_bars(axes, list(curves), bars, ["#9db8d2", "#5b8dbb", "#0b559f"])


def _draw_bars(axes: "Axes", names: Sequence[str], bars: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Groups of bars at `names`, one bar in each group for each of `bars`; a value that is undefined has none."""
    width = 0.8 / len(bars)
    for number, ((text, values), colour) in enumerate(zip(bars.items(), colours, strict=True)):
        places = np.arange(len(names)) + (number - (len(bars) - 1) / 2) * width
        drawn = axes.bar(places, np.nan_to_num(values), width * 0.92, color=colour, label=text)
        axes.bar_label(drawn, [f"{value:.3f}" if np.isfinite(value) else "" for value in values], fontsize=9)
    axes.set_xticks(range(len(names)), names)
    _finish(axes)


def _finish(axes: "Axes") -> None:
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, fontsize=10, loc="upper right")
