"""Shared figure style of all apps: matplotlib figures rendered to RGB arrays of a given size."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]
"""RGB, `(height, width, 3)`; an animation is `(frames, height, width, 3)`."""

HEIGHT, WIDTH = 640, 960
DPI = 100
INK, SOFT, FAINT, GRID = "#202020", "#6a6a6a", "#d4d4d4", "#e0e0e0"
"""Greys of text and lines, dark to light."""
MODEL_COLOUR, BASELINE_COLOUR, TRUTH_COLOUR = "#0b559f", "#c1440e", "#202020"
RIGHT_COLOUR, WRONG_COLOUR = "#2e7d32", "#c1440e"

_STYLE: Any = {"font.size": 11, "axes.titlesize": 12, "axes.linewidth": 0.8}


def picture(
    draw: Callable[["Figure"], None], height: int = HEIGHT, width: int = WIDTH, *, parse_math: bool = True
) -> Picture:
    """Render a figure to a picture, uint8 `(height, width, 3)`.

    Args:
        draw: Draws on an empty figure; called once.
        height: In pixels.
        width: In pixels.
        parse_math: Typeset text between dollar signs as mathematics, as matplotlib does; False draws it verbatim, for
            names that come from files.
    """
    return frames(draw, lambda figure, index: None, 1, height, width, parse_math=parse_math)[0]


def frames(
    draw: Callable[["Figure"], None],
    change: Callable[["Figure", int], None],
    count: int,
    height: int,
    width: int,
    *,
    parse_math: bool = True,
) -> Picture:
    """Render an animation, uint8 `(count, height, width, 3)`.

    Args:
        draw: Draws the first frame on an empty figure; called once.
        change: Updates the figure to the frame of the given index.
        count: Number of frames.
        height: In pixels.
        width: In pixels.
        parse_math: As for `picture`.
    """
    # No pyplot: it would keep figures alive and pick a GUI backend.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    film = np.empty((count, height, width, 3), np.uint8)
    with matplotlib.rc_context(_STYLE | {"text.parse_math": parse_math}), warnings.catch_warnings():
        # Expected warnings: a zero on a logarithmic axis, missing mesh points, glyphs that the font lacks.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        for index in range(count):
            change(figure, index)
            canvas.draw()
            film[index] = np.asarray(canvas.buffer_rgba())[..., :3]
    return film


def headline(figure: "Figure", title: str) -> None:
    """Set or replace the title of a whole picture, 16 pixels below its top."""
    top = 1 - 16 / DPI / figure.get_figheight()
    figure.suptitle(title, x=0.02, y=top, ha="left", va="top", fontsize=13, color=INK)


def label(name: str, units: str) -> str:
    """An axis label: a quantity with its units."""
    return f"{name} [{units}]" if units else name


def panel(figure: "Figure", left: float, bottom: float, right: float, top: float) -> "Axes":
    """Axes with these margins to the borders of the picture, in pixels."""
    width, height = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )


def chart(figure: "Figure", title: str, across: str, up: str, right: float = 32, bottom: float = 64) -> "Axes":
    """Axes for curves below a title, labelled `across` and `up`; `right` and `bottom` are margins in pixels."""
    headline(figure, title)
    axes = panel(figure, 84, bottom, right, 64)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    open_frame(axes)
    return axes


def open_frame(axes: "Axes") -> None:
    """A light grid behind the data, and no spines at the top and on the right."""
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
