"""Predict one case from its input files and write its folder: results, pictures and a record."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from transect.data_adapters.base import Case
from transect.data_adapters.files import sha256, whole_folder, write_json
from transect.pipelines.errors import one_line, raise_signal
from transect.pipelines.model_folder import Model
from transect.pipelines.pictures import previewed, save_pictures
from transect.pipelines.results import Outcome, stamps
from transect.pipelines.views.page import save_views

log = logging.getLogger("transect")


def predict_case(
    model: Model, case: Case, out: Path, watch: Callable[[object], None] = lambda prediction: None
) -> Outcome:
    """Predict one case into `out / case.id` atomically.

    Args:
        model: the model.
        case: the case.
        out: folder of all results.
        watch: receives the prediction before it is computed, to show its progress.

    Returns:
        The outcome; any error makes it a failed one.
    """
    clock = time.monotonic()
    try:
        write_case(model, case, out / case.id, watch)
        return Outcome(case.id, "done", time.monotonic() - clock)
    except Exception as error:
        raise_signal(error)
        return Outcome(case.id, "failed", time.monotonic() - clock, one_line(error))


def write_case(
    model: Model, case: Case, folder: Path, watch: Callable[[object], None] = lambda prediction: None
) -> None:
    """Predict one case into a folder atomically: results, pictures, and a record of both in `done.json`.

    Args:
        model: the model.
        case: the case.
        folder: folder of the case; an earlier one is replaced.
        watch: receives the prediction before it is computed, to show its progress.

    Raises:
        BadInput: the case cannot be read.
        OSError: the folder cannot be written.
    """
    clock = time.monotonic()
    app, inputs = model.app, stamps(case)
    sample = app.adapter.read(case)
    differences = app.compare(sample)
    prediction = model.predict(case, sample)
    preview = previewed(app, prediction, sample, labels=False)
    watch(prediction)
    with whole_folder(folder) as partial:
        facts = app.adapter.write(case, prediction, partial, model.source)
        if differences:
            facts["unlike_training_data"] = "; ".join(differences)
            log.warning("%s: unlike the training data: %s", case.id, facts["unlike_training_data"])
        outputs = {path.name: sha256(path) for path in sorted(partial.iterdir())}
        pictures = save_pictures(preview.pictures() if preview else {}, partial / "preview")
        views = save_views(app.views(prediction, sample, partial), partial, case.id)
        done = {
            "case": case.id,
            "model_sha256": model.sha256,
            "inputs": inputs,
            "outputs": outputs,
            "facts": facts,
            "preview": pictures,
            "views": views,
            "seconds": time.monotonic() - clock,
        }
        write_json(partial / "done.json", done)
