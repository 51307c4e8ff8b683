"""The layout of a results folder: `run.json`, `manifest.csv`, and per case a folder with `done.json`."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.files import sha256, write_whole

if TYPE_CHECKING:
    from transect.pipelines.model_folder import Model

KINDS = ("predict", "evaluate", "check")
JOIN = "join"
"""Kind of the record of a group whose results were joined; the group takes the place of the case."""


ELSEWHERE = "elsewhere"
"""Status of a case that another process is writing; never in a manifest."""


@dataclass(frozen=True)
class Outcome:
    """A row of the manifest: `status` is "done" or "failed", `message` is the error of a failed case."""

    case: str
    status: str
    seconds: float
    message: str = ""


def run_of(model: "Model", kind: str) -> str:
    """What identifies the results of a model: a hash of its files, its settings and the kind of results."""
    return digest([kind, model.sha256, asdict(model.app.config)])


def digest(value: object) -> str:
    """A hash of a value as canonical JSON, in which tuples equal lists and NaN equals NaN."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def finished(out: Path, case: Case, run: str, since: str = "") -> Outcome | None:
    """The outcome of a case that this run has finished and whose inputs have not changed; else None.

    Args:
        out: the results folder.
        case: the case.
        run: identity of the run, of `run_of`.
        since: UTC time in ISO format; a case that was finished earlier does not count.
    """
    try:
        done = json.loads((out / case.id / "done.json").read_text(encoding="utf-8"))
        if done["run"] != run or done["finished"] < since or done["inputs"] != stamps(case):
            return None
        return Outcome(case.id, "done", float(done["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_own(folder: Path, case: str) -> None:
    """Refuse to replace anything but an unchanged earlier result of a case.

    Args:
        folder: the place of the case.
        case: id of the case.

    Raises:
        BadInput: there is a file, or a folder with other files; names one.
    """
    if other := _foreign(folder, case):
        raise BadInput(
            folder, "folder", "other files", f"a new folder or an earlier result of {case}",
            f"choose another --out, or move {other} away",
        )  # fmt: skip


def _foreign(folder: Path, case: str) -> str:
    """A file in a case's place that is not of its result, or that was changed since; empty if there is none."""
    if not folder.is_dir():
        return folder.name if folder.exists() or folder.is_symlink() else ""
    if not any(folder.iterdir()):
        return ""
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        recorded = {"done.json", *(f"preview/{name}.png" for name in done.get("preview", ()))}
        for view in done.get("views", ()):
            recorded |= {f"views/{view['page']}", *view.get("files", ())}
        outputs = dict(done["outputs"])
        if done["case"] != case or done.get("kind", "predict") not in (*KINDS, JOIN):
            return "done.json"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its files"
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        file = path.relative_to(folder)
        if file.parts[0] not in outputs and file.as_posix() not in recorded:
            return file.as_posix()
    return next((name for name, hash_ in outputs.items() if _changed(folder / name, hash_)), "")


def _changed(path: Path, hash_: object) -> bool:
    return path.exists() and sha256(path) != hash_


def stamps(case: Case) -> dict[str, dict[str, int]]:
    """Size and modification time of each input, which detect a replaced file without reading it.

    For a folder, such as a Zarr store: the total size of its files and the latest modification.
    """
    return {case.shown(file): stamp for file in case.files if (stamp := _stamp(Path(file)))}


def _stamp(path: Path) -> dict[str, int]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    states = [file.stat() for file in files]
    if not states:
        return {}
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max(state.st_mtime_ns for state in states),
    }


def write_manifest(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write the manifest atomically, one row per case."""
    write_table(path, ["case", "status", "seconds", "message"], [asdict(outcome) for outcome in outcomes])


def manifest_rows(out: Path) -> list[dict[str, str]]:
    """The rows of all manifests, one per shard; of a case that several of them name, the row of the latest."""
    paths = sorted(out.glob("manifest*.csv"), key=lambda path: (path.name != "manifest.csv", path.name))
    latest = {
        row.get("case"): row
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)
        for row in table_rows(path)
    }
    order = dict.fromkeys(row.get("case") for path in paths for row in table_rows(path))
    return [latest[case] for case in order]


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV table; none if it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a CSV table atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
