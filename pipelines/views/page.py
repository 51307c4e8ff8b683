"""Write the views of a case as self-contained HTML pages with inline script, style and data."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageSequence

from transect.apps.base import Picture, View
from transect.pipelines.report import UNITS, file_size, label, number

LARGEST_PAGE = 20_000_000
"""Maximum bytes of data in a page; larger data are reduced until they fit."""

LARGEST_WEBP = 16_383
"""Maximum width and height of a WebP in pixels; larger frames are reduced."""

VENDOR = Path(__file__).parent / "vendor"


def save_views(
    views: Sequence[View], folder: Path, title: str, pictures: Mapping[str, Picture] | None = None
) -> list[dict[str, Any]]:
    """Write one page per view to the subfolder `views`.

    Args:
        views: the views; their files are below `folder`.
        folder: folder of the case.
        title: title of the pages.
        pictures: the pictures of the case by name, where they are at hand, so that their files are not decoded.

    Returns:
        Per view its kind, the name of its page, its legend, and the files that it shows.

    Raises:
        ValueError: files that cannot be reduced exceed LARGEST_PAGE.
    """
    pages = []
    for index, view in enumerate(views, start=1):
        page = f"{view.kind}-{index}.html"
        (folder / "views").mkdir(exist_ok=True)
        data = _map(folder, view, pictures or {}) if view.kind == "map" else _DATA[view.kind](folder, view)
        text = _ENVIRONMENT.get_template(f"{view.kind}.html.j2").render(title=title, legend=view.legend, **data)
        (folder / "views" / page).write_text(text, encoding="utf-8")
        pages.append({"kind": view.kind, "page": page, "legend": view.legend, "files": list(view.files)})
    return pages


def _film(folder: Path, view: View) -> dict[str, Any]:
    """The frames of a film as data URLs; every 2nd, 4th, ... one if all of them exceed LARGEST_PAGE."""
    frames, sizes, step = list[str](), list[tuple[int, int]](), 1
    for index, (frame, size) in enumerate(_frames(folder, view.files)):
        if index % step == 0:
            frames.append(frame)
            sizes.append(size)
        while len(frames) > 1 and sum(map(len, frames)) > LARGEST_PAGE:
            frames, step = frames[::2], 2 * step
    return {"frames": frames, "size": sizes[0], "milliseconds": view.milliseconds * step}


def _frames(folder: Path, files: Sequence[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Data URL and size of each frame of each file; a WebP of one frame is taken as it is."""
    for name in files:
        with Image.open(folder / name) as picture:
            still = getattr(picture, "n_frames", 1) == 1
            if picture.format == "WEBP" and still:
                yield _url((folder / name).read_bytes()), picture.size
            else:
                yield from ((_webp(frame.convert("RGB")), picture.size) for frame in ImageSequence.Iterator(picture))


def _webp(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    if max(picture.size) > LARGEST_WEBP:
        picture.thumbnail((LARGEST_WEBP, LARGEST_WEBP))
    picture.save(encoded, "WEBP", quality=90)
    return _url(encoded.getvalue())


def _url(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


def _volume(folder: Path, view: View) -> dict[str, Any]:
    """Image, mask and surface as base64, the statistics as text, the files of the case as links, and NiiVue."""
    image, mask, *others = view.files
    surface = next((name for name in others if name.endswith(".ply")), None)
    statistics = next((name for name in others if name.endswith(".json")), None)
    data = {"image": _base64(folder / image), "mask": _base64(folder / mask), "surface": ""}
    if surface:
        data["surface"] = _base64(folder / surface)
    if (size := sum(map(len, data.values()))) > LARGEST_PAGE:
        raise ValueError(f"view: found {size:,} bytes of volumes, expected at most {LARGEST_PAGE:,}; reduce them")
    content = json.loads((folder / statistics).read_text(encoding="utf-8")) if statistics else {}
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    names += [surface] if surface else []
    return {
        **data,
        "statistics": list(_lines(content)),
        "links": [(name, "../" + quote(name), file_size((folder / name).stat().st_size)) for name in names],
        "library": _library("niivue.umd.js", "niivue.LICENSE"),
    }


def _map(folder: Path, view: View, pictures: Mapping[str, Picture]) -> dict[str, Any]:
    """Pictures as data URLs, and as many of the first features of the JSON file as LARGEST_PAGE has room for.

    Members of the JSON file: `features`, polygons as GeoJSON text in pixels, x to the right and y down, with
    `properties`, the most important first; `name` and `colour` of the features, and `total`, their number before any
    were left out; `size` of the raster and `extent` of the pictures, (width, height) in pixels; `metres_per_pixel`
    along a row, or null; `layers`, for the stem of each picture whether it is `shown` at first and its `opacity` in
    percent; and `ramp`, null or the `colours` of values from 0 to 1, their `name`, and a `mark` at a value with its
    `mark_name`.
    """
    drawing, *names = view.files
    content = json.loads((folder / drawing).read_text(encoding="utf-8"))
    layers, width = [], 1
    for path in map(Path, names):
        url, (width, _) = _jpeg(folder / path, pictures.get(path.stem))
        layers.append({"name": label(path.stem), "url": url, **content["layers"][path.stem]})
    features, room = list(map(_feature, content["features"])), LARGEST_PAGE - sum(len(layer["url"]) for layer in layers)
    if room < 0:
        raise ValueError(f"view: found {-room:,} bytes of pictures above {LARGEST_PAGE:,}; reduce them")
    while len(json.dumps(features)) > room:
        features = features[: len(features) // 2]
    total, shared = content["total"], ("size", "extent", "metres_per_pixel", "colour", "ramp")
    left_out = f"{len(features):,} of {total:,} are shown, the largest first." if len(features) < total else ""
    return {
        "data": {name: content[name] for name in shared} | {"layers": layers, "features": features, "width": width},
        "features_name": content["name"],
        "note": left_out or ("" if features else "None."),
        "ramp": content["ramp"],
        "library": _library("leaflet.js", "leaflet.LICENSE"),
        "library_style": Markup((VENDOR / "leaflet.css").read_text(encoding="utf-8")),
    }


def _jpeg(file: Path, pixels: Picture | None) -> tuple[str, tuple[int, int]]:
    """A picture as the data URL of a JPEG, which takes a fraction of the time of a WebP, and its size."""
    encoded = io.BytesIO()
    with Image.open(file) if pixels is None else Image.fromarray(pixels) as picture:
        picture.convert("RGB").save(encoded, "JPEG", quality=90)
        return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii"), picture.size


def _feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    """A polygon with its properties as text, and its title in a list: the first and the next that has a value."""
    properties = list(_lines(feature["properties"]))
    title = [text if index == 0 else f"{name} {text}" for index, (name, text) in enumerate(properties[:2])]
    return {"geometry": feature["geometry"], "properties": properties, "title": title}


def _library(code: str, licence: str) -> Markup:
    text = (VENDOR / licence).read_text(encoding="utf-8")
    return Markup(f"/*\n{text}*/\n" + (VENDOR / code).read_text(encoding="utf-8"))


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode("ascii")


def _lines(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of nested results as text, without nulls; the unit of a name holds for all that it contains."""
    stem, _, unit = prefix.rpartition("_")
    for inner, value in content.items():
        name = "_".join(filter(None, [stem, inner, unit] if unit in UNITS else [prefix, inner]))
        if value is None:
            continue
        if isinstance(value, Mapping):
            yield from _lines(value, name)
        elif isinstance(value, list):
            *others, last = value or ["none"]
            yield label(name), ", ".join([*map(_text, others), _text(last, name)])
        else:
            yield label(name), _text(value, name)


def _text(value: object, name: str = "") -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else number(value, name)


_DATA = {"film": _film, "volume": _volume}
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
