"""Batch inference: each case is either written completely or reported as failed, and runs can be repeated."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from transect.data_adapters.base import Case
from transect.pipelines import model_folder
from transect.pipelines.arguments import PICTURED_CASES
from transect.pipelines.claim import claimed, require_apart
from transect.pipelines.console import Progress
from transect.pipelines.join import join_groups
from transect.pipelines.predict_case import start_case
from transect.pipelines.report import write_report
from transect.pipelines.results import ELSEWHERE, Outcome, finished, write_manifest
from transect.pipelines.workers import in_processes

log = logging.getLogger("transect")

MANIFEST_INTERVAL = 5.0  # seconds; finished cases have their own record, so a killed run loses nothing
WRITERS = 4  # threads that wait for the disk


def predict(
    model_name: str,
    inputs: Sequence[str],
    out: Path,
    overrides: Sequence[str] = (),
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
    device: str = "auto",
    pictures: int | None = PICTURED_CASES,
) -> list[Outcome]:
    """Load a model and predict cases with it.

    Args:
        model_name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        inputs: as for `predict_cases`.
        out: as for `predict_cases`.
        overrides: settings that differ from the model's, as command line arguments.
        workers: as for `predict_cases`.
        shard: as for `predict_cases`.
        overwrite: as for `predict_cases`.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        pictures: as for `predict_cases`.

    Returns:
        One outcome per case.

    Raises:
        UsageError: the model or the device does not exist, or as for `predict_cases`.
        BadInput: as for `predict_cases`.
    """
    model = model_folder.load(model_name, overrides, device)
    return predict_cases(model, inputs, out, workers, shard, overwrite, pictures)


def predict_cases(
    model: model_folder.Model,
    inputs: Sequence[str],
    out: Path,
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    overwrite: bool = False,
    pictures: int | None = PICTURED_CASES,
) -> list[Outcome]:
    """Predict each case into its own folder below `out`.

    Finished cases whose inputs have not changed are skipped; failed and missing ones are predicted. If a worker process
    dies, only the case it was working on fails. Commands with the same model and settings may run at once in one
    folder: they share the cases. At the end groups of cases are joined, where the app does that.

    Args:
        model: the model.
        inputs: a folder, a table, or the files of one case.
        out: folder for the results.
        workers: number of processes that share the cases of this shard.
        shard: (i, n) selects every n-th case from the i-th, so that n machines can share a list of cases without
            communicating.
        overwrite: predict finished cases again, and replace results of another model.
        pictures: number of cases, the first of all shards together, that get pictures and views; None for all. With
            0 no group is joined either.

    Returns:
        One outcome per case of this shard.

    Raises:
        UsageError: `out` holds results of another model and `overwrite` is not set, or another model is running there,
            or it is, contains or lies in an input.
        BadInput: the inputs hold no case.
    """
    listed = list(model.app.adapter.cases(*inputs))
    cases = listed[shard[0] - 1 :: shard[1]]
    require_apart(out, inputs, listed, model)
    since = datetime.now(UTC).isoformat(timespec="microseconds") if overwrite else ""
    with claimed(out, model, "predict", overwrite, listed) as record:
        run = str(record["run"])
        outcomes = {case.id: outcome for case in cases if (outcome := finished(out, case, run, since)) is not None}
        missing = [case for case in cases if case.id not in outcomes]
        if outcomes:
            log.info("%d of %d cases are already done", len(outcomes), len(cases))
        manifest = out / ("manifest.csv" if shard[1] == 1 else f"manifest-{shard[0]}-of-{shard[1]}.csv")
        written = time.monotonic()
        progress = Progress("predicting", len(missing), "cases")
        job = partial(_Job, out, run, frozenset(case.id for case in listed[:pictures]), since)
        try:
            for outcome in _outcomes(missing, model, job, workers, progress):
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
        if pictures != 0:
            join_groups(model, listed, out, run)
    write_report(out)
    return [outcomes[case.id] for case in cases]


@dataclass(frozen=True)
class _Job:
    """How to predict a case, for this process and for workers; the arguments of `start_case` with cases by id."""

    out: Path
    run: str
    pictured: frozenset[str]
    since: str
    wait: bool

    def __call__(self, model: model_folder.Model, case: Case) -> Outcome:
        return self.start(model, case)()

    def start(
        self, model: model_folder.Model, case: Case, watch: Callable[[object], None] = lambda prediction: None
    ) -> Callable[[], Outcome]:
        return start_case(model, case, self.out, case.id in self.pictured, self.since, self.wait, self.run, watch)


def _outcomes(
    cases: Sequence[Case],
    model: model_folder.Model,
    job: Callable[[bool], _Job],
    workers: int,
    progress: Progress,
) -> Iterator[Outcome]:
    """The outcome of each case; last those that another command is writing, in case that it is killed."""
    elsewhere = set()
    for outcome in _one_pass(cases, model, job(False), workers, progress):
        if outcome.status == ELSEWHERE:
            elsewhere.add(outcome.case)
        else:
            yield outcome
    left = [case for case in cases if case.id in elsewhere]
    yield from _one_pass(left, model, job(True), workers, progress)


def _one_pass(
    cases: Sequence[Case], model: model_folder.Model, job: _Job, workers: int, progress: Progress
) -> Iterator[Outcome]:
    if workers > 1:
        yield from (outcome for _, outcome in in_processes(job, cases, model, workers, _failed))
        return
    # Threads wait for the disk while the next cases are predicted.
    with ThreadPoolExecutor(WRITERS) as writers:
        pending: deque[Future[Outcome]] = deque()
        for case in cases:
            pending.append(writers.submit(job.start(model, case, progress.watch)))
            while pending and (len(pending) > WRITERS or pending[0].done()):
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def _failed(case: Case, message: str) -> Outcome:
    return Outcome(case.id, "failed", 0.0, message)
