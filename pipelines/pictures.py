"""Pictures of predictions, collected from the stream of blocks and written as PNG, animated PNG or GIF."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transect.apps.base import App, Picture, Preview
from transect.data_adapters.files import safe_name

FRAME_MS = 100
"""Duration of each frame of an animation, in milliseconds."""


def previewed(app: App[Any, Any], prediction: Any, sample: Any, labels: bool) -> Preview | None:
    """The app's preview of a prediction, connected to receive each block that the writer or the metric consumes."""
    preview = app.preview(prediction, sample, labels)
    blocks = getattr(prediction, "blocks", None)
    if preview is not None and blocks is not None:
        prediction.blocks = _tee(blocks, preview)
    return preview


def _tee(blocks: Iterator[Any], preview: Preview) -> Iterator[Any]:
    for block in blocks:
        preview.add(block)
        yield block


def save_pictures(pictures: Mapping[str, Picture], folder: Path) -> list[str]:
    """Write pictures as PNG files, animations as animated PNG.

    Args:
        pictures: pictures by name.
        folder: folder for the files; created if there are pictures.

    Returns:
        The names of the files without their suffix, in the order of `pictures`.
    """
    if pictures:
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        # More compression would take longer than predicting a small case, and hardly reduces noise.
        _save(picture, folder / f"{safe_name(name)}.png", compress_level=1, compress_type=zlib.Z_RLE)
    return [safe_name(name) for name in pictures]


def save_gif(picture: Picture, file: Path) -> None:
    """Write an animation as a looping GIF, which both browsers and the MLflow UI display."""
    _save(picture, file, loop=0)


def side_by_side(pictures: Mapping[str, Picture]) -> Picture:
    """Join still pictures of equal height horizontally, separated by 8 white pixels."""
    gap = np.full((len(next(iter(pictures.values()))), 8, 3), 255, np.uint8)
    row = [part for picture in pictures.values() for part in (picture, gap)][:-1]
    return np.concatenate(row, axis=1)


def _save(picture: Picture, file: Path, **options: Any) -> None:
    first, *others = (Image.fromarray(frame) for frame in (picture if picture.ndim == 4 else picture[None]))
    if others:
        options |= {"save_all": True, "append_images": others, "duration": FRAME_MS}
    first.save(file, **options)
