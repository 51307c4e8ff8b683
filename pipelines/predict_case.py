"""Predict one case from its input files and write its folder: results, pictures and a record."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from transect.data_adapters.base import Case
from transect.data_adapters.files import reserved, sha256, whole_folder
from transect.pipelines.errors import one_line, raise_signal
from transect.pipelines.model_folder import Model
from transect.pipelines.pictures import previewed, save_pictures
from transect.pipelines.results import ELSEWHERE, Outcome, finished, require_own, run_of, stamps
from transect.pipelines.views.page import save_views

log = logging.getLogger("transect")


def predict_case(
    model: Model, case: Case, out: Path, pictured: bool = True, since: str = "", wait: bool = True
) -> Outcome:
    """Predict one case into `out / case.id` atomically; arguments and outcome are those of `start_case`."""
    return start_case(model, case, out, pictured, since, wait)()


def start_case(
    model: Model,
    case: Case,
    out: Path,
    pictured: bool = True,
    since: str = "",
    wait: bool = True,
    run: str = "",
    watch: Callable[[object], None] = lambda prediction: None,
) -> Callable[[], Outcome]:
    """Predict one case and write its files, but do not yet wait for the disk.

    Args:
        model: the model.
        case: the case.
        out: folder of all results.
        pictured: whether to draw pictures and views.
        since: an earlier result counts as the outcome if it was finished after this time, UTC in ISO format.
        wait: whether to wait for another process that is writing this case; otherwise the status is `ELSEWHERE`.
        run: `run_of` the model, where the caller has it.
        watch: receives the prediction before it is computed, to show its progress.

    Returns:
        A function that puts the folder in its place, durably and from any thread, and returns the outcome; any error
        makes it a failed one.
    """
    clock, run = time.monotonic(), run or run_of(model, "predict")
    try:
        with ExitStack() as stack:
            attempts = stack.enter_context(reserved(out / case.id, wait))
            if attempts is None:
                return partial(Outcome, case.id, ELSEWHERE, 0.0)
            if (outcome := finished(out, case, run, since)) is not None:
                return lambda: outcome
            stack.enter_context(written_case(model, case, out / case.id, run, pictured, watch, attempts))
            written = stack.pop_all()
    except Exception as error:
        failed = _failed(case, clock, error)
        return lambda: failed

    def finish() -> Outcome:
        try:
            written.close()
            return Outcome(case.id, "done", time.monotonic() - clock)
        except Exception as error:
            return _failed(case, clock, error)

    return finish


def _failed(case: Case, clock: float, error: Exception) -> Outcome:
    raise_signal(error)
    return Outcome(case.id, "failed", time.monotonic() - clock, case.shown(one_line(error)))


@contextmanager
def written_case(
    model: Model,
    case: Case,
    folder: Path,
    run: str,
    pictured: bool = True,
    watch: Callable[[object], None] = lambda prediction: None,
    attempts: Path | None = None,
) -> Iterator[None]:
    """Predict one case into a folder atomically: results, pictures, and a record of both in `done.json`.

    The files are written when the block begins, and the folder is put in its place when it ends.

    Args:
        model: the model.
        case: the case.
        folder: folder of the case; an earlier result of the case is replaced.
        run: `run_of` the model.
        pictured: whether to draw pictures and views.
        watch: receives the prediction before it is computed, to show its progress.
        attempts: as for `whole_folder`.

    Raises:
        BadInput: the case cannot be read, or `folder` holds other files.
        OSError: the folder cannot be written.
    """
    clock = time.monotonic()
    require_own(folder, case.id)
    app, inputs = model.app, stamps(case)
    sample = app.adapter.read(case)
    differences = app.compare(sample)
    prediction = model.predict(case, sample)
    preview = previewed(app, prediction, sample, labels=False) if pictured else None
    watch(prediction)
    with whole_folder(folder, partial(require_own, case=case.id), attempts) as attempt:
        facts = app.adapter.write(case, prediction, attempt, model.source)
        if differences:
            facts["unlike_training_data"] = "; ".join(differences)
            log.warning("%s: unlike the training data: %s", case.id, facts["unlike_training_data"])
        outputs = {path.name: sha256(path) for path in sorted(attempt.iterdir())}
        drawn = preview.pictures() if preview else {}
        pictures = save_pictures(drawn, attempt / "preview")
        views = save_views(app.views(prediction, sample, attempt), attempt, case.id, drawn) if pictured else []
        done = {
            "case": case.id,
            "kind": "predict",
            "run": run,
            "model_sha256": model.sha256,
            "inputs": inputs,
            "outputs": outputs,
            "facts": facts,
            "preview": pictures,
            "views": views,
            "seconds": time.monotonic() - clock,
        }
        write_record(attempt, done)
        yield


def write_record(folder: Path, done: dict[str, object]) -> None:
    """Write `done.json` of a case with the time; `whole_folder` flushes it with the other files."""
    record = {**done, "finished": datetime.now(UTC).isoformat(timespec="microseconds")}
    (folder / "done.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
