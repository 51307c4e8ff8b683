"""One case from its files to its folder: predicted, written, pictured and recorded, or a line that says why not."""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transect.data_adapters.base import BadInput, Case
from transect.data_adapters.files import safe_name, sha256, whole_folder, write_json
from transect.pipelines.model_folder import Model

log = logging.getLogger("transect")

FRAME_MS = 100  # how long a moving picture shows each of its frames


@dataclass(frozen=True)
class Outcome:
    """A row of the manifest: `status` is "done" or "failed", `message` says why it failed."""

    case: str
    status: str
    seconds: float
    message: str = ""


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
        watch(prediction)
        with whole_folder(out / case.id) as folder:
            facts = model.app.adapter.write(case, prediction, folder, model.source)
            outputs = {path.name: sha256(path) for path in sorted(folder.iterdir())}
            preview = save_pictures(model.app.figures(prediction, sample), folder / "preview")
            seconds = time.monotonic() - clock
            done = {
                "case": case.id,
                "model_sha256": model.sha256,
                "inputs": inputs,
                "outputs": outputs,
                "facts": facts,
                "preview": preview,
                "seconds": seconds,
            }
            write_json(folder / "done.json", done)
        return Outcome(case.id, "done", seconds)
    except Exception as error:
        raise_signal(error)
        return Outcome(case.id, "failed", time.monotonic() - clock, one_line(error))


def raise_signal(error: BaseException) -> None:
    """Raise the signal that a library hid behind an error of its own, when its clean-up failed on the way out."""
    hidden = error.__context__
    while hidden is not None:
        if isinstance(hidden, KeyboardInterrupt | SystemExit):
            raise hidden
        hidden = hidden.__context__


def one_line(error: Exception) -> str:
    """What went wrong, for a row of a table; an error that nobody foresaw also leaves its trace in the log."""
    if not isinstance(error, BadInput | OSError):
        log.error("%s", traceback.format_exc())
    kind = "" if isinstance(error, BadInput) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def save_pictures(pictures: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Write pictures as PNG files named after them, moving ones as animated PNG; returns the names in their order."""
    if pictures:
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        frames = [Image.fromarray(frame) for frame in (picture if picture.ndim == 4 else picture[None])]
        moving: dict[str, Any] = {}
        if len(frames) > 1:
            moving = {"save_all": True, "append_images": frames[1:], "duration": FRAME_MS}
        # Level 1: the best compression would take longer than the rest of a small case.
        frames[0].save(folder / f"{safe_name(name)}.png", compress_level=1, **moving)
    return [safe_name(name) for name in pictures]


def stamps(case: Case) -> dict[str, dict[str, int]]:
    """Size and time of change of each input file: enough to see that one was replaced, at no cost for large scenes.

    Of a folder, such as a Zarr store, the size of all its files and the last change.
    """
    return {file: stamp for file in case.files if (stamp := _stamp(Path(file)))}


def _stamp(path: Path) -> dict[str, int]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    states = [file.stat() for file in files]
    if not states:
        return {}
    return {
        "bytes": sum(state.st_size for state in states),
        "modified_ns": max(state.st_mtime_ns for state in states),
    }
