"""One case from its files to its folder: predicted, written, pictured and recorded, or a line that says why not."""

import time
from collections.abc import Callable
from pathlib import Path

from transect.data_adapters.base import Case
from transect.data_adapters.files import sha256, whole_folder, write_json
from transect.pipelines.errors import one_line, raise_signal
from transect.pipelines.model_folder import Model
from transect.pipelines.pictures import previewed, save_pictures
from transect.pipelines.results import Outcome, stamps


def predict_case(
    model: Model, case: Case, out: Path, watch: Callable[[object], None] = lambda prediction: None
) -> Outcome:
    """Predict one case into `out / case.id`, whole or not at all; whatever goes wrong becomes a failed outcome.

    `watch` is given the prediction before it is computed, to show how far it has come.
    """
    clock = time.monotonic()
    try:
        inputs = stamps(case)
        sample = model.app.adapter.read(case)
        prediction = model.app.predict(model.module, sample)
        preview = previewed(model.app, prediction, sample, labels=False)
        watch(prediction)
        with whole_folder(out / case.id) as folder:
            facts = model.app.adapter.write(case, prediction, folder, model.source)
            outputs = {path.name: sha256(path) for path in sorted(folder.iterdir())}
            pictures = save_pictures(preview.pictures() if preview else {}, folder / "preview")
            seconds = time.monotonic() - clock
            done = {
                "case": case.id,
                "model_sha256": model.sha256,
                "inputs": inputs,
                "outputs": outputs,
                "facts": facts,
                "preview": pictures,
                "seconds": seconds,
            }
            write_json(folder / "done.json", done)
        return Outcome(case.id, "done", seconds)
    except Exception as error:
        raise_signal(error)
        return Outcome(case.id, "failed", time.monotonic() - clock, one_line(error))
