"""The canvas of the peptide app's pictures: one size, one style, the colours of the field."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT, WIDTH = 800, 1200
DPI = 100
INK, SOFT, FAINT = "#202020", "#6a6a6a", "#d4d4d4"
B_COLOUR, Y_COLOUR = "#1976d2", "#d32f2f"
"""Of b and y ions, as spectrum_utils and many others have them."""
MODEL_COLOUR, RIGHT_COLOUR, WRONG_COLOUR = "#0b559f", "#2e7d32", "#c1440e"
PEAK_COLOUR, MODIFIED_COLOUR = "#a8a8a8", "#7b1fa2"

# No pyplot: it would keep figures, and choose a window system by itself.
_STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.linewidth": 0.8,
    "savefig.dpi": DPI,
    "text.parse_math": False,
}

Picture = NDArray[np.uint8]


def picture(draw: Callable[["Figure"], None]) -> Picture:
    """What `draw` paints on an empty figure, uint8 `(HEIGHT, WIDTH, 3)`."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A letter of a tool's name that the font lacks is drawn as a box.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def headline(figure: "Figure", title: str) -> None:
    """The title of a whole picture."""
    figure.text(24 / WIDTH, 1 - 16 / HEIGHT, title, ha="left", va="top", fontsize=13, color=INK)


def panel(figure: "Figure", left: float, bottom: float, right: float, top: float) -> "Axes":
    """Axes whose borders are this many pixels away from those of the picture."""
    return figure.add_axes(
        (left / WIDTH, bottom / HEIGHT, (WIDTH - left - right) / WIDTH, (HEIGHT - bottom - top) / HEIGHT)
    )


def chart(figure: "Figure", title: str, across: str, up: str, right: float = 32, bottom: float = 64) -> "Axes":
    """Axes for curves below a title: open frame, quiet grid lines; `right` and `bottom` are margins in pixels."""
    headline(figure, title)
    axes = panel(figure, 84, bottom, right, 64)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    quiet(axes)
    return axes


def quiet(axes: "Axes") -> None:
    """Quiet grid lines behind everything, no frame at the top and on the right."""
    axes.grid(color="#e0e0e0", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
