"""Evaluate a model on labelled cases: metrics of a split with bootstrap intervals, and a table of cases."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from transect.apps.base import Contribution, Metric
from transect.data_adapters.base import Case, shown
from transect.data_adapters.files import whole_folder, write_json
from transect.pipelines import model_folder
from transect.pipelines.arguments import PICTURED_CASES
from transect.pipelines.claim import claimed, require_apart
from transect.pipelines.console import Progress
from transect.pipelines.errors import UsageError, one_line, raise_signal
from transect.pipelines.model_folder import Model
from transect.pipelines.pictures import previewed, save_pictures
from transect.pipelines.predict_case import write_record
from transect.pipelines.report import with_baselines, write_report
from transect.pipelines.results import Outcome, require_own, write_manifest, write_table
from transect.pipelines.views.page import save_views
from transect.pipelines.workers import in_processes

log = logging.getLogger("transect")

RESAMPLES = 1000

Scored = tuple[Outcome, Contribution | None]
"""The outcome of a case and, where it succeeded, its contribution to the metrics."""


def evaluate(
    model_name: str,
    data: Sequence[str],
    split: str,
    out: Path,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    workers: int = 1,
    device: str = "auto",
    pictures: int | None = PICTURED_CASES,
) -> tuple[dict[str, float], dict[str, tuple[float, float]], list[Outcome]]:
    """Predict the cases of a split and compare them with their labels, as a run in MLflow.

    Writes `metrics.json`, `cases.csv`, `manifest.csv` and `report.html` to `out`, charts of the whole split, and
    pictures of the first cases.

    Args:
        model_name: a model folder, `models:/NAME@ALIAS` or `runs:/RUN_ID/model`.
        data: the data set, as the app's adapter takes it.
        split: name of the split; all cases are taken if the data set names no splits.
        out: folder for the results.
        overrides: settings that differ from the model's, as command line arguments.
        overwrite: replace results of another model in `out`.
        workers: number of processes.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        pictures: number of cases, the first of the split, that get pictures and views; None for all.

    Returns:
        The metrics, their 95 % intervals, and one outcome per case.

    Raises:
        UsageError: the model, the device or the split does not exist, `out` holds results of another run, another
            command is running there, or `out` is, contains or lies in the data set.
        BadInput: the data set holds no case.
        StoreError: the tracking store cannot be used; where it fails at the end, `out` is complete.
    """
    # Worker processes import this module, and need no MLflow.
    from transect.pipelines.store import check_store
    from transect.pipelines.track import EVALUATION, run_name, tracked
    from transect.pipelines.track_evaluation import describe, log_results

    check_store()
    model = model_folder.load(model_name, overrides, device)
    listed = model.app.adapter.cases(*data)
    place = " ".join(shown(path, listed) for path in data)
    cases = _of_split(model.app.split_units(listed), split, place)
    require_apart(out, data, listed, model)
    name = f"evaluate-{run_name(model.app_name, model.app.config)}"
    with ExitStack() as claim:
        record = claim.enter_context(claimed(out, model, "evaluate", overwrite, listed))
        with tracked(model.app_name, name=name, kind=EVALUATION) as tracker:
            describe(tracker, model, cases, place, split)
            record["run"] = tracker.run_id
            work = partial(
                _score, out=out, run=tracker.run_id, pictured=frozenset(case.id for case in cases[:pictures])
            )
            summary, intervals, outcomes = _evaluate(work, model, cases, place, split, out, workers)
            claim.close()
            write_report(out)
            log_results(tracker, _finite(summary), intervals, out)
    return summary, intervals, outcomes


def _evaluate(
    work: Callable[[Model, Case], Scored],
    model: Model,
    cases: Sequence[Case],
    data: str,
    split: str,
    out: Path,
    workers: int,
) -> tuple[dict[str, float], dict[str, tuple[float, float]], list[Outcome]]:
    app = model.app
    scored = dict(_scored(work, model, cases, workers))
    outcomes = [scored[case.id][0] for case in cases]
    done = [case for case in cases if scored[case.id][1] is not None]
    contributions = [contribution for case in cases if (contribution := scored[case.id][1]) is not None]
    summary = app.metric.summary(contributions)
    intervals = bootstrap(app.metric, [case.group for case in done], contributions)
    table = [
        {"case": case.id, **_finite(app.metric.summary([contribution]))}
        for case, contribution in zip(done, contributions, strict=True)
    ]
    write_table(out / "cases.csv", ["case", *summary], table)
    write_manifest(out / "manifest.csv", outcomes)
    metrics = {
        "charts": save_pictures(app.charts(contributions), out / "charts"),
        "summary": _finite(summary),
        "intervals": intervals,
        "cases": len(done),
        "split": split,
        "data": data,
    }
    write_json(out / "metrics.json", metrics)
    return summary, intervals, outcomes


def bootstrap(
    metric: Metric[Any, Any], groups: Sequence[str], contributions: Sequence[Contribution], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of every metric by a cluster bootstrap with RESAMPLES resamples.

    Groups are resampled with replacement, not cases, since cases of one group, such as tiles of one scene, are
    dependent. Each case is weighted by the number of times its group was drawn. Source: Efron and Tibshirani, "An
    Introduction to the Bootstrap", chapter 13.

    Args:
        metric: the metrics of the app.
        groups: the group of each case.
        contributions: the contribution of each case.
        seed: random seed.

    Returns:
        The lower and upper bound of each metric; empty with fewer than two groups.
    """
    indices = {name: index for index, name in enumerate(dict.fromkeys(groups))}
    if len(indices) < 2:
        return {}
    group = np.array([indices[name] for name in groups])
    rng = np.random.default_rng(seed)
    summaries = []
    for _ in range(RESAMPLES):
        counts = np.bincount(rng.integers(len(indices), size=len(indices)), minlength=len(indices))
        summaries.append(metric.summary(contributions, counts[group].astype(np.float64)))
    intervals = {}
    for name in dict.fromkeys(name for summary in summaries for name in summary):
        # A metric that only some cases have, such as that of one tool, is missing from some resamples.
        values = [summary[name] for summary in summaries if math.isfinite(summary.get(name, math.nan))]
        if values:
            low, high = np.percentile(values, (2.5, 97.5))
            intervals[name] = (float(low), float(high))
    return intervals


def _of_split(cases: Sequence[Case], split: str, data: str) -> list[Case]:
    named = sorted({case.split for case in cases if case.split})
    chosen = [case for case in cases if case.split == split] if named else list(cases)
    if not chosen:
        raise UsageError(
            f"{data}: split: found {', '.join(named)}, expected {split!r} among them; choose one with --split"
        )
    return chosen


def _scored(
    work: Callable[[Model, Case], Scored], model: Model, cases: Sequence[Case], workers: int
) -> Iterator[tuple[str, Scored]]:
    """The id of each case with its outcome and, where it succeeded, its contribution to the metrics."""
    progress = Progress("evaluating", len(cases), "cases")
    done: Iterable[tuple[Case, Scored]] = ((case, work(model, case)) for case in cases)
    if workers > 1:
        done = in_processes(work, cases, model, workers, _failed)
    try:
        for case, (outcome, contribution) in done:
            if outcome.status == "failed":
                log.error("failed: %s: %s", case.id, outcome.message)
            progress.advance(case.id)
            yield case.id, (outcome, contribution)
    finally:
        progress.close()


def _failed(case: Case, message: str) -> Scored:
    return Outcome(case.id, "failed", 0.0, message), None


def _score(model: Model, case: Case, out: Path, run: str, pictured: frozenset[str]) -> Scored:
    clock = time.monotonic()
    try:
        app = model.app
        if case.id in pictured:
            require_own(out / case.id, case.id)
        sample = app.adapter.read(case)
        prediction = model.predict(case, sample)
        preview = previewed(app, prediction, sample, labels=True) if case.id in pictured else None
        contribution = app.metric.contribution(prediction, sample)
        if case.id in pictured:
            scores = _finite(app.metric.summary([contribution]))
            facts = {name: scores[name] for name in with_baselines(scores)}
            with whole_folder(out / case.id, partial(require_own, case=case.id)) as folder:
                pictures = save_pictures(preview.pictures() if preview else {}, folder / "preview")
                views = save_views(app.views(prediction, sample, folder), folder, case.id)
                done = {"case": case.id, "kind": "evaluate", "run": run, "facts": facts, "outputs": {}}
                pages = {"preview": pictures, "views": views}
                write_record(folder, {**done, **pages, "seconds": time.monotonic() - clock})
        return Outcome(case.id, "done", time.monotonic() - clock), contribution
    except Exception as error:
        raise_signal(error)
        return Outcome(case.id, "failed", time.monotonic() - clock, case.shown(one_line(error))), None


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
