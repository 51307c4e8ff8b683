"""The layout of a results folder: `run.json`, `manifest.csv`, and per case a folder with `done.json`."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transect.data_adapters.base import Case
from transect.data_adapters.files import write_json, write_whole
from transect.pipelines.errors import UsageError
from transect.pipelines.model_folder import Model


@dataclass(frozen=True)
class Outcome:
    """A row of the manifest: `status` is "done" or "failed", `message` is the error of a failed case."""

    case: str
    status: str
    seconds: float
    message: str = ""


def claim(out: Path, model: Model, kind: str, overwrite: bool, **details: object) -> None:
    """Reserve a folder for the results of one model by writing `run.json`, or check that it is reserved for it.

    Args:
        out: the folder; created if necessary.
        model: the model.
        kind: "predict" or "evaluate".
        overwrite: replace the `run.json` of another model.
        details: further content of `run.json`.

    Raises:
        UsageError: the folder holds results of another model, other settings or another kind, or is not writable.
    """
    identity = {
        "kind": kind,
        "app": model.app_name,
        "model": model.name,
        "model_sha256": model.sha256,
        "settings": asdict(model.app.config),
        "state": asdict(model.app.state),
    }
    record = out / "run.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if record.is_file() and not overwrite:
            existing = json.loads(record.read_text(encoding="utf-8"))
            differing = [
                key
                for key in ("kind", "model_sha256", "settings")
                if _canonical(existing.get(key)) != _canonical(identity[key])
            ]
            if differing:
                raise UsageError(
                    f"{out}: found results of another run ({', '.join(differing)} differ), expected an empty folder "
                    "or results of this model; choose another --out or add --overwrite"
                )
            return
        write_json(record, {**identity, **details})
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}; choose a writable --out") from error


def _canonical(value: object) -> str:
    """Canonical JSON, in which tuples equal lists and NaN equals NaN."""
    return json.dumps(value, sort_keys=True)


def finished(out: Path, case: Case) -> Outcome | None:
    """The outcome of a case that an earlier run finished and whose inputs have not changed since; else None."""
    try:
        done = json.loads((out / case.id / "done.json").read_text(encoding="utf-8"))
        if done["inputs"] != stamps(case):
            return None
        return Outcome(case.id, "done", float(done["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def holds_only_results(folder: Path) -> bool:
    """Whether a folder is an earlier result of a case, with no other file in it."""
    try:
        done = json.loads((folder / "done.json").read_text(encoding="utf-8"))
        recorded = {"done.json", *(f"preview/{name}.png" for name in done["preview"])}
        recorded |= {f"views/{view['page']}" for view in done["views"]}
        outputs, _ = set(done["outputs"]), done["model_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    files = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    return all(file.as_posix() in recorded or file.parts[0] in outputs for file in files)


def stamps(case: Case) -> dict[str, dict[str, int]]:
    """Size and modification time of each input, which detect a replaced file without reading it.

    For a folder, such as a Zarr store: the total size of its files and the latest modification.
    """
    return {file: stamp for file in case.files if (stamp := _stamp(Path(file)))}


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


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a CSV table atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
