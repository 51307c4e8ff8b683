"""Write the views of a case as self-contained HTML pages with inline script, style and data."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageSequence

from transect.apps.base import View
from transect.pipelines.pictures import FRAME_MS

LARGEST_PAGE = 20_000_000
"""Maximum bytes of data in a page; larger data are reduced until they fit."""

LARGEST_WEBP = 16_383
"""Maximum width and height of a WebP in pixels; larger frames are reduced."""


def save_views(views: Sequence[View], folder: Path, title: str) -> list[dict[str, str]]:
    """Write one page per view to the subfolder `views`.

    Args:
        views: the views; their files are below `folder`.
        folder: folder of the case.
        title: title of the pages.

    Returns:
        Per view its kind, the name of its page, and its legend.
    """
    pages = []
    for number, view in enumerate(views, start=1):
        page = f"{view.kind}-{number}.html"
        (folder / "views").mkdir(exist_ok=True)
        text = _ENVIRONMENT.get_template(f"{view.kind}.html.j2").render(
            title=title, legend=view.legend, **_DATA[view.kind]([folder / file for file in view.files])
        )
        (folder / "views" / page).write_text(text, encoding="utf-8")
        pages.append({"kind": view.kind, "page": page, "legend": view.legend})
    return pages


def _film(files: Sequence[Path]) -> dict[str, Any]:
    """The frames of an animated picture as data URLs; every n-th frame if all of them exceed LARGEST_PAGE."""
    with Image.open(files[0]) as picture:
        frames = [_webp(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
        size = picture.size
    step = 1
    while step < len(frames) and sum(map(len, frames[::step])) > LARGEST_PAGE:
        step += 1
    return {"frames": frames[::step], "size": size, "milliseconds": FRAME_MS * step}


def _webp(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    if max(picture.size) > LARGEST_WEBP:
        picture.thumbnail((LARGEST_WEBP, LARGEST_WEBP))
    picture.save(encoded, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


_DATA = {"film": _film}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
