"""Batch inference: every case becomes a whole folder or a failed row, and a second run does what is missing."""

import csv
import io
import json
import logging
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_adapters.base import BadInput, Case
from data_adapters.files import safe_name, sha256, whole_folder, write_json, write_whole
from pipelines import model_folder
from pipelines.console import Progress
from pipelines.find import UsageError
from pipelines.report import write_report

log = logging.getLogger("transect")


@dataclass(frozen=True)
class Outcome:
    """A row of the manifest: `status` is "done" or "failed", `message` says why it failed."""

    case: str
    status: str
    seconds: float
    message: str = ""


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
    claim(out, model, "predict", overwrite)
    if overwrite:
        for done in out.glob("*/done.json"):
            done.unlink()
    started, clock = datetime.now(UTC), time.monotonic()
    outcomes = {case.id: outcome for case in cases if (outcome := _finished(out, case)) is not None}
    missing = [case for case in cases if case.id not in outcomes]
    if outcomes:
        log.info("%d of %d cases are done already", len(outcomes), len(cases))
    manifest = out / ("manifest.csv" if shard[1] == 1 else f"manifest-{shard[0]}-of-{shard[1]}.csv")
    progress = Progress("predicting", len(missing), "cases")
    try:
        for outcome in _run(model, missing, out, workers, list(overrides)):
            outcomes[outcome.case] = outcome
            if outcome.status == "failed":
                log.error("failed: %s: %s", outcome.case, outcome.message)
            progress.advance(outcome.case)
            write_manifest(manifest, outcomes.values())
    finally:
        progress.close()
        write_manifest(manifest, outcomes.values())
    claim(out, model, "predict", True, started=started.isoformat(), seconds=time.monotonic() - clock)
    write_report(out)
    return [outcomes[case.id] for case in cases]


def predict_case(model: model_folder.Model, case: Case, out: Path) -> Outcome:
    """Predict one case into `out / case.id`, whole or not at all; whatever goes wrong becomes a failed outcome."""
    clock = time.monotonic()
    try:
        sample = model.app.adapter.read(case)
        prediction = model.app.predict(model.module, sample)
        with whole_folder(out / case.id) as folder:
            facts = model.app.adapter.write(case, prediction, folder)
            outputs = {path.name: sha256(path) for path in sorted(folder.iterdir())}
            preview = save_pictures(model.app.figures(prediction, sample), folder / "preview")
            seconds = time.monotonic() - clock
            done = {
                "case": case.id,
                "model_sha256": model.sha256,
                "inputs": _stamps(case),
                "outputs": outputs,
                "facts": facts,
                "preview": preview,
                "seconds": seconds,
            }
            write_json(folder / "done.json", done)
        return Outcome(case.id, "done", seconds)
    except Exception as error:
        return Outcome(case.id, "failed", time.monotonic() - clock, one_line(error))


def one_line(error: Exception) -> str:
    """What went wrong, for a row of a table; an error that nobody foresaw also leaves its trace in the log."""
    if not isinstance(error, BadInput | OSError):
        log.error("%s", traceback.format_exc())
    kind = "" if isinstance(error, BadInput) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def save_pictures(pictures: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Write pictures as PNG files named after them; returns the names in their order."""
    if pictures:
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{safe_name(name)}.png")
    return [safe_name(name) for name in pictures]


def _run(
    model: model_folder.Model, cases: Sequence[Case], out: Path, workers: int, overrides: list[str]
) -> Iterator[Outcome]:
    if workers <= 1:
        yield from (predict_case(model, case, out) for case in cases)
        return
    waiting, suspects = list(cases), []
    while waiting or suspects:
        # After a worker died, the cases that were under way go one at a time, so that the guilty one fails alone.
        batch, together = (suspects[:1], 1) if suspects else (waiting, workers)
        left = yield from _run_pool(batch, out, together, model.name, overrides, max(os.cpu_count() or 1, 1) // workers)
        if batch is waiting:
            waiting, suspects = left[together:], left[:together]
        else:
            suspects = suspects[1:]
            if left:
                yield Outcome(left[0].id, "failed", 0.0, "the worker process died, perhaps out of memory")


def _run_pool(
    cases: Sequence[Case], out: Path, workers: int, name: str, overrides: list[str], threads: int
) -> "Iterator[Outcome]":
    """Outcomes of the cases in a pool; returns those left when a worker died, the ones under way first."""
    queue = list(cases)
    running: dict[Future[Outcome], Case] = {}
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(name, overrides, threads)
    )
    with pool:
        while queue or running:
            try:
                while queue and len(running) < workers:
                    running[pool.submit(_work, queue[0], out)] = queue.pop(0)
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    del running[future]
            except BrokenProcessPool:
                return [*running.values(), *queue]  # type: ignore[return-value]
    return []  # type: ignore[return-value]


_worker_model: model_folder.Model


def _start_worker(name: str, overrides: list[str], threads: int) -> None:
    import torch

    from pipelines.console import set_up_logging

    global _worker_model
    set_up_logging()
    torch.set_num_threads(max(threads, 1))
    _worker_model = model_folder.load(name, overrides)


def _work(case: Case, out: Path) -> Outcome:
    return predict_case(_worker_model, case, out)


def _identity(model: model_folder.Model, kind: str) -> dict[str, object]:
    return {
        "kind": kind,
        "app": type(model.app).__module__.split(".")[1],
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
            differing = [key for key in ("kind", "model_sha256", "settings") if found.get(key) != identity[key]]
            if differing:
                raise UsageError(
                    f"{out}: found results of another run ({', '.join(differing)} differ), expected an empty folder "
                    "or results of this model; choose another --out or add --overwrite"
                )
            return
        write_json(record, {**identity, **about})
    except OSError as error:
        raise UsageError(f"{out}: {error.strerror or error}; choose an --out that can be written") from error


def _finished(out: Path, case: Case) -> Outcome | None:
    """The outcome of an earlier run, if it is done and its inputs have not changed since."""
    try:
        done = json.loads((out / case.id / "done.json").read_text(encoding="utf-8"))
        if done["inputs"] != _stamps(case):
            return None
        return Outcome(case.id, "done", float(done["seconds"]))
    except (OSError, ValueError, KeyError):
        return None


def _stamps(case: Case) -> dict[str, dict[str, int]]:
    """Size and time of change of each input file: enough to see that one was replaced, at no cost for large scenes."""
    files = [Path(file) for file in case.files]
    return {
        str(file): {"bytes": file.stat().st_size, "modified_ns": file.stat().st_mtime_ns}
        for file in files
        if file.is_file()
    }


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
