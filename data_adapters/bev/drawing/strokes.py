"""Antialiased lines, areas and text on uint8 pictures `(H, W, 3)`, which are changed in place."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from transect.data_adapters.bev.drawing.palette import INK, Colour
from transect.data_adapters.bev.images import Picture

SHIFT = 4
"""OpenCV takes coordinates in units of 2 ** -SHIFT pixels."""

FARTHEST = 30_000


def blend(picture: Picture, coverage: NDArray[np.float32], colour: Colour) -> None:
    """Mix a colour into a picture.

    Args:
        picture: uint8 `(H, W, 3)`.
        coverage: float32 `(H, W)`, the share of the colour in [0, 1].
        colour: RGB.
    """
    rows, columns = (np.flatnonzero(coverage.any(axis)) for axis in (1, 0))
    if len(rows):
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        share = coverage[part][..., None]
        mixed = picture[part] + share * (np.array(colour, np.float32) - picture[part])
        picture[part] = np.rint(mixed).astype(np.uint8)


def lines(picture: Picture, paths: Sequence[ArrayLike], colour: Colour, width: int = 1, opacity: float = 1.0) -> None:
    """Draw polylines, each `(k, 2)` of columns and rows."""
    coverage = np.zeros(picture.shape[:2], np.uint8)
    cv2.polylines(coverage, [_fixed(path) for path in paths], False, [255], width, cv2.LINE_AA, SHIFT)
    blend(picture, coverage.astype(np.float32) * np.float32(opacity / 255), colour)


def area(picture: Picture, polygon: ArrayLike, colour: Colour, opacity: float = 1.0) -> None:
    """Fill a polygon `(k, 2)` of columns and rows."""
    coverage = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(coverage, [_fixed(polygon)], [255], cv2.LINE_AA, SHIFT)
    blend(picture, coverage.astype(np.float32) * np.float32(opacity / 255), colour)


def circle(picture: Picture, centre: ArrayLike, radius: float, colour: Colour, opacity: float = 1.0) -> None:
    """Draw a circle, one pixel wide."""
    angle = np.linspace(0, 2 * np.pi, 181)
    lines(picture, [np.stack([np.cos(angle), np.sin(angle)], 1) * radius + np.asarray(centre)], colour, opacity=opacity)


class Pen:
    """Writes text; `picture()` gives the result."""

    def __init__(self, picture: Picture) -> None:
        self._image = Image.fromarray(picture)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self,
        at: tuple[float, float],
        words: str,
        size: int = 13,
        colour: Colour = INK,
        anchor: str = "la",
        bold: bool = False,
        behind: Colour | None = None,
    ) -> None:
        """Write one line.

        Args:
            at: Column and row of the anchor.
            words: Characters that the font lacks become boxes.
            size: Height of the font in pixels.
            colour: RGB.
            anchor: Pillow's: "la" for left and top, "rs" for right and baseline, "mm" for the middle.
            bold: Whether it is bold.
            behind: Colour of an outline that keeps it readable on an image.
        """
        font, outline = _font(size, bold), 2 if behind else 0
        self._draw.text(at, words, fill=colour, font=font, anchor=anchor, stroke_width=outline, stroke_fill=behind)

    def line(self, path: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw a line of whole pixels."""
        self._draw.line([(round(x), round(y)) for x, y in path], fill=colour)

    def swatch(self, at: tuple[float, float], side: int, colour: Colour) -> None:
        """Draw a filled square with this upper left corner."""
        self._draw.rectangle((*at, at[0] + side, at[1] + side), fill=colour)

    def wrapped(self, words: str, size: int, width: float) -> list[str]:
        """The lines of a sentence that are at most `width` pixels wide."""
        found = [""]
        for word in words.split():
            longer = f"{found[-1]} {word}".strip()
            if found[-1] and self.width(longer, size) > width:
                found.append(word)
            else:
                found[-1] = longer
        return found

    def width(self, words: str, size: int = 13, bold: bool = False) -> float:
        """The width of one line in pixels."""
        return float(self._draw.textlength(words, font=_font(size, bold)))

    def picture(self) -> Picture:
        """uint8 `(H, W, 3)`."""
        return np.array(self._image)


@lru_cache(maxsize=32)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib

    name: Literal["DejaVuSans-Bold.ttf", "DejaVuSans.ttf"] = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def _fixed(path: ArrayLike) -> NDArray[np.int32]:
    points = np.clip(np.asarray(path, np.float64), -FARTHEST, FARTHEST)
    return np.rint(points * 2**SHIFT).astype(np.int32)
