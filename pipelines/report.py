"""Static HTML report of a prediction or an evaluation: pictures, facts, metrics and links to files."""

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from transect.data_adapters.files import write_whole
from transect.pipelines.results import JOIN, manifest_rows, table_rows

TEMPLATE = Path(__file__).with_name("report.html.j2")

UNKNOWN = "\N{EN DASH}"

OPEN_CASES = 20
"""Number of cases that are expanded initially; the others are collapsed."""

UNITS = {
    "percent": "%", "m": "m", "km": "km", "mm": "mm", "m2": "m²", "km2": "km²", "mm2": "mm²", "m3": "m³", "mm3": "mm³",
    "ml": "mL", "g": "g", "ms": "ms", "s": "s", "seconds": "s", "days": "d", "deg": "°", "hz": "Hz", "da": "Da",
    "ppm": "ppm",
}  # fmt: skip
"""Units by the suffix of the names that carry them."""

ACRONYMS = {
    "iou": "IoU", "apebench": "APEBench", "pdebench": "PDEBench", "morph": "MORPH", "nrmse": "nRMSE", "vrmse": "VRMSE",
    "crmse": "cRMSE", "brmse": "bRMSE", "frmse": "fRMSE", "auc": "AUC",
    "ras": "RAS", "hd95": "HD95", "assd": "ASSD", "nsd": "NSD", "mri": "MRI",
    "auroc": "AUROC", "auprc": "AUPRC", "suv": "SUV", "suv4": "SUV > 4.0", "suv41": "SUV > 41 %", "cm2": "cm²",
    "mtv": "MTV", "tlg": "TLG", "petct": "PET/CT",
}  # fmt: skip
"""Spelling of acronyms in labels."""


@dataclass(frozen=True)
class Layer:
    """A picture; `href` is relative to the report, `width` and `height` are in pixels."""

    name: str
    href: str
    width: int
    height: int


@dataclass(frozen=True)
class CaseView:
    """A finished case or a joined group on the report: values and units of facts, and links to files and pictures."""

    id: str
    seconds: float
    facts: list[tuple[str, str]]
    files: list[tuple[str, str, str]]
    layers: list[Layer]
    views: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Metric:
    """A metric; `low` and `high` bound its 95 % interval, `baselines` are pairs of name and value."""

    name: str
    value: float
    low: float | None
    high: float | None
    baselines: tuple[tuple[str, float], ...]

    @property
    def is_share(self) -> bool:
        """Whether the value and its interval lie in [0, 1], to be drawn on that scale."""
        return all(0 <= bound <= 1 for bound in (self.value, self.low, self.high) if bound is not None)

    def text(self, value: float) -> str:
        """Format the value or one of its bounds; a share has three decimals, so that columns align."""
        return f"{value:.3f}" if self.is_share else number(value, self.name)


def write_report(folder: Path) -> Path:
    """Write `report.html` from the results of a prediction or an evaluation.

    Reads `run.json`, `manifest*.csv` (one per shard), `done.json` and `preview/NAME.png` of each case, `done.json` of
    groups that were joined, and for an evaluation `metrics.json`, `cases.csv` and `charts/NAME.png`. Missing or damaged
    files are skipped, so that an interrupted run has a report as well. The report needs no network and contains no
    absolute paths.

    Args:
        folder: folder of the results.

    Returns:
        The path of the report.
    """
    manifest = manifest_rows(folder)
    done = [row for row in manifest if row.get("status") == "done"]
    metrics = _json(folder / "metrics.json")
    run = _json(folder / "run.json")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(number=number, label=label, duration=duration)
    html = environment.get_template(TEMPLATE.name).render(
        run={"kind": "predict", "app": "", "model": "", "model_sha256": "", "settings": {}, "seconds": None, **run},
        started=_day(run.get("started")),
        failed=[row for row in manifest if row.get("status") != "done"],
        done=len(done),
        joined=run.get("joined") or "",
        groups=list(_groups(folder, str(run.get("joined") or ""), run.get("run"))),
        cases=[view for row in done if (view := _case(folder, row.get("case") or "", run.get("run"))) is not None],
        metrics=_metrics(metrics),
        charts=_pictures(folder, ("charts",), metrics.get("charts") or []),
        measured=metrics.get("cases"),
        scope={name: metrics[name] for name in ("split", "data") if metrics.get(name)},
        table=table_rows(folder / "cases.csv"),
        settings=sorted(_settings(run).items()),
        open_cases=OPEN_CASES,
    )
    write_whole(folder / "report.html", html)
    return folder / "report.html"


def with_baselines(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Group the names of metrics: each with those of its baselines, such as {f1: {persistence: persistence_f1}}.

    A name that consists of a prefix, `_` and another metric's name is the value of that metric for the baseline
    `prefix`.
    """
    known = list(names)
    grouped: dict[str, dict[str, str]] = {name: {} for name in known}
    for name in known:
        baseline, _, metric = name.partition("_")
        if metric in grouped:
            grouped[metric][baseline] = name
    baselines = {name for others in grouped.values() for name in others.values()}
    return {name: others for name, others in grouped.items() if name not in baselines}


def label(name: str) -> str:
    """Format a name of a result as a label: spaces instead of `_`, acronyms spelled correctly, no unit."""
    words = name.split("_")
    if len(words) > 1 and words[-1] in UNITS:
        words.pop()
    if len(words) == 1 and len(name) <= 3:
        return ACRONYMS.get(name, name.upper())
    text = " ".join(ACRONYMS.get(word, word) for word in words)
    return text if words[0] in ACRONYMS else text[:1].upper() + text[1:]


def number(value: object, name: str = "") -> str:
    """Format a value: four significant digits, all of an integer, in groups of three, with the unit of its name."""
    unit = UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""
    try:
        figure = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    if not math.isfinite(figure):
        return UNKNOWN
    if isinstance(value, int) or abs(figure) >= 1000:
        text = f"{figure:,.0f}".replace(",", "\u202f")
    elif 0 < abs(figure) < 1e-4:
        text = f"{figure:.2e}"
    else:
        text = f"{figure:.4g}"
    return f"{text}\u202f{unit}" if unit else text


def duration(seconds: object) -> str:
    """Format seconds in the two largest units."""
    try:
        total = float(seconds)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return UNKNOWN
    if total < 60:
        return f"{total:.1f}\u202fs"
    minutes, rest = divmod(round(total), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u202fh {minutes}\u202fmin" if hours else f"{minutes}\u202fmin {rest}\u202fs"


def _case(folder: Path, case: str, run: object) -> CaseView | None:
    """The case in the folder of its id; None if it has no readable `done.json` of this run."""
    done = _json(folder / case / "done.json") if _is_part(case) else {}
    if not done or (run is not None and done.get("run") != run):
        return None
    return CaseView(
        id=case,
        seconds=done.get("seconds", math.nan),
        facts=[(label(name), number(value, name)) for name, value in (done.get("facts") or {}).items()],
        files=_files(folder, (case,), done),
        layers=_pictures(folder, (case, "preview"), done.get("preview") or []),
        views=_views(folder, (case,), done),
    )


def _groups(folder: Path, joined: str, run: object) -> Iterator[CaseView]:
    """The groups in the subfolder `joined` whose results this run has joined."""
    for path in sorted((folder / joined).glob("*/done.json")) if _is_part(joined) else ():
        done, place = _json(path), (joined, path.parent.name)
        if done.get("kind") == JOIN and done.get("run") == run:
            facts = [("Cases", number(len(done.get("cases") or ())))]
            files, views = _files(folder, place, done), _views(folder, place, done)
            yield CaseView(str(done.get("case")), math.nan, facts, files, [], views)


def _files(folder: Path, place: tuple[str, ...], done: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, link and size of the recorded files in the subfolder with the path parts `place`."""
    inner = folder.joinpath(*place)
    return [
        (name, _href(*place, name), file_size((inner / name).stat().st_size))
        for name in done.get("outputs") or {}
        if _is_part(name) and (inner / name).is_file()
    ]


def _views(folder: Path, place: tuple[str, ...], done: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Kind, link and legend of the recorded views in the subfolder with the path parts `place`."""
    pages = folder.joinpath(*place, "views")
    return [
        (str(view["kind"]), _href(*place, "views", view["page"]), str(view["legend"]))
        for view in done.get("views") or []
        if _is_part(view["page"]) and (pages / view["page"]).is_file()
    ]


def _pictures(folder: Path, place: tuple[str, ...], names: Sequence[str]) -> list[Layer]:
    """The pictures of these names in the subfolder with the path parts `place`."""
    sizes = {name: _png_size(folder.joinpath(*place, f"{name}.png")) for name in names if _is_part(name)}
    return [Layer(name, _href(*place, f"{name}.png"), *size) for name, size in sizes.items() if size]


def _metrics(metrics: Mapping[str, Any]) -> list[Metric]:
    intervals, summary = metrics.get("intervals") or {}, metrics.get("summary") or {}
    shown = []
    for name, others in with_baselines(summary).items():
        low, high = intervals.get(name, (None, None))
        baselines = tuple((baseline, float(summary[other])) for baseline, other in others.items())
        shown.append(Metric(name, float(summary[name]), low, high, baselines))
    return shown


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run; those that are null show the value that training learned."""
    settings, state = _flat(run.get("settings") or {}), _flat(run.get("state") or {})
    return settings | {
        name: f"{state[name]} (learned)" for name, value in settings.items() if value is None and name in state
    }


def _is_part(name: str) -> bool:
    """Whether `name` is a single path component, so that nothing outside the folder is read or linked."""
    return bool(name) and name not in (".", "..") and not any(letter in name for letter in "/\\\0")


def _href(*parts: str) -> str:
    return "/".join(quote(part, safe="") for part in parts)


def _png_size(path: Path) -> tuple[int, int] | None:
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return None
    return struct.unpack(">II", head[16:]) if len(head) == 24 and head[:4] == b"\x89PNG" else None


def file_size(size: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g}\u202f{unit}"


def _day(started: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(started)).astimezone(UTC):%d %B %Y, %H:%M} UTC"
    except ValueError:
        return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
