"""Panels of fields and curves: values over a grid, a mesh or time."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transect.apps.canvas import headline, label, open_frame
from transect.data_adapters.pde.simulation import Coordinate, Mesh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING, NOT_FINITE = "#9a9a9a", "#000000"
SIGNED_FROM = 0.1
"""The smaller of the largest positive and negative value, as a share of the larger, from which a field is signed."""


@dataclass(frozen=True)
class Colours:
    """A colour map's name and the values at its ends."""

    map: str
    low: float
    high: float

    def shown(self) -> dict[str, Any]:
        """What matplotlib is told of them; grey stands for no value."""
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
        """For a difference: diverging and symmetric; half a per cent of the largest may lie outside."""
        finite = np.abs(values[np.isfinite(values)])
        largest = float(np.percentile(finite, 99.5)) if finite.size else 0.0
        return cls("RdBu_r", -largest or -1.0, largest or 1.0)


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
    places = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in places[count:]:
        unused.remove()
    return places[:count]


def moment(time: Coordinate, value: float) -> str:
    """A time for people: a date where the units count from one, else the number with its units."""
    if " since " in time.units:
        import cftime

        calendar = str(time.attributes.get("calendar", "standard"))
        with suppress(ValueError, OverflowError), warnings.catch_warnings():
            # Climatologies are given in a year zero, which CF does not know.
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
    """Paint `values` `(rows, columns)` with their coordinates: missing cells grey, `lost` ones black.

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
    """The borders of cells around `centres`: halfway between them, and as far beyond the outermost ones."""
    if len(centres) == 1:
        return centres[0] + np.array([-0.5, 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])


def paint_mesh(
    panel: "Axes", values: NDArray[np.float32], mesh: Mesh, colours: Colours
) -> Callable[[NDArray[np.float32]], None]:
    """Paint `values` `(points,)` of a mesh: its triangles if it is flat, else its points, seen along the thinnest side.

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
    """The triangles of a mesh, its quadrangles cut in two."""
    quads = mesh.cells.get("quad", np.empty((0, 4), np.int64))
    parts = [mesh.cells.get("triangle", np.empty((0, 3), np.int64)), quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    return np.concatenate(parts)


def colour_bar(panel: "Axes", name: str, colours: Colours, values: NDArray[np.float32]) -> None:
    """A bar as high as the panel, with arrows where `values` lie beyond its ends."""
    low, high = _range(values)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    ends = extend[(low < colours.low, high > colours.high)]
    beside = panel.inset_axes((1.03, 0, 0.035, 1))
    bar: Any = panel.figure.colorbar(panel.collections[0], cax=beside, extend=ends, extendfrac=0.03)
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
    """The median over `series` `(steps,)`, which may end early, with a band between the quartiles.

    They are taken without interpolation, so that a rollout that blew up spoils none but the quartile that it is.
    """
    longest = max(map(len, series))
    table = np.array([np.pad(one, (0, longest - len(one)), constant_values=np.nan) for one in series])
    known = ~np.isnan(table).all(axis=0)
    low, middle, high = np.nanquantile(table[:, known], (0.25, 0.5, 0.75), axis=0, method="inverted_cdf")
    at = 1 + np.flatnonzero(known)
    panel.plot(at, middle, color=colour, label=name)
    top = 10 * table[np.isfinite(table)].max(initial=1)
    panel.fill_between(at, low, np.minimum(high, top), color=colour, alpha=0.18, linewidth=0)
