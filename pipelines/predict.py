"""Batch inference: every case becomes a whole folder or a failed row, and a second run does what is missing."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.console import Progress
from transect.pipelines.predict_case import predict_case
from transect.pipelines.report import write_report
from transect.pipelines.results import Outcome, claim, finished, write_manifest
from transect.pipelines.workers import DIED, in_processes

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
    device: str = "auto",
) -> list[Outcome]:
    """Load a model and `predict_cases` with it.

    Raises:
        UsageError: the model or the device does not exist, or as `predict_cases`.
        BadInput: as `predict_cases`.
    """
    return predict_cases(model_folder.load(model_name, overrides, device), inputs, out, workers, shard, overwrite)


def predict_cases(
    model: model_folder.Model,
    inputs: Sequence[str],
    out: Path,
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
) -> list[Outcome]:
    """Predict every case in `inputs` into its own folder under `out`; returns one outcome a case.

    Finished cases are left alone while their inputs stay the same; failed and missing ones are done. `shard` (i, n)
    takes every n-th case from the i-th on, so that n machines share a list without communication. `workers` processes
    share the cases of this one; a worker that dies fails its case alone.

    Raises:
        UsageError: `out` holds another model's results and `overwrite` is not set.
        BadInput: the inputs hold no case.
    """
    cases = list(model.app.adapter.cases(*inputs))[shard[0] - 1 :: shard[1]]
    if overwrite:  # Before the claim: if this is killed in between, nothing of the old run passes for the new one's.
        for done in out.glob("*/done.json"):
            done.unlink()
    claim(out, model, "predict", overwrite)
    started, clock = datetime.now(UTC), time.monotonic()
    outcomes = {case.id: outcome for case in cases if (outcome := finished(out, case)) is not None}
    missing = [case for case in cases if case.id not in outcomes]
    if outcomes:
        log.info("%d of %d cases are done already", len(outcomes), len(cases))
    manifest = out / ("manifest.csv" if shard[1] == 1 else f"manifest-{shard[0]}-of-{shard[1]}.csv")
    written = time.monotonic()
    progress = Progress("predicting", len(missing), "cases")
    try:
        for outcome in _outcomes(missing, model, out, workers, progress):
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


def _outcomes(
    cases: Sequence[Case], model: model_folder.Model, out: Path, workers: int, progress: Progress
) -> Iterator[Outcome]:
    if workers <= 1:
        yield from (predict_case(model, case, out, progress.watch) for case in cases)
        return
    for case, outcome in in_processes(partial(predict_case, out=out), cases, model, workers):
        yield outcome or Outcome(case.id, "failed", 0.0, DIED)
