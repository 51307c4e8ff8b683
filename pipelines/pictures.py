"""Pictures as files: still ones as PNG, moving ones as animated PNG or GIF."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transect.data_adapters.files import safe_name

FRAME_MS = 100
"""How long a moving picture shows each of its frames."""

Picture = NDArray[np.uint8]
"""uint8 `(height, width, 3)`, or `(frames, height, width, 3)` if it moves."""


def save_pictures(pictures: Mapping[str, Picture], folder: Path) -> list[str]:
    """Write pictures as PNG files named after them, moving ones as animated PNG; returns the names in their order."""
    if pictures:
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        # Level 1: the best compression would take longer than the rest of a small case.
        _save(picture, folder / f"{safe_name(name)}.png", compress_level=1)
    return [safe_name(name) for name in pictures]


def save_gif(picture: Picture, file: Path) -> None:
    """Write a moving picture as a GIF that repeats, which browsers and MLflow's pages show alike."""
    _save(picture, file, loop=0)


def side_by_side(pictures: Mapping[str, Picture]) -> Picture:
    """Still pictures of one height as one, with a white gap of 8 pixels between them."""
    gap = np.full((len(next(iter(pictures.values()))), 8, 3), 255, np.uint8)
    row = [part for picture in pictures.values() for part in (picture, gap)][:-1]
    return np.concatenate(row, axis=1)


def _save(picture: Picture, file: Path, **options: Any) -> None:
    first, *others = (Image.fromarray(frame) for frame in (picture if picture.ndim == 4 else picture[None]))
    if others:
        options |= {"save_all": True, "append_images": others, "duration": FRAME_MS}
    first.save(file, **options)
