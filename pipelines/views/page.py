"""Draw the views of a case as pages below its folder; script, style and data are inside each page."""

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
"""Bytes of data in a page; what is larger is reduced until it fits."""


def save_views(views: Sequence[View], folder: Path, title: str) -> list[dict[str, str]]:
    """Write a page for each view to `folder / "views"`; returns kind, name of the page and legend of each.

    Args:
        views: Their files lie below `folder`.
        folder: Of the case.
        title: Of the pages.
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
    """The frames of one animated picture as data addresses, as many at equal distances as fit into a page."""
    with Image.open(files[0]) as picture:
        frames = [_webp(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
        size = picture.size
    step = 1
    while sum(map(len, frames[::step])) > LARGEST_PAGE:
        step += 1
    return {"frames": frames[::step], "size": size, "milliseconds": FRAME_MS * step}


def _webp(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


_DATA = {"film": _film}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
