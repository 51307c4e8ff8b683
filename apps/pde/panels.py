"""Matplotlib panels: fields over a grid, a mesh or space-time, and curves."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import BASELINE_COLOUR, MODEL_COLOUR, headline, label, open_frame
from transect.apps.pde.measures import PERSISTENCE
from transect.data_adapters.pde.simulation import Coordinate, Mesh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING, NOT_FINITE = "#9a9a9a", "#000000"
SIGNED_FROM = 0.1
"""A field counts as signed if the smaller of its positive and negative extremes is at least this part of the larger."""


@dataclass(frozen=True)
class Colours:
    """A colour map's name and the values at its ends."""

    map: str
    low: float
    high: float

    def shown(self) -> dict[str, Any]:
        """Keyword arguments for matplotlib; missing values are grey."""
        from matplotlib import colormaps

        colours = colormaps[self.map].with_extremes(bad=MISSING)
        return {"cmap": colours, "vmin": self.low, "vmax": self.high}

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Colours":
        """For a field: diverging and symmetric where it is signed, sequential elsewhere."""
        low, high = _range(values)
        if low < 0 < high and min(-low, high) > SIGNED_FROM * max(-low, high):
            return cls("RdBu_r", -max(-low, high), max(-low, high))
        return cls("viridis", low, high if high > low else low + 1)

    @classmethod
    def of_error(cls, values: NDArray[np.float32]) -> "Colours":
        """For a difference: diverging and symmetric; the largest 0.5 % are clipped."""
        finite = np.abs(values[np.isfinite(values)])
        largest = float(np.percentile(finite, 99.5)) if finite.size else 0.0
        return cls("RdBu_r", -largest or -1.0, largest or 1.0)


CURVES = (("", "model", MODEL_COLOUR), (PERSISTENCE, "persistence", BASELINE_COLOUR))
"""Prefix of the measures, name and colour of the curves that are compared."""


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def panels(figure: "Figure", count: int, title: str, bars: bool = False, stacked: bool = False) -> list["Axes"]:
    """`count` panels, up to four, below a title; with room for colour `bars`, two of them `stacked` or side by side."""
    rows, columns = (1, 1) if count == 1 else (2, 1) if count == 2 and stacked else (1, 2) if count == 2 else (2, 2)
    width = figure.get_figwidth()
    headline(figure, title)
    figure.subplots_adjust(
        left=(0.85 if bars else 0.95) / width,
        right=1 - (1.35 if bars else 0.3) / width,
        bottom=0.6 / figure.get_figheight(),
        top=1 - (0.85 if count > 1 else 0.6) / figure.get_figheight(),
        wspace=0.62 if bars else 0.28,
        hspace=0.42,
    )
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def moment(time: Coordinate, value: float) -> str:
    """A formatted time: a date where the units have a reference date, else the number with its units."""
    if " since " in time.units:
        import cftime

        calendar = str(time.attributes.get("calendar", "standard"))
        with suppress(ValueError, OverflowError), warnings.catch_warnings():
            # Climatologies use a year zero, which CF calendars lack.
            warnings.simplefilter("ignore")
            return str(cftime.num2date(value, time.units, calendar, has_year_zero=True).isoformat(" ", "minutes"))
    return f"{time.name} = {value:.4g} {time.units}".rstrip()


def paint_grid(
    panel: "Axes",
    values: NDArray[np.float32],
    rows: Coordinate,
    columns: Coordinate,
    colours: Colours,
    lost: NDArray[np.bool_],
) -> Callable[[NDArray[np.float32]], None]:
    """Draw `values` `(rows, columns)` with their coordinates: missing cells grey, `lost` ones black.

    Returns a function that replaces the values.
    """
    from matplotlib.colors import ListedColormap

    edges = _edges(columns.values), _edges(rows.values)
    mesh = panel.pcolormesh(*edges, np.ma.masked_invalid(values), **colours.shown())
    if lost.any():
        black: Any = np.ma.masked_array(np.ones(values.shape), ~lost)
        panel.pcolormesh(*edges, black, cmap=ListedColormap([NOT_FINITE]))
    panel.set_xlabel(label(columns.name, columns.units))
    panel.set_ylabel(label(rows.name, rows.units))
    spans = [np.ptp(edge) for edge in edges]
    if rows.units == columns.units and max(spans) <= 4 * min(spans):
        panel.set_aspect("equal")
    return lambda new: mesh.set_array(np.ma.masked_invalid(new))


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cell edges around `centres`: midpoints between them, extrapolated at both ends."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def paint_mesh(
    panel: "Axes", values: NDArray[np.float32], mesh: Mesh, colours: Colours
) -> Callable[[NDArray[np.float32]], None]:
    """Draw `values` `(points,)` of a mesh: triangles if it is flat, else points projected along its thinnest side.

    Returns a function that replaces the values.
    """
    from matplotlib.tri import Triangulation

    spans = np.ptp(mesh.points, axis=0)
    across, up = sorted(np.argsort(spans, kind="stable")[-2:])
    x, y = mesh.points[:, across], mesh.points[:, up]
    triangles = _triangles(mesh) if len(spans) == 2 or spans.min() == 0 else np.empty((0, 3), np.int64)
    known = np.ma.masked_invalid(values)
    shown: Any
    if len(triangles):
        shown = panel.tripcolor(Triangulation(x, y, triangles), known, shading="gouraud", **colours.shown())
    else:
        shown = panel.scatter(x, y, 8, known, linewidths=0, plotnonfinite=True, **colours.shown())
        panel.set_facecolor("#f0f0f0")
    panel.set_aspect("equal")
    panel.set_xlabel(label("xyz"[across], mesh.units))
    panel.set_ylabel(label("xyz"[up], mesh.units))
    return lambda new: shown.set_array(np.ma.masked_invalid(new))


def _triangles(mesh: Mesh) -> NDArray[np.int64]:
    """The triangles of a mesh, its quadrilaterals split in two."""
    quads = mesh.cells.get("quad", np.empty((0, 4), np.int64))
    parts = [mesh.cells.get("triangle", np.empty((0, 3), np.int64)), quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    return np.concatenate(parts)


def colour_bar(panel: "Axes", name: str, colours: Colours, values: NDArray[np.float32]) -> None:
    """A colour bar of the panel's height, with arrows where `values` exceed its range."""
    low, high = _range(values)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    ends = extend[(low < colours.low, high > colours.high)]
    bar_axes = panel.inset_axes((1.03, 0, 0.035, 1))
    bar: Any = panel.figure.colorbar(panel.collections[0], cax=bar_axes, extend=ends, extendfrac=0.03)
    bar.set_label(name)
    bar.formatter.set_powerlimits((-3, 4))


def curves(panel: "Axes", across: str, up: str) -> None:
    """A panel for curves on a logarithmic scale."""
    from matplotlib.ticker import FuncFormatter

    def between_powers(value: float, _: int | None) -> str:
        low, high = panel.get_ylim()
        return f"{value:g}" if high < 30 * low and f"{value:e}"[0] in "25" else ""

    panel.set_yscale("log")
    panel.yaxis.set_minor_formatter(FuncFormatter(between_powers))
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    open_frame(panel)


def quartiles(panel: "Axes", series: Sequence[NDArray[np.float64]], colour: str, name: str) -> None:
    """Draw the median over `series` `(steps,)`, which may end early, with a band between the quartiles.

    Quantiles are not interpolated, so that infinite values of blown-up rollouts do not affect other quantiles.
    """
    longest = max(map(len, series))
    table = np.array([np.pad(values, (0, longest - len(values)), constant_values=np.nan) for values in series])
    known = ~np.isnan(table).all(axis=0)
    low, middle, high = np.nanquantile(table[:, known], (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")
    steps = 1 + np.flatnonzero(known)
    panel.plot(steps, middle, color=colour, label=name)
    top = 10 * table[np.isfinite(table)].max(initial=1)
    panel.fill_between(steps, low, np.minimum(high, top), color=colour, alpha=0.18, linewidth=0)
