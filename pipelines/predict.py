"""Batch inference: every case becomes a whole folder or a failed row, and a second run does what is missing."""

import csv
import io
import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transect.data_adapters.base import Case
from transect.data_adapters.files import write_json, write_whole
from transect.pipelines import model_folder
from transect.pipelines.console import Progress
from transect.pipelines.find import UsageError
from transect.pipelines.predict_case import Outcome, stamps
from transect.pipelines.report import write_report
from transect.pipelines.workers import outcomes_of

log = logging.getLogger("transect")

MANIFEST_INTERVAL = 5.0  # seconds; what is done stands in the cases' own folders, so a kill loses nothing


def predict(
    model_name: str,
    inputs: Sequence[str],
    out: Path,
    overrides: Sequence[str] = (),
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
) -> list[Outcome]:
    """Predict every case in `inputs` into its own folder under `out`; returns one outcome a case.

    Finished cases are left alone while their inputs stay the same; failed and missing ones are done. `shard` (i, n)
    takes every n-th case from the i-th on, so that n machines share a list without talking to each other. `workers`
    processes share the cases of this one; a worker that dies fails its case alone.

    Raises:
        UsageError: the model does not exist, or `out` holds another model's results and `overwrite` is not set.
        BadInput: the inputs hold no case.
    """
    model = model_folder.load(model_name, list(overrides))
    cases = list(model.app.adapter.cases(*inputs))[shard[0] - 1 :: shard[1]]
    if overwrite:  # Before the claim: if this is killed in between, nothing of the old run passes for the new one's.
        for done in out.glob("*/done.json"):
            done.unlink()
    claim(out, model, "predict", overwrite)
    started, clock = datetime.now(UTC), time.monotonic()
    outcomes = {case.id: outcome for case in cases if (outcome := _finished(out, case)) is not None}
    missing = [case for case in cases if case.id not in outcomes]
    if outcomes:
        log.info("%d of %d cases are done already", len(outcomes), len(cases))
    manifest = out / ("manifest.csv" if shard[1] == 1 else f"manifest-{shard[0]}-of-{shard[1]}.csv")
    written = time.monotonic()
    progress = Progress("predicting", len(missing), "cases")
    try:
        for outcome in outcomes_of(missing, model, out, workers, list(overrides), progress.watch):
            outcomes[outcome.case] = outcome
            if outcome.status == "failed":
                log.error("failed: %s: %s", outcome.case, outcome.message)
            progress.advance(outcome.case)
            if time.monotonic() - written > MANIFEST_INTERVAL:
                write_manifest(manifest, outcomes.values())
                written = time.monotonic()
    finally:
        progress.close()
        write_manifest(manifest, outcomes.values())
    claim(out, model, "predict", True, started=started.isoformat(), seconds=time.monotonic() - clock)
    write_report(out)
    return [outcomes[case.id] for case in cases]


def _identity(model: model_folder.Model, kind: str) -> dict[str, object]:
    return {
        "kind": kind,
        "app": model.app_name,
        "model": model.name,
        "model_sha256": model.sha256,
        "settings": asdict(model.app.config),
    }


def claim(out: Path, model: model_folder.Model, kind: str, overwrite: bool, **about: object) -> None:
    """Make `out` the folder of this model's results of this kind, with `about` added to what is said of the run.

    Raises:
        UsageError: it holds results of another model or of other settings, or cannot be written.
    """
    identity = _identity(model, kind)
    record = out / "run.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if record.is_file() and not overwrite:
            found = json.loads(record.read_text(encoding="utf-8"))
            differing = [
                key for key in ("kind", "model_sha256", "settings") if _text(found.get(key)) != _text(identity[key])
            ]
            if differing:
                raise UsageError(
                    f"{out}: found results of another run ({', '.join(differing)} differ), expected an empty folder "
                    "or results of this model; choose another --out or add --overwrite"
                )
            return
        write_json(record, {**identity, **about})
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}; choose an --out that can be written") from error


def _text(value: object) -> str:
    """As JSON has it, where tuples are lists and NaN is itself."""
    return json.dumps(value, sort_keys=True)


def _finished(out: Path, case: Case) -> Outcome | None:
    """The outcome of an earlier run, if it is done and its inputs have not changed since."""
    try:
        done = json.loads((out / case.id / "done.json").read_text(encoding="utf-8"))
        if done["inputs"] != stamps(case):
            return None
        return Outcome(case.id, "done", float(done["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_manifest(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write one row a case, in one step."""
    write_table(path, ["case", "status", "seconds", "message"], [asdict(outcome) for outcome in outcomes])


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write a CSV table in one step."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())
