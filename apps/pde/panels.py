"""Panels of fields and curves, drawn by matplotlib into pictures of one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_adapters.pde.simulation import Coordinate, Mesh

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, WIDTH = 640, 960
DPI = 100
MISSING, NOT_FINITE = "#9a9a9a", "#000000"
MODEL_COLOUR, PERSISTENCE_COLOUR, TRUTH_COLOUR = "#0b559f", "#c1440e", "#202020"
SIGNED_FROM = 0.1
"""The smaller of the largest positive and negative value, as a share of the larger, from which a field is signed."""

# No pyplot: it would keep figures, and choose a window system by itself.
_STYLE = {"font.size": 11, "axes.titlesize": 12, "axes.linewidth": 0.8, "savefig.dpi": DPI, "path.simplify": True}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Colours:
    """A colour map's name and the values at its ends."""

    map: str
    low: float
    high: float

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


def picture(draw: Callable[["Figure"], None], height: int = HEIGHT, width: int = WIDTH) -> Picture:
    """What `draw` paints on an empty figure, uint8 `(height, width, 3)`."""
    return frames(draw, lambda at: None, 1, height, width)[0]


def frames(
    draw: Callable[["Figure"], None], show: Callable[[int], None], count: int, height: int, width: int
) -> Picture:
    """What `draw` paints, after each of `count` calls of `show`; uint8 `(count, height, width, 3)`."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    film = np.empty((count, height, width, 3), np.uint8)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        for at in range(count):
            show(at)
            canvas.draw()
            film[at] = np.asarray(canvas.buffer_rgba())[..., :3]
    return film


def panels(figure: "Figure", count: int, title: str, bars: bool = False, stacked: bool = False) -> list["Axes"]:
    """`count` panels, up to four, below a title; with room for colour `bars`, two of them `stacked` or side by side."""
    rows, columns = (1, 1) if count == 1 else (2, 1) if count == 2 and stacked else (1, 2) if count == 2 else (2, 2)
    width = figure.get_figwidth()
    figure.suptitle(title, x=0.02, y=0.975, ha="left", va="top", fontsize=13)
    figure.subplots_adjust(
        left=0.85 / width,
        right=1 - (1.35 if bars else 0.3) / width,
        bottom=0.6 / figure.get_figheight(),
        top=1 - (0.85 if count > 1 else 0.6) / figure.get_figheight(),
        wspace=0.62 if bars else 0.28,
        hspace=0.42,
    )
    return list(figure.subplots(rows, columns, squeeze=False).ravel()[:count]) if count != 3 else _three(figure)


def _three(figure: "Figure") -> list["Axes"]:
    panels = list(figure.subplots(2, 2).ravel())
    panels.pop().remove()
    return panels


def label(name: str, units: str) -> str:
    """A quantity with its units, for an axis."""
    return f"{name} [{units}]" if units else name


def moment(time: Coordinate, value: float) -> str:
    """A time for people: a date where the units count from one, else the number with its units."""
    if " since " in time.units:
        import cftime

        calendar = str(time.attributes.get("calendar", "standard"))
        try:
            return str(cftime.num2date(value, time.units, calendar).strftime("%Y-%m-%d %H:%M"))
        except (ValueError, OverflowError):
            pass
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
    mesh = panel.pcolormesh(*edges, np.ma.masked_invalid(values), cmap=colours.map, vmin=colours.low, vmax=colours.high)
    if lost.any():
        black = np.ma.masked_array(np.ones(values.shape), ~lost)
        panel.pcolormesh(*edges, black, cmap=ListedColormap([NOT_FINITE]))
    panel.set_facecolor(MISSING)
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
    spans = np.ptp(mesh.points, axis=0)
    across, up = sorted(np.argsort(spans, kind="stable")[-2:])
    x, y = mesh.points[:, across], mesh.points[:, up]
    triangles = _triangles(mesh) if len(spans) == 2 or spans.min() == 0 else np.empty((0, 3), np.int64)
    limits = {"cmap": colours.map, "vmin": colours.low, "vmax": colours.high}
    if len(triangles):
        shown = panel.tripcolor(x, y, triangles, np.nan_to_num(values), shading="gouraud", **limits)
    else:
        shown = panel.scatter(x, y, 8, values, linewidths=0, plotnonfinite=False, **limits)
    panel.set_facecolor("white" if len(triangles) else "#f0f0f0")
    panel.set_aspect("equal")
    panel.set_xlabel(label("xyz"[across], mesh.units))
    panel.set_ylabel(label("xyz"[up], mesh.units))
    return shown.set_array


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
    bar = panel.figure.colorbar(panel.collections[0], cax=beside, extend=ends, extendfrac=0.03)
    bar.set_label(name)
    bar.formatter.set_powerlimits((-3, 4))


def curves(panel: "Axes", across: str, up: str) -> None:
    """A panel for curves: open frame, quiet grid lines, a logarithmic scale upwards."""
    panel.set_yscale("log")
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    panel.grid(color="#e0e0e0", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


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
    panel.fill_between(
        at, low, np.where(np.isinf(high), panel.get_ylim()[1], high), color=colour, alpha=0.18, linewidth=0
    )
