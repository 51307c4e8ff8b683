"""Score a model on labelled cases: one summary over the split, a table of cases, and intervals."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from transect.apps.base import App
from transect.data_adapters.base import Case
from transect.data_adapters.files import whole_folder, write_json
from transect.pipelines import model_folder
from transect.pipelines.console import Progress
from transect.pipelines.errors import UsageError, one_line
from transect.pipelines.pictures import save_pictures
from transect.pipelines.report import with_baselines, write_report
from transect.pipelines.results import Outcome, claim, write_manifest, write_table
from transect.pipelines.workers import DIED, in_processes

log = logging.getLogger("transect")

PICTURED_CASES = 24
RESAMPLES = 1000


def evaluate(
    model_name: str,
    data: Sequence[str],
    split: str,
    out: Path,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    workers: int = 1,
    device: str = "auto",
) -> tuple[dict[str, float], dict[str, tuple[float, float]], list[Outcome]]:
    """Predict and measure the cases of `split`; returns the summary, 95 % intervals and one outcome a case.

    Writes `metrics.json`, `cases.csv`, `manifest.csv` and `report.html` to `out`, charts of the whole split, and
    pictures of the first cases.

    Raises:
        UsageError: there is no such model or split, or `out` holds another run's results.
        BadInput: the data set holds no case.
    """
    model = model_folder.load(model_name, overrides, device)
    cases = _of_split(model.app.divided(model.app.adapter.cases(*data)), split, " ".join(data))
    claim(out, model, "evaluate", overwrite)
    clock, started = time.monotonic(), datetime.now(UTC)
    measured = dict(_measured(model, cases, out, workers))
    outcomes = [measured[case.id][0] for case in cases]
    measures = {case.id: found for case in cases if (found := measured[case.id][1]) is not None}
    app = model.app
    summary = app.summary(list(measures.values()))
    intervals = bootstrap(app, [case for case in cases if case.id in measures], measures)
    table = [{"case": case_id, **_finite(app.summary([measure]))} for case_id, measure in measures.items()]
    write_table(out / "cases.csv", ["case", *summary], table)
    write_manifest(out / "manifest.csv", outcomes)
    charts = save_pictures(app.charts(list(measures.values())), out / "charts")
    metrics = {
        "charts": charts,
        "summary": _finite(summary),
        "intervals": intervals,
        "cases": len(measures),
        "split": split,
        "data": " ".join(data),
    }
    write_json(out / "metrics.json", metrics)
    claim(out, model, "evaluate", True, started=started.isoformat(), seconds=time.monotonic() - clock)
    write_report(out)
    return summary, intervals, outcomes


def bootstrap(
    app: App[Any, Any], cases: Sequence[Case], measures: dict[str, dict[str, Any]], seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of every metric over RESAMPLES draws of groups with replacement.

    Groups and not cases are drawn: tiles of one scene are not independent of each other. Empty with fewer than two
    groups. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(measures[case.id])
    if len(groups) < 2:
        return {}
    members = list(groups.values())
    generator = np.random.default_rng(seed)
    draws = [
        app.summary(
            [measure for index in generator.integers(len(members), size=len(members)) for measure in members[index]]
        )
        for _ in range(RESAMPLES)
    ]
    intervals = {}
    for name in dict.fromkeys(name for draw in draws for name in draw):
        # A metric that only some cases have, such as a tool's, is not in every draw.
        values = [draw[name] for draw in draws if math.isfinite(draw.get(name, math.nan))]
        if values:
            low, high = np.percentile(values, (2.5, 97.5))
            intervals[name] = (float(low), float(high))
    return intervals


def _of_split(cases: Sequence[Case], split: str, data: str) -> list[Case]:
    named = sorted({case.split for case in cases if case.split})
    chosen = [case for case in cases if case.split == split] if named else list(cases)
    if not chosen:
        raise UsageError(
            f"{data}: split: found {', '.join(named)}, expected {split!r} among them; choose one by --split"
        )
    return chosen


def _measured(
    model: model_folder.Model, cases: Sequence[Case], out: Path, workers: int
) -> Iterator[tuple[str, tuple[Outcome, dict[str, Any] | None]]]:
    """Each case's id with its outcome and, where it is done, its measures."""
    work = partial(_measure, out=out, pictured=frozenset(case.id for case in cases[:PICTURED_CASES]))
    progress = Progress("evaluating", len(cases), "cases")
    done: Iterable[tuple[Case, tuple[Outcome, dict[str, Any] | None] | None]]
    done = in_processes(work, cases, model, workers) if workers > 1 else ((case, work(model, case)) for case in cases)
    try:
        for case, found in done:
            outcome, measure = found or (Outcome(case.id, "failed", 0.0, DIED), None)
            if outcome.status == "failed":
                log.error("failed: %s: %s", case.id, outcome.message)
            progress.advance(case.id)
            yield case.id, (outcome, measure)
    finally:
        progress.close()


def _measure(
    model: model_folder.Model, case: Case, out: Path, pictured: frozenset[str]
) -> tuple[Outcome, dict[str, Any] | None]:
    clock = time.monotonic()
    try:
        sample = model.app.adapter.read(case)
        prediction = model.app.predict(model.module, sample)
        measure = model.app.measure(prediction, sample)
        if case.id in pictured:
            scores = _finite(model.app.summary([measure]))
            facts = {name: scores[name] for name in with_baselines(scores)}
            with whole_folder(out / case.id) as folder:
                preview = save_pictures(model.app.figures(prediction, sample), folder / "preview")
                done = {"case": case.id, "facts": facts, "outputs": {}, "preview": preview}
                write_json(folder / "done.json", {**done, "seconds": time.monotonic() - clock})
        return Outcome(case.id, "done", time.monotonic() - clock), measure
    except Exception as error:
        return Outcome(case.id, "failed", time.monotonic() - clock, one_line(error)), None


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
