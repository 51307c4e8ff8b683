"""Batch inference: each case is either written completely or reported as failed, and runs can be repeated."""

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

MANIFEST_INTERVAL = 5.0  # seconds; finished cases have their own record, so a killed run loses nothing


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

    Returns:
        One outcome per case.

    Raises:
        UsageError: the model or the device does not exist, or as for `predict_cases`.
        BadInput: as for `predict_cases`.
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
    """Predict each case into its own folder below `out`.

    Finished cases whose inputs have not changed are skipped; failed and missing ones are predicted. If a worker process
    dies, only the case it was working on fails.

    Args:
        model: the model.
        inputs: a folder, a table, or the files of one case.
        out: folder for the results.
        workers: number of processes that share the cases of this shard.
        shard: (i, n) selects every n-th case from the i-th, so that n machines can share a list of cases without
            communicating.
        overwrite: predict finished cases again, and replace results of another model.

    Returns:
        One outcome per case of this shard.

    Raises:
        UsageError: `out` holds results of another model and `overwrite` is not set.
        BadInput: the inputs hold no case.
    """
    cases = list(model.app.adapter.cases(*inputs))[shard[0] - 1 :: shard[1]]
    if overwrite:  # Before `claim`, so that a kill in between leaves no old result that looks like a new one.
        for done in out.glob("*/done.json"):
            done.unlink()
    claim(out, model, "predict", overwrite)
    started, clock = datetime.now(UTC), time.monotonic()
    outcomes = {case.id: outcome for case in cases if (outcome := finished(out, case)) is not None}
    missing = [case for case in cases if case.id not in outcomes]
    if outcomes:
        log.info("%d of %d cases are already done", len(outcomes), len(cases))
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
